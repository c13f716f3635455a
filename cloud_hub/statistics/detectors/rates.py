"""P-values that a rate has not risen, where devices differ or rows come in runs.

Occurrences of one device resemble each other, and so do those of one hour, so their sum varies more
than as many independent ones would. What differs is counted, not rows:

* :data:`~cloud_hub.statistics.detectors.two_samples.MANY` devices: each device's difference to the
  reference changes sign at random.
* two devices and more: Student's t over the devices' residuals (a ratio estimator with the variance
  of its jackknife; degrees of freedom by how evenly the rows are spread).
* earlier windows, if there are some: as many independent rows as vary as much as the windows did.

None of them is ever below the exact test of independent rows. Assumes devices that are drawn alike;
rates are skewed to the right, where the upper tails of both tests are too large rather than too
small (W. Johnson, "Modified t tests and confidence intervals for asymmetrical populations", JASA
73, 1978). Fails where a few devices have most rows: then it alarms late, not often.

Sources: R. Fisher, "The Design of Experiments", 1935 (randomisation of signs); W. Cochran,
"Sampling Techniques", 3rd edition, 1977, chapters 6 and 9 (ratio estimators, clusters); L. Kish,
"Survey Sampling", 1965 (effective number of unequal units).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cloud_hub.deferred.libraries import binom, hypergeom, student
from cloud_hub.statistics.detectors.dependence import unsure
from cloud_hub.statistics.detectors.two_samples import MANY, RandomSigns
from cloud_hub.statistics.samples import Floats


@dataclass(frozen=True)
class Occurrences:
    """How often something occurred among rows: ``hits`` and ``rows`` by device or window, [U]."""

    hits: Floats
    rows: Floats

    @property
    def rate(self) -> float:
        """Share over all; 0 without rows."""
        return float(self.hits.sum() / max(1.0, self.rows.sum()))

    def there(self) -> Occurrences:
        """Those that have rows."""
        some = self.rows > 0
        return Occurrences(self.hits[some], self.rows[some])


def rise_p(
    reference: tuple[float, float],
    observed: Occurrences,
    *,
    signs: RandomSigns | None = None,
    past: Occurrences | None = None,
) -> float:
    """P-value that the rate is no higher than that of the reference.

    Args:
        reference: (occurrences, rows) at training.
        observed: by device.
        signs: one a device of ``observed``, for many of them.
        past: by earlier window, over all devices; says how much windows vary by themselves.
    """
    if signs is not None and not observed.rows.all():
        signs = signs.of(observed.rows > 0)
    observed = observed.there()
    rows = float(observed.rows.sum())
    if not rows or not reference[1]:
        return 1.0
    worth = rows if past is None else rows / windows_effect(past)
    p = more_often(reference, observed.rate * worth, worth)
    devices = len(observed.rows)
    if devices >= MANY and signs is not None:
        return max(p, _by_signs(reference, observed, signs))
    return max(p, _by_student(reference, observed)) if devices > 1 else p


def more_often(reference: tuple[float, float], hits: float, rows: float) -> float:
    """P-value that the second of two rates is no higher, of independent rows; exact.

    Args:
        reference: (occurrences, rows).
        hits: occurrences, rounded to the next number below.
        rows: rounded likewise.
    """
    few, n = (int(each) for each in reference)
    many, m = int(hits + 1e-9), int(rows + 1e-9)
    if n + m > 10_000_000:  # the hypergeometric sum becomes slow and is binomial anyway
        return float(binom.sf(many - 1, few + many, m / (n + m)))
    return float(hypergeom.sf(many - 1, n + m, few + many, m))


def windows_effect(past: Occurrences) -> float:
    """Variance of the rate between windows, over that of independent rows; at least 1.

    Args:
        past: by window; one alone, or such without any occurrence, says nothing.
    """
    past = past.there()
    rate = past.rate
    if len(past.rows) < 2 or not 0 < rate < 1:
        return 1.0
    between = _between(past, rate) * past.rows.sum() / (rate * (1 - rate))
    return max(1.0, float(between * unsure(_freedom(past))))


def _between(observed: Occurrences, rate: float) -> float:
    """Variance of the rate over all units, by leaving out one after the other (jackknife)."""
    weight = observed.rows / observed.rows.sum()
    # The rate follows a unit with many rows, so what is left of its residual is too small.
    residuals = weight * (observed.hits / observed.rows - rate) / (1 - weight)
    units = len(weight)
    return float((residuals**2).sum() * (units - 1) / units)


def _freedom(observed: Occurrences) -> float:
    """Degrees of freedom: units of equal size that would say as much, less one."""
    rows = observed.rows
    return float(rows.sum() ** 2 / (rows**2).sum()) - 1


def _noise(reference: tuple[float, float]) -> float:
    """Variance of the reference's rate, half an occurrence added to each side."""
    few, n = reference
    rate = (few + 0.5) / (n + 1)
    return float(rate * (1 - rate) / n)


def _by_student(reference: tuple[float, float], observed: Occurrences) -> float:
    rise = observed.rate - reference[0] / reference[1]
    error = np.sqrt(_between(observed, observed.rate) + _noise(reference))
    return float(student.sf(rise / error, _freedom(observed)))


def _by_signs(reference: tuple[float, float], observed: Occurrences, signs: RandomSigns) -> float:
    apart = (observed.hits - observed.rows * (reference[0] / reference[1])).astype(np.float32)
    sums = signs.table @ apart / np.float32(observed.rows.sum())
    # The reference was drawn too.
    sums += signs.random.standard_normal(len(sums)) * np.sqrt(_noise(reference))
    rise = apart.sum() / observed.rows.sum()
    return float((1 + (sums >= rise * (1 - 1e-5)).sum()) / (1 + len(sums)))
