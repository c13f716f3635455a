"""Weight of a device: no more than a multiple of the median device's. Pure.

What a device reports is a claim, and one device with ten thousand times the traffic of the
others, honest or not, would speak for the fleet. Its sums are scaled down as a whole, so that its
rates stay what it says that they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from statistics import median_low
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from cloud_hub.experiments.verdict.evidence import ArmEvidence, Evidence, Row

if TYPE_CHECKING:
    pass

Numbers = TypeVar("Numbers", bound=tuple[float, ...])

MULTIPLE: Final = 10.0
"""Times the median device's number of outcomes."""


def weighted(evidence: Evidence) -> Evidence:
    """Return the evidence with no device above :data:`MULTIPLE` times the median one.

    Args:
        evidence: of one look; each measure and kind of failure has a median of its own, over the
            devices of all arms.
    """
    arms = evidence.arms
    outcomes = {
        measure: _factors(_numbers(arm.outcomes.get(measure, {})) for arm in arms.values())
        for measure in {measure for arm in arms.values() for measure in arm.outcomes}
    }
    requests = {
        kind: _factors(_requests(arm, kind) for arm in arms.values())
        for kind in {kind for arm in arms.values() for kind in arm.failures}
    }
    timed = _factors({d: sum(row) for d, row in arm.latency.items()} for arm in arms.values())
    bounded_arms = {
        name: replace(
            arm,
            outcomes={m: _scaled(rows, outcomes[m]) for m, rows in arm.outcomes.items()},
            failures={
                kind: {key: _times(counts, requests[kind][key[0]]) for key, counts in rows.items()}
                for kind, rows in arm.failures.items()
            },
            latency=_scaled(arm.latency, timed),
        )
        for name, arm in arms.items()
    }
    shadow, sessions = evidence.shadow, evidence.interleave
    names = ("labelled", "disagreements", "confidence", "value", "latency", "errors")
    bounded: dict[str, Any] = {name: _alone(getattr(shadow, name)) for name in names}
    return replace(
        evidence,
        arms=bounded_arms,
        shadow=replace(shadow, **bounded),
        interleave=replace(
            sessions, decided=_alone(sessions.decided), errors=_alone(sessions.errors)
        ),
    )


def _factors(arms: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Factor of each device: the same on both arms, where it is its own control."""
    totals: dict[str, float] = {}
    for numbers in arms:
        for device, number in numbers.items():
            totals[device] = totals.get(device, 0.0) + number
    there = [total for total in totals.values() if total > 0]
    # The lower of two in the middle: of two devices neither lifts its own bound.
    most = MULTIPLE * median_low(there) if there else 0.0
    return {d: most / total if total > most else 1.0 for d, total in totals.items()}


def _numbers(rows: Mapping[str, Row]) -> dict[str, float]:
    return {device: row[0] for device, row in rows.items()}


def _requests(arm: ArmEvidence, kind: str) -> dict[str, float]:
    """Requests of each device in all periods."""
    totals: dict[str, float] = {}
    for (device, _), (_failed, requests) in arm.failures.get(kind, {}).items():
        totals[device] = totals.get(device, 0.0) + requests
    return totals


def _alone(rows: Mapping[str, Row]) -> dict[str, Row]:
    return _scaled(rows, _factors([_numbers(rows)]))


def _scaled(rows: Mapping[str, Numbers], factors: Mapping[str, float]) -> dict[str, Numbers]:
    return {device: _times(row, factors[device]) for device, row in rows.items()}


def _times(row: Numbers, factor: float) -> Numbers:
    """The row times a factor; as it is, integers too, where that is 1."""
    return row if factor == 1 else cast(Numbers, tuple(value * factor for value in row))
