"""Every group of rows in docs/SCALE.md, in the order of its table; each is measured by itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from benchmarks.hub import (
    alias,
    busy_tick,
    idle,
    kills,
    looked_at,
    many_versions,
    measured_rows,
    month,
    packs,
    postgres_rows,
    push,
    reports,
    storm,
    telemetry_day,
    trainings,
    web_servers,
    workers,
)
from benchmarks.hub.scale_row import Measure, ScaleRow


class Group(NamedTuple):
    """What measures a group, and the row that stands for it until somebody has.

    ``measure`` is ``None`` where this benchmark does not measure it.
    """

    measure: Measure | None
    waiting: ScaleRow


SERVERS: Final = "servers"
STORM: Final = "storm"

GROUPS: Final[Mapping[str, Group]] = {
    "start": Group(measured_rows.starting, ScaleRow("ready", "ready after its start", "≤ 2 s")),
    "poll": Group(measured_rows.polling, ScaleRow("poll", "poll answered 304", "≥ 3,000/s")),
    "alias": Group(alias.beside_mlflow, ScaleRow("alias", alias.WHAT, f"≥ {alias.TIMES}×")),
    "cascade": Group(measured_rows.asking, ScaleRow("cascade", "cascade answer", "≥ 1,500/s")),
    "report": Group(reports.on_sqlite, ScaleRow("report", "window report, SQLite", "≥ 1,200/s")),
    STORM: Group(storm.storms, ScaleRow("storm", f"100,000 {storm.WHAT}", storm.GOAL)),
    "push": Group(push.pushing, ScaleRow("push", push.WHAT, push.GOAL)),
    "workers": Group(
        workers.on_postgresql, ScaleRow("workers", workers.WHAT, workers.GOAL)
    ),
    "postgres": Group(
        postgres_rows.on_postgresql,
        ScaleRow("postgres", postgres_rows.WHAT, postgres_rows.GOAL),
    ),
    "versions": Group(
        many_versions.asking, ScaleRow("versions", many_versions.WHAT, many_versions.GOAL)
    ),
    "pages": Group(looked_at.looking, ScaleRow("pages", looked_at.WHAT, looked_at.GOAL)),
    "tick": Group(busy_tick.ticking, ScaleRow("tick", busy_tick.WHAT, busy_tick.GOAL)),
    "day": Group(telemetry_day.asking, ScaleRow("day", telemetry_day.WHAT, telemetry_day.GOAL)),
    "month": Group(month.simulating, ScaleRow("month", month.WHAT, month.GOAL)),
    "idle": Group(idle.connecting, ScaleRow("idle", idle.WHAT, idle.GOAL)),
    "kills": Group(kills.killing, ScaleRow("kills", kills.WHAT, kills.GOAL)),
    "pack": Group(packs.publishing, ScaleRow("pack", packs.WHAT, packs.GOAL)),
    "freshness": Group(trainings.training, ScaleRow("freshness", trainings.WHAT, trainings.GOAL)),
    "generator": Group(
        measured_rows.generator_limit, ScaleRow("generator", "the load generator alone", "")
    ),
    SERVERS: Group(web_servers.compare, ScaleRow(SERVERS, "web servers", "")),
}  # fmt: skip
