"""How much the fleet reports: what a plan for an experiment stands on."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, Final

from sqlalchemy import Engine, Table, select

from cloud_hub.experiments.evidence import Row
from cloud_hub.experiments.intake import sums_of
from cloud_hub.experiments.planner import DAY, Rates
from cloud_hub.experiments.spec import ExperimentSpec
from cloud_hub.fleet.service import Fleet
from cloud_hub.telemetry.tables import feedback, reports
from edge_sdk.contract.codec import from_plain
from edge_sdk.contract.messages import FeedbackReport, WindowReport
from edge_sdk.contract.plan import Measure

LOOKBACK: Final = 7 * DAY
KINDS: Final[tuple[tuple[Table, type[WindowReport | FeedbackReport]], ...]] = (
    (reports, WindowReport),
    (feedback, FeedbackReport),
)


def rates_of(engine: Engine, fleet: Fleet, spec: ExperimentSpec, version: str, now: float) -> Rates:
    """What devices of the experiment's cohorts reported of ``version`` in the last week."""
    cohorts = [stage.cohort for stage in spec.path]
    reached = {
        d.device
        for d in fleet.devices(spec.model)
        if any(cohort is None or cohort.includes(d.attributes) for cohort in cohorts)
    }
    found: dict[Measure, dict[str, Row]] = defaultdict(dict)
    first = now
    for device, start, sums in _sums(engine, spec.model, version, now - LOOKBACK):
        if device in reached:
            first = min(first, start)
            for measure, row in _rows(sums).items():
                have = found[measure].get(device, (0.0, 0.0, 0.0))
                found[measure][device] = (have[0] + row[0], have[1] + row[1], have[2] + row[2])
    return Rates(found, now - first, len(reached))


def _sums(
    engine: Engine, model: str, version: str, since: float
) -> list[tuple[str, int, dict[str, Any]]]:
    rows = []
    with engine.connect() as db:
        for table, message in KINDS:
            query = select(table.c.device, table.c.start, table.c.body).where(
                table.c.model == model, table.c.version == version, table.c.start >= since
            )
            for device, start, body in db.execute(query):
                rows.append((device, start, sums_of(from_plain(message, body))))
    return rows


def _rows(sums: dict[str, Any]) -> dict[Measure, Row]:
    s: dict[str, Any] = defaultdict(int, sums)
    rows: dict[Measure, Row] = {
        "accuracy": (s["labelled"], s["correct"], s["correct"]),
        "reward": (s["rewards"], s["reward_sum"], s["reward_squares"]),
        "latency": (s["latency_n"], s["latency_sum"], s["latency_squares"]),
        "errors": (s["predictions"] + s["errors"], s["errors"], s["errors"]),
    }
    return {measure: row for measure, row in rows.items() if row[0]}
