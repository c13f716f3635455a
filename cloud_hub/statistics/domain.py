"""Does the model see what it was not made for? Values outside of training, missing values, and
outputs unlike those on held-out rows; in which cohort of devices.

Rates are compared with those at training by the exact conditional test of two binomials, and only
an increase of at least :data:`RISE` counts.

Source of the use of low confidence: D. Hendrycks, K. Gimpel, "A baseline for detecting
misclassified and out-of-distribution examples in neural networks", ICLR 2017.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import numpy as np
from scipy.stats import binom, hypergeom

from cloud_hub.statistics.distances import Counts, jensen_shannon
from cloud_hub.statistics.false_discovery import discoveries
from edge_sdk.contract.histograms import MISSING, OUTSIDE

RISE: Final = 0.02
"""Smallest increase of a rate that counts."""

LEAST: Final = 5
"""Fewer occurrences say nothing about a rate."""

LOW: Final = 0.05
"""Low confidence: where at most this share of the held-out rows was."""

RATE: Final = 0.05
"""False discovery rate over all features and kinds."""

Kind = Literal["missing", "outside", "low confidence"]
KINDS: Final[Mapping[Kind, int]] = {"missing": MISSING, "outside": OUTSIDE}


@dataclass(frozen=True)
class DomainShift:
    """A rate of something that was rarer at training; ``outside`` is out of range, or a category
    that training never saw.
    """

    name: str
    kind: Kind
    n: int
    rate: float
    reference: float
    p: float
    alarming: bool = False
    cohort: tuple[str, str] | None = None


def domain_shifts(
    reference: Mapping[str, Sequence[int]], observed: Mapping[str, Sequence[int]]
) -> list[DomainShift]:
    """Every rate of every feature that something was seen of; what alarms comes first.

    Args:
        reference: histograms [bins + 2] at training.
        observed: histograms of a window, over all devices.
    """
    found = []
    for name, counts in reference.items():
        a, b = np.asarray(counts), np.asarray(observed[name])
        for kind, place in KINDS.items():
            if b[place] and a.sum():
                found.append(_rate(name, kind, (a[place], a.sum()), (b[place], b.sum())))
    return _judged(found)


def low_confidence(reference: Sequence[int], observed: Sequence[int]) -> DomainShift:
    """How many predictions are as unsure as the least sure few of the held-out rows."""
    a, b = np.asarray(reference), np.asarray(observed)
    if not a.sum() or not b.sum():
        return DomainShift("confidence", "low confidence", int(b.sum()), 0.0, 0.0, 1.0)
    bins = max(1, int(np.searchsorted(np.cumsum(a[:-2]) / a.sum(), LOW, side="right")))
    # Less sure than any held-out row counts too: the outside bin.
    few, many = a[:bins].sum() + a[OUTSIDE], b[:bins].sum() + b[OUTSIDE]
    return _judged([_rate("confidence", "low confidence", (few, a.sum()), (many, b.sum()))])[0]


def outlier_score(reference: Counts, observed: Counts) -> float:
    """How unlike the held-out rows' outputs a window's are, in multiples of what chance brings.

    Jensen-Shannon divergence over its expectation if both had one distribution, (B - 1) / (8 ln 2)
    (1/n + 1/m); about 1 without a shift.
    """
    n, m = reference.sum(), observed.sum()
    used = int((reference + observed > 0).sum())
    if not n or not m or used < 2:
        return 1.0
    expected = (used - 1) / (8 * np.log(2)) * (1 / n + 1 / m)
    return float(jensen_shannon(reference, observed) / expected)


def by_cohort(
    shift: DomainShift,
    reference: Sequence[int],
    observed: Mapping[str, Sequence[int]],
    attributes: Mapping[str, Mapping[str, str]],
) -> list[DomainShift]:
    """``shift`` in each cohort of devices, the worst first.

    Args:
        shift: what was found over all devices, of kind missing or outside.
        reference: the feature's histogram at training.
        observed: its histogram in the window, by device.
        attributes: of each device.
    """
    place = KINDS[shift.kind]
    sums: dict[tuple[str, str], Any] = {}
    for device, counts in observed.items():
        for cohort in attributes.get(device, {}).items():
            sums[cohort] = sums.get(cohort, 0) + np.asarray(counts)
    a = np.asarray(reference)
    found = [
        replace(
            _rate(shift.name, shift.kind, (a[place], a.sum()), (b[place], b.sum())), cohort=cohort
        )
        for cohort, b in sums.items()
    ]
    return sorted(_judged(found), key=lambda s: -s.rate)


def _rate(
    name: str, kind: Kind, reference: tuple[int, int], observed: tuple[int, int]
) -> DomainShift:
    (few, n), (many, m) = reference, observed
    p = _more_often(int(few), int(n), int(many), int(m))
    return DomainShift(name, kind, int(m), float(many / m), float(few / n), p)


def _more_often(few: int, n: int, many: int, m: int) -> float:
    """P-value that the second rate is no higher; exact."""
    if n + m > 10_000_000:  # the hypergeometric sum becomes slow and is binomial anyway
        return float(binom.sf(many - 1, few + many, m / (n + m)))
    return float(hypergeom.sf(many - 1, n + m, few + many, m))


def _judged(found: Sequence[DomainShift]) -> list[DomainShift]:
    significant = discoveries([shift.p for shift in found], RATE)
    marked = [replace(s, alarming=i in significant and _matters(s)) for i, s in enumerate(found)]
    return sorted(marked, key=lambda s: (-s.alarming, s.reference - s.rate))


def _matters(shift: DomainShift) -> bool:
    return shift.rate - shift.reference >= RISE and shift.rate * shift.n >= LEAST
