"""Gauges that are read when somebody asks: from the database, the keys, the disk and the loop."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Float, Select, case, cast, func, literal, select

from cloud_hub.fleet.health import (
    LATE,
    LEAST_LOST_SECONDS,
    LOST,
    SLACK_SECONDS,
    USUAL_SECONDS,
)
from cloud_hub.fleet.tables import devices, identities
from cloud_hub.monitoring.tables import alarms
from cloud_hub.observability.checks import HealthCheck, disk_room

if TYPE_CHECKING:
    from cloud_hub.hub import Hub


@dataclass(frozen=True)
class Figure:
    """A gauge: its values by the values of its labels."""

    name: str
    help: str
    labels: tuple[str, ...] = ()
    values: Sequence[tuple[Sequence[str], float]] = ()


def figures_of(hub: Hub, checks: Sequence[HealthCheck], now: float) -> list[Figure]:
    """Return the gauges of a hub; where its database does not answer, those that need none.

    Args:
        hub: that is asked.
        checks: of its readiness, as they stand.
        now: Unix seconds.
    """
    found = [*_of_the_process(hub, checks), *_of_the_machine(hub)]
    if all(check.state != "fail" for check in checks if check.name == "database"):
        found += _of_the_database(hub, now)
    return found


def contact_at(now: float) -> ColumnElement[str]:
    """Return how a row of ``devices`` was heard of: ``heard``, ``late`` or ``lost``.

    The rule is that of :func:`cloud_hub.fleet.health.health`; a test holds both to each other.

    Args:
        now: Unix seconds.
    """
    d = devices.c
    interval = func.coalesce(d.interval, USUAL_SECONDS)
    silent = literal(now) - d.seen_at
    lost = case(
        (LOST * interval > LEAST_LOST_SECONDS, LOST * interval),
        else_=cast(LEAST_LOST_SECONDS, Float),
    )
    return case(
        (silent > lost + SLACK_SECONDS, "lost"),
        (silent > LATE * interval + SLACK_SECONDS, "late"),
        else_="heard",
    )


def contacts_query(now: float) -> Select[Any]:
    """Return the query that counts active devices by model and contact: heard, late, lost.

    Args:
        now: Unix seconds.
    """
    d = devices.c
    contact = contact_at(now).label("contact")
    return (
        select(d.model, contact, func.count())
        .join(identities, identities.c.device == d.device)
        .where(identities.c.standing == "active")
        .group_by(d.model, contact)
    )


def _of_the_process(hub: Hub, checks: Sequence[HealthCheck]) -> list[Figure]:
    loop = hub.loop
    states = [((check.name,), float(check.state != "fail")) for check in checks]
    warned = [((check.name,), float(check.state == "warn")) for check in checks]
    failing = [((part,), 1.0) for part in sorted(loop.errors)]
    ticked = time.time() - (time.monotonic() - loop.ticked_at)
    return [
        Figure("edge_hub_build_info", "Version of the hub.", ("version",), [((_version(),), 1.0)]),
        Figure("edge_hub_ready", "1 if a check of /readyz passes.", ("check",), states),
        Figure("edge_hub_warning", "1 if a check needs somebody soon.", ("check",), warned),
        Figure("edge_hub_loop_part_failing", "Parts of the loop that fail.", ("part",), failing),
        Figure("edge_hub_loop_leads", "1 if this process loops.", (), [((), float(loop.leads))]),
        Figure(
            "edge_hub_loop_last_tick_timestamp_seconds", "End of the loop's last round.",
            (), [((), ticked)],
        ),
    ]  # fmt: skip


def _of_the_machine(hub: Hub) -> list[Figure]:
    free, size = disk_room(hub.settings.data)
    ends = [
        ((role.role,), datetime.fromisoformat(role.expires).timestamp())
        for role in hub.keys.status().roles
    ]
    name, text = "edge_hub_role_expiry_timestamp_seconds", "End of what a role signed last."
    return [
        Figure("edge_hub_disk_free_bytes", "Free on the disk of the data.", (), [((), free)]),
        Figure("edge_hub_disk_size_bytes", "Size of the disk of the data.", (), [((), size)]),
        Figure(name, text, ("role",), ends),
    ]


def _of_the_database(hub: Hub, now: float) -> list[Figure]:
    a = alarms.c
    is_open = select(a.model, a.kind, func.count()).where(a.acknowledged_at.is_(None))
    with hub.engine.connect() as db:
        contacts = [((m, contact), float(n)) for m, contact, n in db.execute(contacts_query(now))]
        opened = [
            ((m, kind), float(n)) for m, kind, n in db.execute(is_open.group_by(a.model, a.kind))
        ]
    opened += [((m or "", kind), 1.0) for m, kind in hub.alarms.unseen()]
    failing = [((each.name,), 1.0) for each in hub.alerts.failing()]
    labels = ("model", "contact")
    return [
        Figure("edge_hub_devices", "Active devices by when they were heard of.", labels, contacts),
        Figure("edge_hub_alarms_open", "Alarms nobody has seen.", ("model", "kind"), opened),
        Figure(
            "edge_hub_alert_destination_failing",
            "Destinations that fail or are off.",
            ("destination",),
            failing,
        ),
    ]


def _version() -> str:
    return version("edge-deployment-sdk-core")
