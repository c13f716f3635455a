"""Domain shift: values outside of training, missing values, and outputs unlike those held out.

Rates are compared with those at training by the exact conditional test of two binomials, and only
an increase of at least :data:`RISE` counts. Each shift can be traced to cohorts of devices.

Source of the use of low confidence: D. Hendrycks, K. Gimpel, "A baseline for detecting
misclassified and out-of-distribution examples in neural networks", ICLR 2017.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import numpy as np
from scipy.stats import binom, hypergeom

from cloud_hub.statistics.detectors.distances import Counts, jensen_shannon
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
    """Rate of something that was rarer at training, with the p-value that it is no more frequent.

    ``outside`` is out of range, or a category that training never saw.
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
    """Compare every rate of every feature of which something was seen; alarms come first.

    Args:
        reference: histograms [bins + 2] at training, by feature.
        observed: histograms [bins + 2] of a window, over all devices.
    """
    shifts = []
    for name, counts in reference.items():
        a, b = np.asarray(counts), np.asarray(observed[name])
        for kind, place in KINDS.items():
            if b[place] and a.sum():
                shifts.append(_rate(name, kind, (a[place], a.sum()), (b[place], b.sum())))
    return _judged(shifts)


def low_confidence(reference: Sequence[int], observed: Sequence[int]) -> DomainShift:
    """Compare the share of predictions as unsure as the least sure held-out rows.

    Args:
        reference: histogram [bins + 2] of confidence on held-out rows.
        observed: histogram [bins + 2] of confidence in a window.
    """
    a, b = np.asarray(reference), np.asarray(observed)
    if not a.sum() or not b.sum():
        return DomainShift("confidence", "low confidence", int(b.sum()), 0.0, 0.0, 1.0)
    # At least one bin: in a coarse histogram the first may hold more than LOW already.
    bins = max(1, int(np.searchsorted(np.cumsum(a[:-2]) / a.sum(), LOW, side="right")))
    # Less sure than any held-out row counts too: the outside bin.
    few, many = a[:bins].sum() + a[OUTSIDE], b[:bins].sum() + b[OUTSIDE]
    return _judged([_rate("confidence", "low confidence", (few, a.sum()), (many, b.sum()))])[0]


def outlier_score(reference: Counts, observed: Counts) -> float:
    """Distance of a window's outputs from the held-out rows', in multiples of what chance brings.

    The Jensen-Shannon divergence over its expectation if both had one distribution,
    ``(B - 1) / (8 ln 2) * (1/n + 1/m)`` with B filled bins; about 1 without a shift.

    Args:
        reference: histogram [bins + 2] of an output on held-out rows.
        observed: the same in a window.
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
    """Trace a shift to cohorts of devices; the worst come first.

    Args:
        shift: over all devices, of kind missing or outside.
        reference: the feature's histogram [bins + 2] at training.
        observed: its histogram in the window, by device.
        attributes: of each device.
    """
    place = KINDS[shift.kind]
    sums: dict[tuple[str, str], Any] = {}
    for device, counts in observed.items():
        for cohort in attributes.get(device, {}).items():
            sums[cohort] = sums.get(cohort, 0) + np.asarray(counts)
    a = np.asarray(reference)
    shifts = [
        replace(
            _rate(shift.name, shift.kind, (a[place], a.sum()), (b[place], b.sum())), cohort=cohort
        )
        for cohort, b in sums.items()
    ]
    return sorted(_judged(shifts), key=lambda s: -s.rate)


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


def _judged(shifts: Sequence[DomainShift]) -> list[DomainShift]:
    significant = discoveries([shift.p for shift in shifts], RATE)
    marked = [replace(s, alarming=i in significant and _matters(s)) for i, s in enumerate(shifts)]
    return sorted(marked, key=lambda s: (-s.alarming, s.reference - s.rate))


def _matters(shift: DomainShift) -> bool:
    return shift.rate - shift.reference >= RISE and shift.rate * shift.n >= LEAST
