"""From devices' sums over units to what they say together, whatever a few of them claim. Pure.

Devices of one voucher are one voice. Voices are dealt into groups by a hash that none of them can
choose; a number is the median of the groups' means (median of means: Nemirovsky & Yudin 1983;
Lugosi & Mendelson 2019). So one device, whatever it sends, moves a number no farther than to the
next group's mean on either side: :class:`Robust` says how far that is. A device weighs as
:data:`UNITS_COUNTED` units at most, so that large ones do not outvote all others.

Whether personalising helps is the mean gain over voices, with an interval that holds at every look
(:mod:`cloud_hub.statistics.sequential`), and that must hold without the most favourable voice.
"""

from __future__ import annotations

import functools
import hashlib
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cloud_hub.statistics.sequential import SampleMoments, mean_interval
from edge_sdk.contract.personal.report import (
    BLOCKS,
    DELTA,
    VECTORS,
    CutBlock,
    PersonalReport,
    noise_of,
)
from edge_sdk.personalise.sums.noise import multiplier_of

Numbers = NDArray[np.float64]

UNITS_COUNTED: Final = 200
"""Units of one voice that count at most."""

GROUPS: Final = 11
"""Groups of voices at most, an odd number."""

VOICES_OF_A_GROUP: Final = 3

ALPHA: Final = 0.05
"""Of the interval of the gain."""

TUNED_FOR: Final = 100
"""Voices at which that interval is tightest."""

DEVIATIONS: Final = 6.0
"""Of its noise by which a number with noise may be beyond what units have."""

LEAST_UNITS: Final = 0.25
"""Units of a voice, on average, below which sums with noise are nothing to divide by."""


@dataclass(frozen=True)
class Robust:
    """Numbers [k] that one voice can move no farther than ``low`` to ``high``, whatever it says."""

    value: Numbers
    low: Numbers
    high: Numbers

    @property
    def reach(self) -> Numbers:
        """How far one voice can move each."""
        return np.maximum(self.high - self.value, self.value - self.low)


@dataclass(frozen=True)
class PersonalGain:
    """Share of labels that personalising got right and the release alone did not, less the reverse.

    Attributes:
        mean: over voices.
        low: of the interval that holds at every look.
        high: of the same.
        low_without: the same without the voice that gained most.
        high_without: the same without the voice that lost most.
    """

    mean: float
    low: float
    high: float
    low_without: float
    high_without: float

    @property
    def helps(self) -> bool | None:
        """Whether it surely helps; ``None`` if nothing is sure, or rests on one voice."""
        if self.low_without > 0:
            return True
        return False if self.high_without < 0 else None


@dataclass(frozen=True)
class Learned:
    """What all devices say of a generation.

    Attributes:
        voices: that reported.
        units: of theirs, as far as they count.
        noisy: whether the sums have noise.
        gain: of personalising.
        outcomes: shares of labels that both answers, only the release's, only the personalised, and
            none had right.
        off: share of units whose guard keeps the personalised answers back.
        served: share of labelled predictions that were served personalised.
        losses: mean log loss of the release's answers, and of the personalised.
        better: share of units that gained; ``worse`` of those that lost.
        worse: share of units that lost.
        shift: mean shift of units, in the prior's scale [r].
        squares: mean square of a unit's classes, less chance [r].
        cross: mean product of two classes of a unit [r].
    """

    voices: int
    units: float
    noisy: bool
    gain: PersonalGain
    outcomes: Numbers
    served: float
    off: float
    losses: Numbers
    better: float
    worse: float
    shift: Robust
    squares: Robust
    cross: Robust


OUTCOMES: Final = ("both", "model_only", "personal_only", "neither")


@dataclass(frozen=True)
class Voice:
    """Sums of the devices that one voucher vouched for."""

    name: str
    reports: tuple[PersonalReport, ...]

    @property
    def units(self) -> float:
        """Units as far as they count; with noise it may be any number, within bounds."""
        return float(self.total(_block_of("units"))[0])

    def total(self, block: CutBlock) -> Numbers:
        """Return the sums of a block: no more than what counted units have."""
        parts = np.array([_bounded(report, block) for report in self.reports])
        total: Numbers = parts.sum(axis=0) * self._weight
        return total

    @property
    def _weight(self) -> float:
        """At most 1: a voice is not more than so many units, or so many devices with noise."""
        if self.reports[0].epsilon is not None:
            return 1.0 / len(self.reports)
        units = sum(report.units for report in self.reports)
        return min(1.0, UNITS_COUNTED / units)


def _bounded(report: PersonalReport, block: CutBlock) -> Numbers:
    """The numbers of a block; those with noise cut where neither units nor chance bring them."""
    values = [getattr(report, name) for name in block.fields]
    numbers = np.asarray(values[0] if isinstance(values[0], tuple) else values, np.float64)
    if report.epsilon is None:
        return numbers
    dimensions = len(numbers) if block in VECTORS else 1
    spread = noise_of(block, _multiplier(report.epsilon), dimensions)
    most = UNITS_COUNTED * block.length * math.sqrt(dimensions) + DEVIATIONS * spread
    bounded: Numbers = np.clip(numbers, -most, most)
    return bounded


@functools.lru_cache
def _multiplier(epsilon: float) -> float:
    return multiplier_of(epsilon, DELTA)


