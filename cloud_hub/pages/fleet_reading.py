"""The fleet as it was a moment ago, read once for all who look."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from fastapi import Request

from cloud_hub.api.auth import hub_of
from cloud_hub.pages.fleet_view import FleetSnapshot, snapshot
from cloud_hub.web.recent import Recent

if TYPE_CHECKING:
    from cloud_hub.hub import Hub

STATES: Final = {
    "healthy": "Healthy", "late": "Late", "lost": "Lost", "failed": "Refused it",
    "pending": "Updating", "waiting": "To approve", "revoked": "Revoked", "cloned": "Cloned",
}  # fmt: skip
"""Words of the tiles."""


def fleet_now(request: Request) -> FleetSnapshot:
    """Return the fleet as it was a moment ago, read once for all who look."""
    state = request.app.state
    if not hasattr(state, "fleet_snapshot"):
        hub = hub_of(request)
        state.fleet_snapshot = Recent(lambda: _read(hub))
    recent: Recent[FleetSnapshot] = state.fleet_snapshot
    return recent.get()


def forget_fleet(request: Request) -> None:
    """Have the fleet read anew: something was changed in it."""
    recent = getattr(request.app.state, "fleet_snapshot", None)
    if recent is not None:
        recent.forget()


def _read(hub: Hub) -> FleetSnapshot:
    plans = {name: hub.plans.current(name) for name in hub.registry.models()}
    return snapshot(hub.fleet.devices(), plans, hub.flags.by_device(), time.time())
