"""Weight of a device: no more than a multiple of the median device's. Pure.

What a device reports is a claim, and one device with ten thousand times the traffic of the
others, honest or not, would speak for the fleet. Its sums are scaled down as a whole, so that its
rates stay what it says that they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from statistics import median
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from cloud_hub.experiments.verdict.evidence import ArmEvidence, Evidence, Row

if TYPE_CHECKING:
    from cloud_hub.statistics.heterogeneity import Counts

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
    measures = {measure for arm in arms.values() for measure in arm.outcomes}
    kinds = {kind for arm in arms.values() for kind in arm.failures}
    most_outcomes = {
        m: _most(row[0] for arm in arms.values() for row in arm.outcomes.get(m, {}).values())
        for m in measures
    }
    most_requests = {
        k: _most(n for arm in arms.values() for n in _requests(arm, k).values()) for k in kinds
    }
    most_timed = _most(sum(row) for arm in arms.values() for row in arm.latency.values())
    capped = {
        name: replace(
            arm,
            outcomes={m: _rows(rows, most_outcomes[m]) for m, rows in arm.outcomes.items()},
            failures={k: _failures(arm, k, most_requests[k]) for k in arm.failures},
            latency={d: _scaled(row, sum(row), most_timed) for d, row in arm.latency.items()},
        )
        for name, arm in arms.items()
    }
    shadow, sessions = evidence.shadow, evidence.interleave
    names = ("labelled", "disagreements", "confidence", "value", "latency", "errors")
    bounded: dict[str, Any] = {name: _by_median(getattr(shadow, name)) for name in names}
    return replace(
        evidence,
        arms=capped,
        shadow=replace(shadow, **bounded),
        interleave=replace(
            sessions, decided=_by_median(sessions.decided), errors=_by_median(sessions.errors)
        ),
    )


def _most(numbers: Iterable[float]) -> float:
    there = [number for number in numbers if number > 0]
    return MULTIPLE * median(there) if there else 0.0


def _rows(rows: Mapping[str, Row], most: float) -> dict[str, Row]:
    return {device: _scaled(row, row[0], most) for device, row in rows.items()}


def _by_median(rows: Mapping[str, Row]) -> dict[str, Row]:
    return _rows(rows, _most(row[0] for row in rows.values()))


def _requests(arm: ArmEvidence, kind: str) -> dict[str, float]:
    """Requests of each device in all periods."""
    totals: dict[str, float] = {}
    for (device, _), (_failed, requests) in arm.failures.get(kind, {}).items():
        totals[device] = totals.get(device, 0.0) + requests
    return totals


def _failures(arm: ArmEvidence, kind: str, most: float) -> dict[tuple[str, int], Counts]:
    totals = _requests(arm, kind)
    return {
        key: _scaled(counts, totals[key[0]], most) for key, counts in arm.failures[kind].items()
    }


def _scaled(row: Numbers, n: float, most: float) -> Numbers:
    """The row times ``most / n`` where a device has more; as it is, integers too, where not."""
    return row if n <= most else cast(Numbers, tuple(value * most / n for value in row))
