"""Concept drift: a rise of the error rate, from late labels against what the release promised.

A Shiryaev-Roberts e-detector: evidence that grows while errors are more frequent than the base
rate, and starts anew by itself. While the rate is at most the base, the mean number of labels to a
false alarm is at least the declared ``mean_run``, and the chance of one within n labels is at most
n / ``mean_run``; whatever the order, the batches, or how often one looks.

Labels are scored by the window of their *prediction*, not of their arrival, and a window counts
only once it is settled: enough of its predictions have labels, or it is old. Windows in which only
some labels came early would be judged by the labels that come early.

Sources: J. Shin, A. Ramdas, A. Rinaldo, "E-detectors: a nonparametric framework for sequential
change detection", New England Journal of Statistics in Data Science 2(2), 2024; M. Pollak, "Optimal
detection of a change in distribution", Annals of Statistics 13(1), 1985.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from cloud_hub.deferred.libraries import betaincinv

MEAN_RUN: Final = 2_000_000
"""Labels to a false alarm: at most 1% of false alarms within 20,000 labels."""

ODDS: Final = (1.4, 2.0, 3.0, 6.0)
"""By how much the odds of an error may have risen; the detector bets on each of them alike."""

SURE: Final = 0.9
"""The base rate is an upper bound at this level, for it is estimated itself."""

LARGEST: Final = 1e280
"""Evidence stops growing here, far beyond any alarm."""


@dataclass(frozen=True)
class Coverage:
    """Predictions and labels of one window, over all devices; times in Unix seconds."""

    start: int
    end: int
    predictions: int
    labelled: int


def settled(
    windows: Sequence[Coverage], *, coverage: float, wait: float, now: float
) -> list[Coverage]:
    """Return the windows that may be scored, in order, up to the first that may not.

    A window is settled when enough of its predictions have labels or it is old; those after the
    first that is not wait, so that none is scored out of order.

    Args:
        windows: in any order.
        coverage: share of a window's predictions that must have labels, 0 to 1.
        wait: seconds after its end from which a window counts with what labels it has.
        now: Unix seconds.
    """

    def ready(window: Coverage) -> bool:
        enough = window.labelled >= coverage * max(1, window.predictions)
        return enough or window.end + wait <= now

    return list(itertools.takewhile(ready, sorted(windows, key=lambda w: w.start)))


@dataclass(frozen=True)
class Labelled:
    """Late labels of one device for its predictions of one window."""

    device: str
    start: int
    labelled: int
    errors: int


@dataclass
class ErrorDetector:
    """Detector of a rise, fed one window of labels after the other; plain values, to be stored.

    For each of :data:`ODDS` the evidence is ``R = (R + labels) * likelihood ratio`` of the window's
    labels, had the odds of an error risen so far; their mean is held against the mean run length.
    ``parts`` is the evidence for each of them; ``sums`` and ``risen`` follow when a rise began that
    is not over (start of a window).
    """

    parts: list[float] = field(default_factory=lambda: [0.0] * len(ODDS))
    sums: list[float] = field(default_factory=lambda: [0.0] * len(ODDS))
    risen: list[int] = field(default_factory=lambda: [0] * len(ODDS))

    @property
    def evidence(self) -> float:
        """Evidence of a rise; compare with the mean run length that you declare."""
        return sum(self.parts) / len(self.parts)

    @property
    def since(self) -> int:
        """Window in which the rise most likely began."""
        return self.risen[max(range(len(ODDS)), key=lambda i: self.parts[i])]

    def add(self, start: int, batches: Sequence[tuple[float, float, float]]) -> None:
        """Take the labels of one window.

        Errors need not be counts: any outcomes between 0 and 1 whose mean is at most the base do,
        for the likelihood ratio of a share lies below the chord between those of right and wrong
        (W. Hoeffding, JASA 58, 1963, equation 4.1), so its mean is at most 1 as well.

        Args:
            start: of the window, Unix seconds.
            batches: (labels, errors, base rate) of each device.
        """
        labels = sum(batch[0] for batch in batches)
        if labels == 0:
            return
        different = set(batches)
        for i, odds in enumerate(ODDS):
            # Many devices have the same few labels, so each gain is computed once; added up in the
            # order of the devices, for sums of floats depend on it.
            gains = {batch: _gain(odds, *batch) for batch in different}
            gain = sum(map(gains.__getitem__, batches))
            # One chance to have begun for each label, so that the run length counts labels.
            grown = math.log(self.parts[i] + labels) + gain
            # exp(709.8) is the largest double; capped well below, as it is multiplied again.
            self.parts[i] = min(LARGEST, math.exp(min(grown, 600.0)))
            # A CUSUM next to it: where it left 0 for the last time the rise most likely began.
            if self.sums[i] <= 0:
                self.risen[i] = start
            self.sums[i] = max(0.0, self.sums[i] + gain)


def _gain(odds: float, labels: float, errors: float, base: float) -> float:
    """Logarithm of the likelihood ratio of these labels."""
    risen = odds * base / (1 - base + odds * base)
    right = labels - errors
    return errors * math.log(risen / base) + right * math.log((1 - risen) / (1 - base))


def first_alarm(
    detector: ErrorDetector,
    rows: Sequence[Labelled],
    base: float,
    *,
    own: Mapping[str, float] = MappingProxyType({}),
    mean_run: float = MEAN_RUN,
) -> int | None:
    """Feed labels to a detector and return the start of the first window that alarms.

    Args:
        detector: is changed.
        rows: labels by device and window, in any order; they are fed by their predictions' windows.
        base: error rate that is no rise.
        own: base rates of single devices, where they have one.
        mean_run: labels to a false alarm on average, at least.
    """
    alarmed: int | None = None
    ordered = sorted(rows, key=lambda row: row.start)
    for start, group in itertools.groupby(ordered, key=lambda row: row.start):
        detector.add(start, [(r.labelled, r.errors, own.get(r.device, base)) for r in group])
        if alarmed is None and detector.evidence >= mean_run:
            alarmed = start
    return alarmed


def base_rate(errors: float, labelled: float) -> float:
    """Upper bound, at level :data:`SURE`, of an error rate that was estimated itself.

    The quantile of the Beta posterior with Jeffreys' prior, held within 0.0001 to 0.9.

    Args:
        errors: among the labelled rows.
        labelled: rows on which the rate was estimated.
    """
    # Half an error and half a right answer more: Jeffreys' prior.
    bound = float(betaincinv(errors + 0.5, labelled - errors + 0.5, SURE))
    return min(0.9, max(bound, 1e-4))


def device_bases(first: Mapping[str, tuple[int, int]], base: float) -> dict[str, float]:
    """Base rate of each device from its first labels, shrunk towards that of all.

    Devices that were worse from the beginning are no drift. How far each is trusted follows from
    how much the devices differ beyond chance: empirical Bayes by moments (B. Efron, C. Morris,
    "Data analysis using Stein's estimator", JASA 70, 1975). No rate is below ``base``.

    Args:
        first: (errors, labels) by device.
        base: rate of all devices.
    """
    measured = [(errors, n) for errors, n in first.values() if n]
    # What the rates would differ by with equal devices; only the rest is between devices.
    chance = sum(base * (1 - base) / n for _, n in measured)
    spread = sum((errors / n - base) ** 2 for errors, n in measured) - chance
    between = spread / max(1, len(measured))
    if between <= 0:
        return dict.fromkeys(first, base)
    # As many labels as the base rate counts for in each device's own rate.
    prior = base * (1 - base) / between
    return {d: max(base, (e + prior * base) / (n + prior)) for d, (e, n) in first.items()}
