"""The hub's own health: whether it is up for everybody, what needs its owner for administrators."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from cloud_hub.api.auth import admin, hub_of
from cloud_hub.errors import Forbidden
from cloud_hub.registry.keys.status import warning

router = APIRouter(prefix="/v1")


@router.get("/health")
def health(request: Request) -> Any:
    """Answer that the hub is up; ``loop`` has the error of each part of its loop that fails.

    An administrator is also told of ``keys``: ``ok``, ``renew in N days`` or ``expired``, with
    ``clock`` where nothing is signed because of it, and the roles that are due.
    """
    hub = hub_of(request)
    answer = {"ok": True, "loop": hub.loop.errors}
    try:
        admin(request)
    except Forbidden:  # a load balancer has no token, and need not know
        return answer
    status = hub.keys.status()
    due = {role.role: text for role in status.roles if (text := warning(role))}
    return answer | {"keys": status.summary, "clock": status.clock or "ok", "due": due}
