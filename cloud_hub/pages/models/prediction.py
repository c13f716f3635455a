"""When a running experiment will end, as far as its present step can tell. Pure.

No promise: what counts is the declared rule, which may be met sooner or never. The earliest end is
certain (nothing passes sooner), the likely one goes on as the present step has gone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from cloud_hub.experiments.record import ExperimentRecord
    from cloud_hub.experiments.verdict.figures import OutcomeFigures

LONGEST: Final = 366 * 86_400.0
"""Beyond a year from now no date is named."""


@dataclass(frozen=True)
class PredictedEnd:
    """When an experiment will end.

    Attributes:
        earliest: no end with a winner comes sooner, Unix seconds.
        likely: if it goes on as in this step, Unix seconds; ``None`` where that says nothing.
        waits_for: what keeps the present step, for people.
    """

    earliest: float
    likely: float | None
    waits_for: str


def predicted_end(record: ExperimentRecord, now: float) -> PredictedEnd | None:
    """Predict the end of an experiment.

    Args:
        record: of the experiment.
        now: Unix seconds.

    Returns:
        The prediction; ``None`` unless it runs.
    """
    if record.status != "running":
        return None
    spec, began = record.spec, record.step_started_at
    soaked = max(now, began + spec.soak_seconds)
    left = _steps_left(record)
    earliest = soaked + left * spec.soak_seconds
    age = max(now - began, 1.0)
    needs = [_needed(record, row, age) for row in record.figures.outcomes or ()]
    if not needs:
        waits = "the first outcomes" if now >= began + spec.soak_seconds else "the time of the step"
        return PredictedEnd(earliest, None, waits)
    longest, waits_for = max(needs, key=lambda need: need[0])
    # Labels count later than they are made: nothing of the step is known before.
    settles = record.figures.labels.settles if record.figures.labels is not None else 0.0
    whole = max(spec.soak_seconds, longest + settles)
    likely = max(began + whole, now) + left * whole
    if longest <= age:
        waits_for = "the time of the step" if now < soaked else "the next look"
    return PredictedEnd(earliest, likely if likely - now < LONGEST else None, waits_for)


def _steps_left(record: ExperimentRecord) -> int:
    """Steps that come after the present one; those of everybody are none."""
    path = record.spec.path
    rest = [step for step in path[record.stage].steps[record.step + 1 :] if step < 1]
    if record.spec.strategy != "canary":
        return 0
    later = [step for stage in path[record.stage + 1 :] for step in stage.steps if step < 1]
    return len(rest) + len(later)


def _needed(record: ExperimentRecord, row: OutcomeFigures, age: float) -> tuple[float, str]:
    """Return how long the step takes in all, by one outcome at its ``age``, and what is missing."""
    spec, name = record.spec, f"{row.outcome} of {row.arm}"
    have = min(row.outcomes)
    if have < spec.minimum_outcomes:
        longest = age * spec.minimum_outcomes / have if have else float("inf")
        return longest, f"{name}: {have:,} of {spec.minimum_outcomes:,} outcomes on each arm"
    if min(row.devices) < spec.minimum_devices:
        there = f"{min(row.devices)} of {spec.minimum_devices} devices"
        return float("inf"), f"{name}: {there} on each arm"
    if spec.design.horizon:
        return age * spec.design.horizon / max(row.n, 1.0), f"{name}: its planned end"
    margin = row.gain + row.minimum_effect
    width = row.gain - row.low if row.low is not None else float("inf")
    if margin <= 0:
        return float("inf"), f"{name}: it looks worse than may be"
    # An interval narrows with the root of the evidence.
    return age * max(1.0, (width / margin) ** 2), f"{name}: the interval is still too wide"
