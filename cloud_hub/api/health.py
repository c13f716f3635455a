"""The hub's own health: whether it is up for everybody, what needs its owner for people."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fastapi import Request

from cloud_hub.api.auth import Stranger, current_person, hub_of
from cloud_hub.api.router import HubRouter
from cloud_hub.database.documents import as_document
from cloud_hub.database.engine import process_name
from cloud_hub.registry.keys.status import warning

router = HubRouter(prefix="/v1")


@router.get("/health")
def health(request: Request, stranger: Stranger) -> Any:
    """Answer that the hub is up: that is all that a stranger learns.

    People are told of ``loop``, the error of each part of it that fails, of ``worker``,
    the process that answers, of ``leader``, what it knows of the one that loops, and of ``keys``:
    ``ok``, ``renew in N days`` or ``expired``, with ``clock`` where nothing is signed because of
    it, and the roles that are due; and of ``checks``, those of ``/readyz``, with what to do.
    """
    hub = hub_of(request)
    answer: dict[str, Any] = {"ok": True}
    if current_person(request) is None:
        return answer
    status = hub.keys.status()
    due = {role.role: text for role in status.roles if (text := warning(role))}
    return answer | {
        "loop": hub.loop.errors,
        "worker": process_name(),
        "leader": as_document(hub.loop.leadership.status()),
        "keys": status.summary,
        "clock": status.clock or "ok",
        "due": due,
        "checks": [asdict(check) for check in hub.readiness.checks()],
    }
