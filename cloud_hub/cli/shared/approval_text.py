"""A promotion that waits for a second person, in words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cloud_hub.cli.shared.output import local_time


def approval_line(request: dict[str, Any]) -> str:
    """Return what became of a request, or what it waits for."""
    what = f"request {request['id']}: {request['model']} {request['version']}"
    if request["state"] == "pending":
        return (
            f"{what} waits for a second person until {local_time(request['expires_at'])}; "
            f"they run edge-hub approvals approve {request['id']}"
        )
    return (
        f"{what}, asked for by {request['requested_by']}: {request['state']} by "
        f"{request['decided_by']}"
    )


def unless_it_waits(view: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return a view of what a promotion did, or of the request that was made instead."""
    return lambda answer: (
        approval_line(answer["approval"]) if "approval" in answer else view(answer)
    )
