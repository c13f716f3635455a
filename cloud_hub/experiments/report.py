"""Report of one experiment: everything that it was decided on, over time. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, TypeVar

from cloud_hub.experiments import report_text, schedule
from cloud_hub.experiments.report_sections import (
    ArmStatus,
    CohortArm,
    EvidencePoint,
    ExposurePoint,
    ExposureSeries,
    GuardSeries,
    OutcomePoint,
    OutcomeSeries,
    Report,
    SessionPoint,
    TimelineEvent,
)
from cloud_hub.experiments.verdict.device_counts import shares
from cloud_hub.experiments.verdict.effects import effects_by_cohort
from cloud_hub.experiments.verdict.figures import (
    ErrorExcess,
    FailureExcess,
    Figures,
    GroupExcess,
    Guard,
    InterleaveFigures,
    OutcomeFigures,
    ShadowFigures,
)
from cloud_hub.experiments.verdict.measures import ExposureSums

if TYPE_CHECKING:
    from cloud_hub.database.records import DeviceRecord
    from cloud_hub.experiments.exposure_rows import ArmSums
    from cloud_hub.experiments.record import ExperimentEvent, ExperimentRecord
    from cloud_hub.experiments.verdict.effects import Compared
    from cloud_hub.experiments.verdict.spec import ArmSpec, ExperimentSpec

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)
MOST_COHORTS: Final = 12
"""Values that an attribute may have to be shown as cohorts; beyond, a table helps nobody."""


def build(
    record: ExperimentRecord,
    history: Sequence[ExperimentEvent],
    sums: Sequence[ArmSums],
    devices: Mapping[str, DeviceRecord],
    compared: Sequence[Compared],
) -> Report:
    """Build the report.

    Args:
        record: of the experiment.
        history: its looks and decisions, oldest first.
        sums: exposure by device and arm since the start.
        devices: of the model, by name, with their attributes of when the experiment began.
        compared: outcomes of the arms since the start.
    """
    spec, figures = record.spec, record.figures
    arms = tuple(_arm(record, arm) for arm in spec.tried)
    counts = figures.devices or {}
    attributes = {name: device.attributes for name, device in devices.items()}
    return Report(
        experiment=record,
        now=present_step(record),
        tried=report_text.tried(spec, arms),
        arms=arms,
        path=report_text.path(spec, record.stage, record.step, record.status),
        rules=tuple(report_text.rules(spec)),
        timeline=tuple(_timeline(spec, entry) for entry in history if entry.event != "look"),
        outcomes=_outcomes(history),
        guardrails=_guardrails(history),
        exposure=_exposure(history),
        beside=_beside(history),
        sessions=_sessions(history),
        allocation=figures.allocation or (),
        devices=counts,
        shares={arm: shares(row) for arm, row in counts.items()},
        cohorts=by_cohort(spec, sums, devices),
        effects=effects_by_cohort(compared, attributes, spec.minimum_devices),
        labels=figures.labels,
    )


def present_step(record: ExperimentRecord) -> str:
    """The step that an experiment is in, for people."""
    spec = record.spec
    # A canary that ended by passing its last step is recorded one step further.
    return schedule.shown(spec, record.stage, min(record.step, _last(spec, record.stage)))


def by_cohort(
    spec: ExperimentSpec, sums: Sequence[ArmSums], devices: Mapping[str, DeviceRecord]
) -> tuple[CohortArm, ...]:
    """Sum up every arm in every cohort: of the stages, or of the attribute with most values.

    Args:
        spec: the declared experiment.
        sums: exposure by device and arm since the start.
        devices: of the model, by name; one that is not there any more is of cohort ``unknown``.
    """
    names = _cohort_names(spec, devices)
    totals: dict[tuple[str, str], ExposureSums] = defaultdict(ExposureSums)
    counts: Counter[tuple[str, str]] = Counter()
    for row in sums:
        key = (names.get(row.device, "unknown"), row.arm)
        totals[key] += row.sums
        counts[key] += 1
    return tuple(
        CohortArm(
            cohort,
            arm,
            counts[cohort, arm],
            total.predictions,
            total.errors,
            total.labelled,
            total.correct,
            total.energy_n,
            total.energy_sum,
            accuracy=_share(total.correct, total.labelled),
            joules_a_prediction=_share(total.energy_sum, total.energy_n),
            mae=_share(total.error_sum, total.measured),
            served=_share(total.served_correct, total.served_labelled),
        )
        for (cohort, arm), total in sorted(totals.items(), key=lambda item: item[0])
    )


def _cohort_names(spec: ExperimentSpec, devices: Mapping[str, DeviceRecord]) -> dict[str, str]:
    if spec.stages:
        names = {}
        for device, record in devices.items():
            fits = (stage.name for stage in spec.path if stage.includes(record.attributes))
            names[device] = next(fits, "outside")
        return names
    values: dict[str, set[str]] = defaultdict(set)
    for record in devices.values():
        for name, value in record.attributes.items():
            values[name].add(value)
    few = {name: each for name, each in values.items() if len(each) <= MOST_COHORTS}
    if not few:
        return dict.fromkeys(devices, "everybody")
    # Sorted first: of attributes with as many values it is the same one each time.
    chosen = max(sorted(few), key=lambda name: len(few[name]))
    return {d: f"{chosen}={r.attributes.get(chosen, '?')}" for d, r in devices.items()}


def _arm(record: ExperimentRecord, arm: ArmSpec) -> ArmStatus:
    dropped = record.dropped.get(arm.name)
    won = record.state.winner == arm.name
    ended = "not promoted" if record.status == "promoted" else record.status
    state = "dropped" if dropped else "runs" if record.open else ended
    if won:
        state = "promoted" if record.status == "promoted" else "won"
    return ArmStatus(arm.name, arm.shown, state, dropped)


def _timeline(spec: ExperimentSpec, entry: ExperimentEvent) -> TimelineEvent:
    step = min(entry.step, _last(spec, entry.stage))
    return TimelineEvent(
        entry.at, entry.event, schedule.shown(spec, entry.stage, step), entry.reason
    )


def _last(spec: ExperimentSpec, stage: int) -> int:
    return len(spec.path[stage].steps) - 1


def _grouped(
    history: Sequence[ExperimentEvent],
    rows: Callable[[Figures], Iterable[T]],
    key: Callable[[T], K],
) -> dict[K, list[tuple[ExperimentEvent, T]]]:
    """Rows of all looks by their key, oldest first."""
    groups: dict[K, list[tuple[ExperimentEvent, T]]] = defaultdict(list)
    for entry in history:
        for row in rows(entry.figures):
            groups[key(row)].append((entry, row))
    return groups


def _outcomes(history: Sequence[ExperimentEvent]) -> tuple[OutcomeSeries, ...]:
    groups = _grouped(history, lambda f: f.outcomes or (), lambda row: (row.outcome, row.arm))
    return tuple(
        OutcomeSeries(
            outcome, arm, tuple(_point(entry, row) for entry, row in looks), latest=looks[-1][1]
        )
        for (outcome, arm), looks in groups.items()
    )


def _point(entry: ExperimentEvent, row: OutcomeFigures) -> OutcomePoint:
    place = (entry.stage, entry.step)
    return OutcomePoint(entry.at, place, row.gain, row.low, row.high, row.p, row.n)


def _guardrails(history: Sequence[ExperimentEvent]) -> tuple[GuardSeries, ...]:
    groups = _grouped(history, lambda f: f.guardrails or (), lambda guard: (guard.name, guard.arm))
    return tuple(
        GuardSeries(
            name,
            arm,
            tuple(point for entry, guard in looks for point in _evidence(entry, guard)),
            latest=looks[-1][1],
            tripped=any(guard.trips for _, guard in looks),
        )
        for (name, arm), looks in groups.items()
    )


def _evidence(entry: ExperimentEvent, guard: Guard) -> tuple[EvidencePoint, ...]:
    figures = guard.figures
    if isinstance(figures, FailureExcess | GroupExcess | ErrorExcess):
        return (EvidencePoint(entry.at, figures.e_value),)
    return ()


def _exposure(history: Sequence[ExperimentEvent]) -> tuple[ExposureSeries, ...]:
    """Predictions of each arm in the step, over time."""
    groups = _grouped(history, _exposed, lambda row: row[0])
    return tuple(
        ExposureSeries(
            arm,
            tuple(
                ExposurePoint(entry.at, (entry.stage, entry.step), devices, predictions)
                for entry, (_, devices, predictions) in looks
            ),
        )
        for arm, looks in groups.items()
    )


def _exposed(figures: Figures) -> list[tuple[str, int | None, int]]:
    """Arm, devices and predictions at one look; of interleaving there are sessions instead."""
    if figures.shadow is not None:
        return [("candidate", figures.shadow.devices, figures.shadow.compared)]
    if figures.interleave is not None:
        return [("sessions", None, figures.interleave.sessions)]
    return [(arm, row.devices, row.predictions) for arm, row in (figures.arms or {}).items()]


def _sessions(history: Sequence[ExperimentEvent]) -> tuple[SessionPoint, ...]:
    looks = ((entry.at, entry.figures.interleave) for entry in history)
    return tuple(
        SessionPoint(at, sessions.signs.share, sessions.signs.low, sessions.signs.high)
        for at, sessions in looks
        if sessions is not None
    )


def _beside(history: Sequence[ExperimentEvent]) -> ShadowFigures | InterleaveFigures | None:
    """The last look at a shadow run or interleaving."""
    for entry in reversed(history):
        figures = entry.figures.shadow or entry.figures.interleave
        if figures is not None:
            return figures
    return None


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None
