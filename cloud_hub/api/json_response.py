"""JSON answers that can always be sent."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, Final

from fastapi.responses import JSONResponse

_JSON: Final = json.JSONEncoder(allow_nan=False, separators=(",", ":"))


class SafeJSONResponse(JSONResponse):
    """Answer as :func:`json_bytes` has it."""

    def render(self, content: Any) -> bytes:
        """Return the bytes of the answer."""
        return json_bytes(content)


def json_bytes(content: Any) -> bytes:
    """Return ASCII JSON: a text that UTF-8 cannot carry is escaped, not a reason to fail.

    A number that is not finite has no form in JSON: it is ``null``.
    """
    try:
        text = _JSON.encode(content)
    except ValueError:  # rare, so the finite pay nothing for it
        text = _JSON.encode(_finite(content))
    return text.encode()


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
