"""Confidence sequences: intervals that hold at every look, not only at the last.

Sources:
    I. Waudby-Smith, D. Arbour, R. Sinha, E. Kennedy, A. Ramdas, "Time-uniform central limit theory
    and asymptotic confidence sequences", Annals of Statistics 52(6), 2024 (equation 9).
    A. Ramdas, P. Grünwald, V. Vovk, G. Shafer, "Game-theoretic statistics and safe anytime-valid
    inference", Statistical Science 38(4), 2023 (from an e-value to an always-valid p-value).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

import numpy as np

from cloud_hub.deferred.libraries import ndtr, ndtri, stdtr, stdtrit

if TYPE_CHECKING:
    from cloud_hub.statistics.samples import Contrast, Floats

TUNED_FOR: Final = 5_000
"""Sample size at which confidence sequences are tightest."""

LEAST_TUNED: Final = 200
"""Independent outcomes below which sequences are never tightest: devices that differ very much, or
are very few, come to no more, and are no sample to which a normal limit applies."""

TUNED_AT: Final = 0.05
"""Error rate at which they are; the same for all levels, so that one e-value serves them all."""


@dataclass(frozen=True)
class SampleMoments:
    """Sufficient statistics of a sample of independent outcomes."""

    n: int
    total: float
    squares: float

    @classmethod
    def of_successes(cls, successes: int, n: int) -> SampleMoments:
        """Moments of a 0/1 outcome."""
        return cls(n, successes, successes)

    @property
    def mean(self) -> float:
        """Sample mean; NaN without data."""
        return self.total / self.n if self.n else math.nan

    @property
    def variance(self) -> float:
        """Sample variance, never below that of one more observation away from the mean."""
        if self.n == 0:
            return math.nan
        plain = max(0.0, self.squares / self.n - self.mean**2)
        # With few data an all-alike sample must not pretend to certainty.
        return plain + 1.0 / (self.n + 1) ** 2 if plain > 0 else 1.0 / (self.n + 1)


def tuning(contrast: Contrast, usual: float = TUNED_FOR) -> Floats:
    """Sample size at which the sequence of a contrast is tightest.

    The usual one, or what its devices can attain, if that is less: an interval that is tightest
    where the data never come to is wide all the time.

    Args:
        contrast: arrays of the looks' shape.
        usual: sample size of data that grow without end.
    """
    return cast("Floats", np.clip(contrast.attainable, min(LEAST_TUNED, usual), usual))


def rho_squared(tuned_for: Floats | float = TUNED_FOR, alpha: float = TUNED_AT) -> Floats | float:
    """Variance of the normal mixture with which a confidence sequence is tightest.

    ``(-2 ln alpha + ln(-2 ln alpha + 1)) / tuned_for``, the approximation of Waudby-Smith et al.

    Args:
        tuned_for: observations at which it is tightest.
        alpha: level at which it is.
    """
    return (-2 * math.log(alpha) + math.log(-2 * math.log(alpha) + 1)) / tuned_for


def multiplier(n: Floats | float, alpha: float, tuned_for: Floats | float = TUNED_FOR) -> Floats:
    """Half width of a confidence sequence in standard errors.

    With ``t = n * rho^2`` it is ``sqrt(2 (t + 1) / t * ln(sqrt(t + 1) / alpha))``. Assumes many
    observations: the sequence is asymptotic.

    Args:
        n: independent observations, array or number.
        alpha: chance that the sequence ever misses.
        tuned_for: observations at which it is tightest.
    """
    # Below any sample size that matters; only keeps the division defined at 0.
    information = np.maximum(np.asarray(n, dtype=np.float64), 1e-12) * rho_squared(tuned_for)
    inside = 2 * (information + 1) / information * np.log(np.sqrt(information + 1) / alpha)
    return cast("Floats", np.sqrt(inside))


def mean_interval(
    moments: SampleMoments, alpha: float = 0.05, tuned_for: float = TUNED_FOR
) -> tuple[float, float]:
    """Confidence sequence of a mean at this look, of independent outcomes.

    Args:
        moments: of the sample.
        alpha: chance that the sequence ever misses.
        tuned_for: observations at which it is tightest.
    """
    if moments.n == 0:
        return (-math.inf, math.inf)
    error = math.sqrt(moments.variance / moments.n)
    half = float(multiplier(moments.n, alpha, tuned_for)) * error
    return (moments.mean - half, moments.mean + half)


def interval(
    contrast: Contrast, alpha: float = 0.05, tuned_for: Floats | float = TUNED_FOR
) -> tuple[Floats, Floats]:
    """Confidence sequence of a difference, at each look of ``contrast``.

    The estimate plus and minus :func:`multiplier` standard errors. With few devices the normal
    quantile is replaced by Student's of the variance's degrees of freedom at the same level; exact
    is neither.

    Args:
        contrast: arrays of the looks' shape.
        alpha: chance that the sequence ever misses.
        tuned_for: independent observations an arm at which it is tightest.

    Returns:
        Lower and upper ends, of the looks' shape; infinite without data.
    """
    times = multiplier(contrast.n, alpha, tuned_for)
    half = student(times, contrast.freedom) * np.sqrt(contrast.variance)
    half = np.where(contrast.n > 0, half, np.inf)
    return contrast.estimate - half, contrast.estimate + half


def log_e_value(
    contrast: Contrast, tuned_for: Floats | float = TUNED_FOR, null: float = 0.0
) -> Floats:
    """Log e-value against "the difference is ``null``", at each look of ``contrast``.

    The normal mixture that the sequence inverts: with ``t = n * rho^2`` it is
    ``z^2 / 2 * t / (t + 1) - ln(t + 1) / 2``. Reject at ``log(1 / alpha)``, at any look.

    Args:
        contrast: arrays of the looks' shape.
        tuned_for: independent observations an arm at which it has most power.
        null: difference that is tested.
    """
    information = contrast.n * rho_squared(tuned_for)
    with np.errstate(invalid="ignore", divide="ignore"):
        z = (contrast.estimate - null) / np.sqrt(contrast.variance)
    # Bounded: z of an all but certain difference would overflow when squared.
    z = np.nan_to_num(_narrowed(z, contrast.freedom), posinf=1e3, neginf=-1e3)
    gained = z**2 / 2 * information / (information + 1) - np.log1p(information) / 2
    return cast("Floats", np.where(contrast.n > 0, gained, 0.0))


def always_valid_p(log_e: Floats | float) -> Floats:
    """P-value of an e-value, ``min(1, 1 / e)``; valid at any look."""
    return cast("Floats", np.exp(-np.maximum(np.asarray(log_e, dtype=np.float64), 0.0)))


def difference_interval(
    a: SampleMoments, b: SampleMoments, alpha: float = 0.05, tuned_for: float = TUNED_FOR
) -> tuple[float, float]:
    """Confidence sequence of mean(b) - mean(a), of independent outcomes.

    Args:
        a: moments of the first sample.
        b: moments of the second.
        alpha: chance that the sequence ever misses.
        tuned_for: independent observations an arm at which it is tightest.
    """
    if a.n == 0 or b.n == 0:
        return (-math.inf, math.inf)
    variance = a.variance / a.n + b.variance / b.n
    n = (a.variance + b.variance) / variance
    half = float(multiplier(n, alpha, tuned_for)) * math.sqrt(variance)
    return (b.mean - a.mean - half, b.mean - a.mean + half)


def student(z: Floats, freedom: Floats) -> Floats:
    """Student's quantile where ``z`` is the normal one, at the same tail probability.

    Args:
        z: array or number, above 0.
        freedom: degrees of freedom; ``z`` itself is returned where they are infinite.
    """
    # Farther out SciPy's Student quantile is infinite of either sign, or NaN.
    tail = np.maximum(ndtr(-z), 1e-300)
    quantile = np.nan_to_num(np.abs(stdtrit(_finite(freedom), tail)), nan=np.inf, posinf=np.inf)
    return cast("Floats", np.where(np.isfinite(freedom), quantile, z))


def _narrowed(z: Floats, freedom: Floats) -> Floats:
    """The normal quantile where ``z`` is Student's."""
    # From Student's tail to the normal quantile of the same tail; the clip keeps ndtri finite.
    tail = np.clip(stdtr(_finite(freedom), -np.abs(z)), 1e-300, 0.5)
    return cast("Floats", np.where(np.isfinite(freedom), np.sign(z) * -ndtri(tail), z))


def _finite(freedom: Floats) -> Floats:
    return np.where(np.isfinite(freedom), freedom, 1.0)