def _block_of(name: str) -> CutBlock:
    return next(block for block in (*BLOCKS, *VECTORS) if name in block.fields)


def voices_of(reports: Iterable[tuple[str, PersonalReport]]) -> list[Voice]:
    """Return the voices of some reports of one generation.

    Of reports with different noise, with none, or of another number of dimensions, those count of
    which there are most voices: their sums are of different sizes. So nobody widens the bounds of
    what it may claim by an ε of its own.

    Args:
        reports: who vouched for the device of each, and its sums.
    """
    by_kind: dict[tuple[float | None, int], dict[str, list[PersonalReport]]] = {}
    for voucher, report in reports:
        kind = by_kind.setdefault((report.epsilon, len(report.shift)), defaultdict(list))
        kind[voucher].append(report)
    chosen = max(by_kind.values(), key=len, default={})
    return [Voice(name, tuple(chosen[name])) for name in sorted(chosen)]


def learned(voices: Sequence[Voice], salt: str) -> Learned | None:
    """Return what voices say together; ``None`` if they are too few, or their noise hides all.

    Args:
        voices: from :func:`voices_of`.
        salt: of the hash that deals them into groups.
    """
    groups = _groups(voices, salt)
    noisy = bool(voices) and voices[0].reports[0].epsilon is not None
    if not groups:
        return None
    units = _median(groups, _units)
    if noisy and _hidden(units):
        return None

    def mean(name: str, crossed: bool = False) -> Robust:
        return _per_unit(groups, _block_of(name), noisy, "crossed" if crossed else "units")

    signs = mean("better").value
    return Learned(
        len(voices), sum(voice.units for voice in voices), noisy,
        _gain(voices, float(units.value[0]) if noisy else None),
        mean("both").value, float(mean("served").value[0]),
        float(mean("off").value[0]), mean("model_loss").value,
        float(signs[0]), float(signs[1]), mean("shift"), mean("squares"), mean("cross", True),
    )  # fmt: skip


def _groups(voices: Sequence[Voice], salt: str) -> list[list[Voice]]:
    """Deal voices into groups of about one size; none if they are too few for a median."""
    count = min(GROUPS, len(voices) // VOICES_OF_A_GROUP)
    count -= 1 - count % 2
    if count < 3:
        return []

    def drawn(voice: Voice) -> bytes:
        return hashlib.sha256(f"{salt}\0{voice.name}".encode()).digest()

    dealt = sorted(voices, key=drawn)
    return [dealt[i::count] for i in range(count)]


def _hidden(units: Robust) -> bool:
    """Whether noise hides even how many units there are: then it hides all else too."""
    return bool(units.value[0] < LEAST_UNITS or units.reach[0] > units.value[0] / 2)


def _mean(group: Sequence[Voice], block: CutBlock) -> Numbers:
    total: Numbers = np.mean([voice.total(block) for voice in group], axis=0)
    return total


def _units(group: Sequence[Voice]) -> Numbers:
    return _mean(group, _block_of("units"))


def _per_unit(groups: list[list[Voice]], block: CutBlock, noisy: bool, of: str) -> Robust:
    """A block's mean over units.

    With noise single groups may have hardly a unit, so the medians are divided, not the groups'.
    """
    counted = _block_of(of)
    if not noisy:
        return _median(groups, lambda g: _mean(g, block) / np.maximum(_mean(g, counted), 1e-9))
    sums = _median(groups, lambda group: _mean(group, block))
    counts = _median(groups, lambda group: _mean(group, counted))
    ends = [a / np.maximum(b, LEAST_UNITS) for a in (sums.low, sums.value, sums.high)
            for b in (counts.low, counts.value, counts.high)]  # fmt: skip
    return Robust(ends[4], np.min(ends, axis=0), np.max(ends, axis=0))


def _median(
    groups: Sequence[Sequence[Voice]], mean: Callable[[Sequence[Voice]], Numbers]
) -> Robust:
    """The median of the groups' means, and the means next to it."""
    means = np.sort([mean(group) for group in groups], axis=0)
    middle = len(groups) // 2
    return Robust(means[middle], means[middle - 1], means[middle + 1])


def _gain(voices: Sequence[Voice], units: float | None) -> PersonalGain:
    """The mean gain over voices, of which each counts once.

    Args:
        voices: that reported.
        units: of a voice, where noise hides how many each has; ``None`` without noise.
    """
    shares = np.array([voice.total(_block_of("both")) for voice in voices])
    gains = shares[:, 2] - shares[:, 1]
    gains = gains / (np.array([voice.units for voice in voices]) if units is None else units)
    order = np.sort(gains)
    low, high = _interval(order)
    return PersonalGain(
        float(gains.mean()), low, high, _interval(order[:-1])[0], _interval(order[1:])[1]
    )


def _interval(gains: Numbers) -> tuple[float, float]:
    moments = SampleMoments(len(gains), float(gains.sum()), float((gains**2).sum()))
    low, high = mean_interval(moments, ALPHA, TUNED_FOR)
    return float(low), float(high)


def by_cohort(
    reports: Iterable[tuple[str, PersonalReport]],
) -> Mapping[str, list[tuple[str, PersonalReport]]]:
    """Return reports by the cohort that their device named."""
    found: dict[str, list[tuple[str, PersonalReport]]] = defaultdict(list)
    for voucher, report in reports:
        found[report.cohort].append((voucher, report))
    return found
