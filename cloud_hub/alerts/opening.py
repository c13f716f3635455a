"""Events, alerts and alarms of a hub, wired together."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from cloud_hub.alarms.service import HubAlarms
from cloud_hub.alerts.addresses import networks_of
from cloud_hub.alerts.service import Alerts
from cloud_hub.events.service import EventStream

if TYPE_CHECKING:
    from cloud_hub.hub import Hub


def opened_alerts(hub: Hub) -> tuple[EventStream, Alerts, HubAlarms]:
    """Return what tells people and programs of what happens on a hub.

    Its loop is asked later: it is not there yet.

    Raises:
        Invalid: a network of the settings is none.
    """
    events = EventStream(hub.engine)
    networks = networks_of(hub.settings.alert_networks)
    source = f"urn:edge-hub:{hub.repository.identity()}"
    alerts = Alerts(hub.engine, hub.audit, events, source, networks)
    alarms = HubAlarms(
        hub.engine, hub.audit, hub.registry, hub.monitoring, checks=hub.readiness.checks,
        errors=lambda: dict(hub.loop.errors), failing=alerts.failing,
        waits=hub.settings.alarms,
    )  # fmt: skip
    return events, alerts, alarms


def alert_parts(hub: Hub) -> dict[str, Callable[[float], object]]:
    """Return the parts of the loop, in their order."""
    return {"alarms": hub.alarms.tick, "alerts": hub.alerts.tick, "events": hub.events.clean}
