"""Statistics that stay honest while people watch: valid at every look, not only at the last.

Sources:
    I. Waudby-Smith, D. Arbour, R. Sinha, E. Kennedy, A. Ramdas, "Time-uniform central limit theory
    and asymptotic confidence sequences", Annals of Statistics 52(6), 2024 (equation 9).
    A. Ramdas, P. Grünwald, V. Vovk, G. Shafer, "Game-theoretic statistics and safe anytime-valid
    inference", Statistical Science 38(4), 2023 (e-processes).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

TUNED_FOR: Final = 5_000
"""Sample size at which confidence sequences are tightest."""

RISKS: Final = (1.25, 1.5, 2.0, 3.0, 5.0, 10.0)
"""Relative risks of failure over which the guardrail's e-process is mixed."""


@dataclass(frozen=True)
class Moments:
    """Sufficient statistics of a sample."""

    n: int
    total: float
    squares: float

    @classmethod
    def of_successes(cls, successes: int, n: int) -> Moments:
        """Of a 0/1 outcome."""
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


def radius(moments: Moments, alpha: float, tuned_for: int = TUNED_FOR) -> float:
    """Half width of the two-sided (1 - alpha) asymptotic confidence sequence of a mean."""
    n = moments.n
    if n == 0:
        return math.inf
    rho2 = (-2 * math.log(alpha) + math.log(-2 * math.log(alpha) + 1)) / tuned_for
    inside = 2 * (n * rho2 + 1) / (n * n * rho2) * math.log(math.sqrt(n * rho2 + 1) / alpha)
    return math.sqrt(moments.variance * inside)


def mean_interval(
    moments: Moments, alpha: float = 0.05, tuned_for: int = TUNED_FOR
) -> tuple[float, float]:
    """Confidence sequence of a mean at this look."""
    if moments.n == 0:
        return (-math.inf, math.inf)
    half = radius(moments, alpha, tuned_for)
    return (moments.mean - half, moments.mean + half)


def difference_interval(
    a: Moments, b: Moments, alpha: float = 0.05, tuned_for: int = TUNED_FOR
) -> tuple[float, float]:
    """Confidence sequence of mean(b) - mean(a): the two arms' sequences at alpha/2 each.

    Wider than a joint one, but valid however unevenly the arms grow.
    """
    if a.n == 0 or b.n == 0:
        return (-math.inf, math.inf)
    half = radius(a, alpha / 2, tuned_for) + radius(b, alpha / 2, tuned_for)
    middle = b.mean - a.mean
    return (middle - half, middle + half)


def failure_evidence(
    candidate_failures: int, candidate_n: int, control_failures: int, control_n: int
) -> float:
    """E-value against "the candidate fails no more often than the control".

    Given how many failures there were in all, the candidate's share of them is binomial with its
    share of exposure if the risks are equal; a mixture over :data:`RISKS` bets on more. Reject at
    e >= 1/alpha, at any look: a martingale starting at 1 exceeds that with chance at most alpha.
    Conservative where failures are frequent.
    """
    failures = candidate_failures + control_failures
    exposure = candidate_n + control_n
    if failures == 0 or candidate_n == 0 or control_n == 0:
        return 1.0
    share = candidate_n / exposure
    logs = []
    for risk in RISKS:
        alternative = risk * share / (risk * share + 1 - share)
        logs.append(
            candidate_failures * math.log(alternative / share)
            + control_failures * math.log((1 - alternative) / (1 - share))
        )
    top = max(logs)
    return float(math.exp(min(700.0, top)) * np.mean(np.exp(np.array(logs) - top)))
