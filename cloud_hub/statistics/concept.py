"""Has the error rate risen? Late labels against what the release promised.

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
from dataclasses import dataclass
from typing import Final

from scipy.special import betaincinv

MEAN_RUN: Final = 2_000_000
"""Labels to a false alarm: at most 1% of false alarms within 20,000 labels."""

ODDS: Final = (1.4, 2.0, 3.0, 6.0)
"""By how much the odds of an error may have risen; the detector bets on each of them alike."""

SURE: Final = 0.9
"""The base rate is an upper bound at this level, for it is estimated itself."""

LARGEST: Final = 1e280
"""Evidence stops growing here, far beyond any alarm."""


@dataclass(frozen=True)
class Labelled:
    """Late labels of one device for the predictions of one window.

    ``start`` and ``end`` in Unix seconds; ``base`` is the device's own base rate, if it has one.
    """

    device: str
    start: int
    end: int
    predictions: int
    labelled: int
    errors: int
    base: float | None = None


@dataclass(frozen=True)
class ConceptDrift:
    """Evidence now (alarm from ``mean_run`` on); when it first alarmed; since when errors rose.

    ``alarmed_at`` and ``since`` are starts of windows; both are ``None`` without an alarm.
    """

    evidence: float
    mean_run: float
    base: float
    labelled: int
    errors: int
    alarmed_at: int | None = None
    since: int | None = None

    @property
    def drifted(self) -> bool:
        """Whether there was an alarm."""
        return self.alarmed_at is not None


class ErrorDetector:
    """The detector itself, fed one batch of labels after the other."""

    def __init__(self) -> None:
        self._parts = [0.0] * len(ODDS)
        self._risen_since: list[int | None] = [None] * len(ODDS)
        self._sums = [0.0] * len(ODDS)

    @property
    def evidence(self) -> float:
        """An e-detector: compare with the mean run length that you declare."""
        return sum(self._parts) / len(self._parts)

    @property
    def since(self) -> int | None:
        """Window in which the rise most likely began."""
        best = max(range(len(ODDS)), key=lambda i: self._parts[i])
        return self._risen_since[best]

    def add(self, start: int, batches: Sequence[tuple[int, int, float]]) -> None:
        """Take the (labels, errors, base rate) of every device for the window at ``start``."""
        labels = sum(batch[0] for batch in batches)
        for i, odds in enumerate(ODDS):
            gain = sum(_gain(odds, *batch) for batch in batches)
            # One chance to have begun for each label, so that the run length counts labels.
            grown = math.log(self._parts[i] + labels) + gain if labels else -math.inf
            self._parts[i] = min(LARGEST, math.exp(min(grown, 600.0)))
            self._follow(i, start, gain)

    def _follow(self, i: int, start: int, gain: float) -> None:
        if self._sums[i] <= 0:
            self._risen_since[i] = start
        self._sums[i] = max(0.0, self._sums[i] + gain)


def _gain(odds: float, labels: int, errors: int, base: float) -> float:
    """Logarithm of the likelihood ratio of these labels."""
    risen = odds * base / (1 - base + odds * base)
    right = labels - errors
    return errors * math.log(risen / base) + right * math.log((1 - risen) / (1 - base))


def concept_drift(
    settled: Sequence[Labelled], base: float, mean_run: float = MEAN_RUN
) -> ConceptDrift:
    """Run the detector over settled windows, in the order of their predictions."""
    detector = ErrorDetector()
    alarmed_at = since = None
    ordered = sorted(settled, key=lambda row: row.start)
    for start, group in itertools.groupby(ordered, key=lambda row: row.start):
        rows = [(r.labelled, r.errors, r.base or base) for r in group if r.labelled]
        if rows:
            detector.add(start, rows)
        if alarmed_at is None and detector.evidence >= mean_run:
            alarmed_at, since = start, detector.since
    labelled, errors = sum(r.labelled for r in settled), sum(r.errors for r in settled)
    return ConceptDrift(detector.evidence, mean_run, base, labelled, errors, alarmed_at, since)


def settled_windows(
    rows: Sequence[Labelled], *, coverage: float, wait: float, now: float
) -> list[Labelled]:
    """Rows of windows in which a share of ``coverage`` has labels, or that ended ``wait`` ago.

    A window that is not settled holds back those after it, so that none is scored out of order.
    """
    found: list[Labelled] = []
    ordered = sorted(rows, key=lambda row: row.start)
    for _, group in itertools.groupby(ordered, key=lambda row: row.start):
        window = list(group)
        labelled = sum(row.labelled for row in window)
        enough = labelled >= coverage * max(1, sum(row.predictions for row in window))
        if not enough and max(row.end for row in window) + wait > now:
            break
        found += window
    return found


def base_rate(errors: int, labelled: int) -> float:
    """Upper bound (:data:`SURE`) of an error rate that was estimated on ``labelled`` rows."""
    bound = float(betaincinv(errors + 0.5, labelled - errors + 0.5, SURE))
    return min(0.9, max(bound, 1e-4))


def device_bases(first: Mapping[str, tuple[int, int]], base: float) -> dict[str, float]:
    """A base rate for each device from its first (errors, labels), drawn towards ``base``.

    Devices that were worse from the beginning are no drift. How far each is trusted follows from
    how much the devices differ: empirical Bayes by moments (B. Efron, C. Morris, "Data analysis
    using Stein's estimator", JASA 70, 1975). No rate is below ``base``.
    """
    known = [(errors, n) for errors, n in first.values() if n]
    chance = sum(base * (1 - base) / n for _, n in known)
    spread = sum((errors / n - base) ** 2 for errors, n in known) - chance
    between = spread / max(1, len(known))
    if between <= 0:
        return dict.fromkeys(first, base)
    prior = base * (1 - base) / between
    return {d: max(base, (e + prior * base) / (n + prior)) for d, (e, n) in first.items()}
