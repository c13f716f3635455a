"""Bodies with which other systems call a webhook."""

from __future__ import annotations

import json

from cloud_hub.database.documents import Document
from cloud_hub.errors import Invalid


def read_call(raw: bytes) -> Document:
    """Parse the JSON object in a body, ``{}`` if it is empty; raises Invalid."""
    if not raw.strip():
        return {}
    try:
        # json takes NaN and Infinity by default, which are no JSON: a database would choke on them.
        payload = json.loads(raw, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise Invalid(f"webhook: expected a JSON object; {error}") from error
    if not isinstance(payload, dict):
        raise Invalid(f"webhook: expected a JSON object, got {type(payload).__name__}")
    return payload


def _refuse(text: str) -> float:
    raise ValueError(f"{text} is not a JSON number")
