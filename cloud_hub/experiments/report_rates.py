"""How much the fleet reports: what a plan for an experiment stands on."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any, Final

from sqlalchemy import Engine, Table, select

from cloud_hub.experiments.exposure_sink import sums_of
from cloud_hub.experiments.planner import DAY, Rates
from cloud_hub.experiments.tables import experiments, exposures
from cloud_hub.experiments.verdict.measures import SUMS, outcomes_of
from cloud_hub.experiments.verdict.spec import ExperimentSpec
from cloud_hub.fleet.service import Fleet
from cloud_hub.telemetry.tables import feedback, reports
from edge_sdk.contract.codec import from_plain
from edge_sdk.contract.messages import FeedbackReport, WindowReport

LOOKBACK: Final = 7 * DAY
NEWEST: Final = 5_000
"""Reports that are looked at to see whether anybody measures energy."""

KINDS: Final[tuple[tuple[Table, type[WindowReport | FeedbackReport]], ...]] = (
    (reports, WindowReport),
    (feedback, FeedbackReport),
)


def rates_of(engine: Engine, fleet: Fleet, spec: ExperimentSpec, version: str, now: float) -> Rates:
    """What devices of the experiment's cohorts reported of ``version`` in the last week."""
    reached = _reached(fleet, spec)
    found: dict[str, Counter[str]] = defaultdict(Counter)
    first = now
    for device, start, sums in _sums(engine, spec.model, version, now - LOOKBACK):
        if device in reached:
            first = min(first, start)
            found[device].update({name: sums[name] for name in SUMS if name in sums})
    return Rates(outcomes_of(found), now - first, len(reached), _decided(engine, spec))


def metered_of(engine: Engine, fleet: Fleet, spec: ExperimentSpec, version: str) -> tuple[int, int]:
    """Of the experiment's cohorts, how many devices reported of ``version`` lately, and how many of
    them with energy; in the :data:`NEWEST` reports.
    """
    reached, r = _reached(fleet, spec), reports.c
    joules = r.body["energy", "joules"].as_float()
    newest = (
        select(r.device, joules.label("joules"))
        .where(r.model == spec.model, r.version == version)
        .order_by(r.start.desc())
        .limit(NEWEST)
    )
    with engine.connect() as db:
        found = [(device, drawn) for device, drawn in db.execute(newest) if device in reached]
    return len({d for d, _ in found}), len({d for d, drawn in found if drawn})


def _reached(fleet: Fleet, spec: ExperimentSpec) -> set[str]:
    cohorts = [stage.cohort for stage in spec.path]
    return {
        d.device
        for d in fleet.devices(spec.model)
        if any(cohort is None or cohort.includes(d.attributes) for cohort in cohorts)
    }


def _decided(engine: Engine, spec: ExperimentSpec) -> float | None:
    """Of the clicked rankings of earlier interleavings of the model, how many were no tie."""
    query = (
        select(exposures.c.detail)
        .join(experiments, exposures.c.experiment == experiments.c.id)
        .where(experiments.c.model == spec.model, exposures.c.kind == "interleave")
    )
    won = ties = 0
    with engine.connect() as db:
        for detail in db.execute(query).scalars() if spec.strategy == "interleave" else ():
            won, ties = won + sum(detail["wins"].values()), ties + detail["ties"]
    return won / (won + ties) if won + ties else None


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
