"""Evidence in which no device weighs more than it may. Pure.

The sums of one that has too much are scaled down as a whole, so that its rates stay what it says
that they are.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np

from cloud_hub.experiments.verdict.evidence import PAIRED, Evidence, Row, by_device
from cloud_hub.statistics.heterogeneity import Counts
from cloud_hub.statistics.influence import device_factors, factors_of
from cloud_hub.statistics.samples import DeviceRows

if TYPE_CHECKING:
    from cloud_hub.statistics.samples import Floats

CountsByKind = Mapping[str, Mapping[tuple[str, int], Counts]]
Name = TypeVar("Name", bound=str)
Numbers = TypeVar("Numbers", bound=tuple[float, ...])


def weighted(evidence: Evidence) -> Evidence:
    """Return the evidence with no device above its bound; see :func:`device_factors`.

    Args:
        evidence: of one look; each measure and kind of failure has a median of its own, over the
            devices of all arms.
    """
    arms = evidence.arms
    outcomes = {
        measure: _of_rows([arm.outcomes.get(measure, {}) for arm in arms.values()])
        for measure in {measure for arm in arms.values() for measure in arm.outcomes}
    }
    requests = _by_kind([arm.failures for arm in arms.values()])
    of_groups = _by_kind([arm.groups for arm in arms.values()])
    answered = {
        came: _of_rows([arm.labels.get(came, {}) for arm in arms.values()])
        for came in {came for arm in arms.values() for came in arm.labels}
    }
    timed = _factors({d: sum(row) for d, row in arm.latency.items()} for arm in arms.values())
    bounded_arms = {
        name: replace(
            arm,
            outcomes={m: _scaled(rows, outcomes[m]) for m, rows in arm.outcomes.items()},
            failures=_counts(arm.failures, requests),
            groups=_counts(arm.groups, of_groups),
            latency=_scaled(arm.latency, timed),
            labels={came: _scaled(rows, answered[came]) for came, rows in arm.labels.items()},
            key_outcomes=_tables(arm.key_outcomes, outcomes),
            key_failures=_tables(arm.key_failures, requests),
        )
        for name, arm in arms.items()
    }
    shadow, sessions = evidence.shadow, evidence.interleave
    bounded: dict[str, Any] = {name: _alone(getattr(shadow, name)) for name in PAIRED}
    return replace(
        evidence,
        arms=bounded_arms,
        shadow=replace(shadow, **bounded),
        interleave=replace(
            sessions, decided=_alone(sessions.decided), errors=_alone(sessions.errors)
        ),
    )


def _by_kind(arms: Sequence[CountsByKind]) -> dict[str, dict[str, float]]:
    """Factors of devices by kind of counts, each kind with a median of its own."""
    return {
        kind: _factors(
            {device: n for device, (_, n) in by_device(arm.get(kind, {})).items()} for arm in arms
        )
        for kind in {kind for arm in arms for kind in arm}
    }


def _counts(arm: CountsByKind, factors: Mapping[str, Mapping[str, float]]) -> CountsByKind:
    """Counts of an arm by kind, device and period, times the factors of their kind and device."""
    return {
        kind: rows
        if _bounds_nobody(factors[kind])
        else {key: _times(counts, factors[kind][key[0]]) for key, counts in rows.items()}
        for kind, rows in arm.items()
    }


def _bounds_nobody(factors: Mapping[str, float]) -> bool:
    # So it is of nearly all fleets, whose rows stay what they are.
    return not set(factors.values()) - {1.0}


def _factors(arms: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Factor of each device: the same on both arms, where it is its own control."""
    totals: dict[str, float] = {}
    for numbers in arms:
        for device, number in numbers.items():
            totals[device] = totals.get(device, 0.0) + number
    return device_factors(totals)


def _of_rows(arms: Sequence[Mapping[str, Row]]) -> Mapping[str, float]:
    """Factor of each device with rows on the arms."""
    columnar = [rows for rows in arms if isinstance(rows, DeviceRows)]
    if not columnar:
        return _factors(_numbers(rows) for rows in arms)
    names = columnar[0].names
    totals = np.zeros(len(names))
    for rows in columnar:
        totals[rows.index] += rows.columns[:, 0]
    return _FleetFactors(names, factors_of(totals))


class _FleetFactors(Mapping[str, float]):
    """Factors of a whole fleet, in the order of its names."""

    def __init__(self, names: Sequence[str], values: Floats) -> None:
        self.names, self.values_by_place = names, values

    def __getitem__(self, name: str) -> float:
        return float(self.values_by_place[bisect_left(self.names, name)])

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


def _numbers(rows: Mapping[str, Row]) -> dict[str, float]:
    return {device: row[0] for device, row in rows.items()}


def _alone(rows: Mapping[str, Row]) -> Mapping[str, Row]:
    return _scaled(rows, device_factors(_numbers(rows)))


def _scaled(rows: Mapping[str, Numbers], factors: Mapping[str, float]) -> Mapping[str, Numbers]:
    if isinstance(rows, DeviceRows) and isinstance(factors, _FleetFactors):
        return cast(Mapping[str, Numbers], rows.scaled(factors.values_by_place))
    if _bounds_nobody(factors):
        return rows
    return {device: _times(row, factors[device]) for device, row in rows.items()}


def _tables(
    named: Mapping[Name, Mapping[str, Floats]], factors: Mapping[Name, Mapping[str, float]]
) -> dict[Name, dict[str, Floats]]:
    """Sums by bucket of keys of each measure or kind, by device, times that one's factors."""
    return {
        name: {device: table * factors[name][device] for device, table in by_device.items()}
        for name, by_device in named.items()
    }


def _times(row: Numbers, factor: float) -> Numbers:
    """The row times a factor; as it is, integers too, where that is 1."""
    return row if factor == 1 else cast(Numbers, tuple(value * factor for value in row))
