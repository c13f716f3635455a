"""Domain shift: values outside of training, missing values, and outputs unlike those held out.

Rates are compared with those at training as in :mod:`~cloud_hub.statistics.detectors.rates`, which
counts devices that differ as devices and not as rows. Only an increase of at least :data:`RISE`
counts. Each shift can be traced to cohorts of devices.

Source of the use of low confidence: D. Hendrycks, K. Gimpel, "A baseline for detecting
misclassified and out-of-distribution examples in neural networks", ICLR 2017.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import numpy as np

from cloud_hub.statistics.detectors.distances import Counts, jensen_shannon
from cloud_hub.statistics.detectors.rates import Occurrences, rise_p
from cloud_hub.statistics.detectors.two_samples import MANY, RandomSigns
from cloud_hub.statistics.multiple import discoveries
from edge_sdk.contract.histograms import MISSING, OUTSIDE

RISE: Final = 0.02
"""Smallest increase of a rate that counts."""

LEAST: Final = 5
"""Fewer occurrences say nothing about a rate."""

LOW: Final = 0.05
"""Low confidence: where at most this share of the held-out rows was."""

RATE: Final = 0.05
"""False discovery rate over all features and kinds."""

LOW_RATE: Final = 0.01
"""Chance of a false alarm of low confidence alone: it comes on top of those of the features."""

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
    reference: Mapping[str, Any],
    observed: Mapping[str, Any],
    *,
    past: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> list[DomainShift]:
    """Compare every rate of every feature of which something was seen; alarms come first.

    Args:
        reference: histograms [bins + 2] at training, by feature.
        observed: histograms of a window, by feature: [devices, bins + 2], or [bins + 2] of one.
        past: the same over all devices in earlier windows, [windows, bins + 2].
        seed: of the permutations.
    """
    signs = _signs(observed.values(), 2 * len(reference), seed)
    shifts = []
    for name, counts in reference.items():
        a, b = np.asarray(counts), np.atleast_2d(observed[name])
        earlier = _earlier(past, name)
        for kind, place in KINDS.items():
            if b[:, place].any() and a.sum():
                before = None if earlier is None else _counted(earlier, place)
                known = (int(a[place]), int(a.sum()))
                shifts.append(_rate(name, kind, known, _counted(b, place), signs, before))
    return _judged(shifts)


def low_confidence(
    reference: Sequence[int], observed: Any, *, past: Any = None, seed: int = 0
) -> DomainShift:
    """Compare the share of predictions as unsure as the least sure held-out rows.

    Args:
        reference: histogram [bins + 2] of confidence on held-out rows.
        observed: of confidence in a window: [devices, bins + 2], or [bins + 2] of one device.
        past: of earlier windows over all devices, [windows, bins + 2].
        seed: of the permutations.
    """
    a, b = np.asarray(reference), np.atleast_2d(observed)
    if not a.sum() or not b.sum():
        return DomainShift("confidence", "low confidence", int(b.sum()), 0.0, 0.0, 1.0)
    # At least one bin: in a coarse histogram the first may hold more than LOW already.
    bins = max(1, int(np.searchsorted(np.cumsum(a[:-2]) / a.sum(), LOW, side="right")))
    # Less sure than any held-out row counts too: the outside bin.
    places = [*range(bins), OUTSIDE]
    known = (int(a[places].sum()), int(a.sum()))
    before = None if past is None or not len(past) else _counted(np.asarray(past), places)
    signs = _signs([b], 1, seed)
    shift = _rate("confidence", "low confidence", known, _counted(b, places), signs, before)
    return _judged([shift], LOW_RATE)[0]


def _signs(observed: Iterable[Any], tests: int, seed: int) -> RandomSigns | None:
    devices = max((len(np.atleast_2d(rows)) for rows in observed), default=0)
    if devices < MANY:
        return None
    # As for drift: the smallest p-value resolves the strictest step of the false discovery control.
    rounds = min(20_000, round(4 * max(50, tests) / RATE))
    return RandomSigns(devices, rounds, seed)


def _earlier(past: Mapping[str, Any] | None, name: str) -> Any:
    found = () if past is None else past.get(name, ())
    return np.asarray(found) if len(found) else None


def _counted(histograms: Any, places: int | Sequence[int]) -> Occurrences:
    """How often values fell into some bins, by row of ``histograms`` [U, bins + 2]."""
    hits = histograms[:, np.atleast_1d(places)].sum(axis=1)
    return Occurrences(hits.astype(np.float64), histograms.sum(axis=1).astype(np.float64))


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
    place, a = KINDS[shift.kind], np.asarray(reference)
    members: dict[tuple[str, str], list[Any]] = {}
    for device, counts in observed.items():
        for cohort in attributes.get(device, {}).items():
            members.setdefault(cohort, []).append(counts)
    known = (int(a[place]), int(a.sum()))
    shifts = [
        replace(
            _rate(shift.name, shift.kind, known, _counted(np.stack(rows), place)), cohort=cohort
        )
        for cohort, rows in members.items()
    ]
    return sorted(_judged(shifts), key=lambda s: -s.rate)


def _rate(
    name: str,
    kind: Kind,
    reference: tuple[int, int],
    observed: Occurrences,
    signs: RandomSigns | None = None,
    past: Occurrences | None = None,
) -> DomainShift:
    p = rise_p(reference, observed, signs=signs, past=past)
    before = reference[0] / reference[1]
    return DomainShift(name, kind, int(observed.rows.sum()), observed.rate, before, p)


def _judged(shifts: Sequence[DomainShift], rate: float = RATE) -> list[DomainShift]:
    significant = discoveries([shift.p for shift in shifts], rate)
    marked = [replace(s, alarming=i in significant and _matters(s)) for i, s in enumerate(shifts)]
    return sorted(marked, key=lambda s: (-s.alarming, s.reference - s.rate))


def _matters(shift: DomainShift) -> bool:
    return shift.rate - shift.reference >= RISE and shift.rate * shift.n >= LEAST
