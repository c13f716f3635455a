"""The answer to a promotion: what it did, or the request that waits for a second person."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from cloud_hub.api.json_response import SafeJSONResponse
from cloud_hub.database.records import ApprovalRecord


def promoted(done: Any, as_json: Callable[[Any], Any]) -> SafeJSONResponse:
    """Return the answer to a promotion; 202 with ``approval`` where a second person has to decide.

    Args:
        done: what promoting gave, or the request that was made instead.
        as_json: makes a body of what it gave.
    """
    if isinstance(done, ApprovalRecord):
        return SafeJSONResponse({"approval": asdict(done)}, 202)
    return SafeJSONResponse(as_json(done))
