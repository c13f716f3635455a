"""What another system says when it calls a webhook."""

from __future__ import annotations

import json
from typing import Any

from cloud_hub.errors import Invalid


def read_call(raw: bytes) -> dict[str, Any]:
    """The JSON object of a call, ``{}`` of an empty body; raises Invalid."""
    if not raw.strip():
        return {}
    try:
        said = json.loads(raw, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise Invalid(f"webhook: expected a JSON object; {error}") from error
    if not isinstance(said, dict):
        raise Invalid(f"webhook: expected a JSON object, got {type(said).__name__}")
    return said


def _refuse(text: str) -> float:
    raise ValueError(f"{text} is not a JSON number")
