"""JSON answers that can always be sent."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from fastapi.responses import JSONResponse


class SafeJSONResponse(JSONResponse):
    """Answer in ASCII JSON: a text that UTF-8 cannot carry is escaped, not a reason to fail.

    A number that is not finite has no form in JSON: it is ``null``.
    """

    def render(self, content: Any) -> bytes:
        """Return the bytes of the answer."""
        try:
            text = _dumped(content)
        except ValueError:  # rare, so the finite pay nothing for it
            text = _dumped(_finite(content))
        return text.encode()


def _dumped(content: Any) -> str:
    return json.dumps(content, allow_nan=False, separators=(",", ":"))


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
