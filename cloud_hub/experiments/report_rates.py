"""Rates at which the fleet reports: the ground that the plan of an experiment stands on."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

from sqlalchemy import Engine, Table, func, select

from cloud_hub.database.engine import reading
from cloud_hub.experiments import schedule
from cloud_hub.experiments.exposure_sink import exposure_of
from cloud_hub.experiments.planner import DAY, Rates
from cloud_hub.experiments.tables import experiments, exposures
from cloud_hub.experiments.verdict.measures import ExposureSums, outcomes_of
from cloud_hub.telemetry.tables import ROLLED, feedback, reports
from edge_sdk.contract.codec import from_plain
from edge_sdk.contract.messages import FeedbackReport, WindowReport

if TYPE_CHECKING:
    from cloud_hub.experiments.verdict.spec import ExperimentSpec
    from cloud_hub.fleet.service import Fleet

LOOKBACK: Final = 7 * DAY
NEWEST: Final = 5_000
"""Reports that are looked at to see whether anybody measures energy."""

KINDS: Final[tuple[tuple[Table, type[WindowReport | FeedbackReport]], ...]] = (
    (reports, WindowReport),
    (feedback, FeedbackReport),
)


def rates_of(engine: Engine, fleet: Fleet, spec: ExperimentSpec, version: str, now: float) -> Rates:
    """Return what devices of an experiment's cohorts reported in the last week.

    Args:
        engine: of the hub's database.
        fleet: knows the devices and their attributes.
        spec: names the model and the cohorts.
        version: whose reports are counted: what serves.
        now: Unix seconds.
    """
    attributes = {d.device: d.attributes for d in fleet.participants(spec.model)}
    stages = schedule.units_of(spec, attributes)
    reached = set[str]().union(*stages)
    rows = [row for row in _sums(engine, spec.model, version, now - LOOKBACK) if row[0] in reached]
    first = min((start for _, start, _ in rows), default=now)
    totals: dict[str, ExposureSums] = defaultdict(ExposureSums)
    earlier: dict[str, ExposureSums] = defaultdict(ExposureSums)
    for device, start, sums in rows:
        totals[device] += sums
        if start < (first + now) / 2:
            earlier[device] += sums
    return Rates(
        outcomes_of(totals), now - first, len(reached), _decided(engine, spec),
        outcomes_of(earlier), tuple(len(stage) for stage in stages),
    )  # fmt: skip


def past_of(
    engine: Engine, spec: ExperimentSpec, version: str, now: float
) -> dict[str, ExposureSums]:
    """Return what each device reported under a version in the last week, as far as it is kept.

    Predictions, errors and labels; rewards, latency and energy where an outcome asks for them. The
    policy's ``retention.report_days`` says how long windows are kept by device.

    Args:
        engine: of the hub's database.
        spec: names the model, and the outcomes.
        version: whose reports are counted: what serves.
        now: Unix seconds.
    """
    since, totals = now - LOOKBACK, defaultdict[str, ExposureSums](ExposureSums)
    if any(outcome.metric not in ("accuracy", "errors") for outcome in spec.outcomes):
        # These stand in the bodies alone.
        for device, _, sums in _sums(engine, spec.model, version, since):
            totals[device] += sums
    else:
        for device, sums in _counts(engine, spec.model, version, since):
            totals[device] += sums
    return dict(totals)


def metered_of(engine: Engine, fleet: Fleet, spec: ExperimentSpec, version: str) -> tuple[int, int]:
    """Count the devices that reported lately, and those of them that reported energy.

    Args:
        engine: of the hub's database.
        fleet: knows the devices and their attributes.
        spec: names the model and the cohorts.
        version: whose reports are counted; the :data:`NEWEST` of them are read.
    """
    reached, r = _reached(fleet, spec), reports.c
    # Read inside the JSON by the database: thousands of whole reports need not travel.
    joules = r.body["energy", "joules"].as_float()
    newest = (
        select(r.device, joules.label("joules"))
        .where(r.model == spec.model, r.version == version)
        .order_by(r.start.desc())
        .limit(NEWEST)
    )
    with engine.connect() as db:
        newest_rows = [(d, drawn) for d, drawn in db.execute(newest) if d in reached]
    return len({d for d, _ in newest_rows}), len({d for d, drawn in newest_rows if drawn})


def _reached(fleet: Fleet, spec: ExperimentSpec) -> set[str]:
    return {
        d.device
        for d in fleet.participants(spec.model)
        if any(stage.includes(d.attributes) for stage in spec.path)
    }


def _decided(engine: Engine, spec: ExperimentSpec) -> float | None:
    """Share of the clicked rankings of the model's earlier interleavings that were no tie."""
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
) -> list[tuple[str, int, ExposureSums]]:
    rows = []
    with engine.connect() as db:
        for table, message in KINDS:
            t = table.c
            # Rows of all devices of an hour together have no window and no device.
            query = select(t.device, t.start, t.body).where(
                t.model == model, t.version == version, t.start >= since, t.device != ROLLED
            )
            for device, start, body in db.execute(query):
                # Only sums are read, so when the message came does not matter.
                rows.append((device, start, exposure_of(from_plain(message, body), 0.0).sums))
    return rows


def _counts(
    engine: Engine, model: str, version: str, since: float
) -> list[tuple[str, ExposureSums]]:
    """Sums of what has columns, added up by the database: two rows a device."""
    queries = (
        (reports, {"predictions": reports.c.predictions, "errors": reports.c.failures}),
        (feedback, {"labelled": feedback.c.own_labelled, "correct": feedback.c.own_correct}),
    )
    rows = []
    with reading(engine) as db:
        for table, columns in queries:
            t = table.c
            query = (
                select(t.device, *(func.sum(column) for column in columns.values()))
                .where(t.model == model, t.version == version, t.start >= since, t.device != ROLLED)
                .group_by(t.device)
            )
            for device, *sums in db.execute(query):
                rows.append((device, ExposureSums(**dict(zip(columns, sums, strict=True)))))
    return rows
