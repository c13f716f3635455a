"""How much units of this device differ, learned from all of them: a mixture over prior widths.

Each unit has a posterior for each width of the prior (:attr:`SessionTerms.tastes`; 0 says that all
units like what the release says), from the same evidence. How well each foretold the rewards of all
units of the device, list by list before it learned of them, weighs them: empirical Bayes by
prequential likelihood. Where units do not differ, the weight goes to 0, and lists to the release's
own.

Sources:
    A. P. Dawid, "Present Position and Potential Developments: Some Personal Views: Statistical
    Theory: The Prequential Approach", JRSS-A 147(2), 1984.
    M. Herbster, M. Warmuth, "Tracking the Best Expert", Machine Learning 32, 1998 (fixed share).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from edge_sdk.personalise.rankings.session_model import Floats, TastePosterior

SHARE: Final = 0.001
"""Of the weight, spread evenly after each list: units may come to differ."""

LARGEST: Final = 3.0
"""Of one list's log likelihood ratio: a unit that lies hardly moves the others."""


@dataclass(frozen=True)
class TasteMixture:
    """Mixture of posteriors of one unit's coefficients; ``weights`` [K] sum to 1."""

    parts: Sequence[TastePosterior]
    weights: Floats

    @property
    def mean(self) -> Floats:
        """Mean of the coefficients, [k]."""
        total: Floats = sum(w * part.mean for w, part in zip(self.weights, self.parts, strict=True))
        return total

    def draws(self, random: np.random.Generator, count: int) -> Floats:
        """Return coefficients drawn from it, [k, count] (Thompson sampling)."""
        of_each = random.multinomial(count, self.weights)
        drawn = [
            part.draws(random, n) for part, n in zip(self.parts, of_each.tolist(), strict=True)
        ]
        return np.concatenate(drawn, axis=1)

    def deviations(self, x: Floats) -> Floats:
        """Return about the standard deviation of ``x`` [n, k] times the coefficients, [n]."""
        total: Floats = sum(
            w * part.deviations(x) for w, part in zip(self.weights, self.parts, strict=True)
        )
        return total


class TasteWeights:
    """Weights of the widths of the prior, on one device.

    Args:
        count: of widths.
    """

    def __init__(self, count: int) -> None:
        self.weights: Floats = np.full(count, 1 / count)

    def add(self, log_likelihoods: Floats) -> None:
        """Weigh by how well each width foretold a list, [K]."""
        gains = np.exp(np.maximum(log_likelihoods - log_likelihoods.max(), -LARGEST))
        weights = self.weights * gains
        self.weights = (1 - SHARE) * weights / weights.sum() + SHARE / len(weights)


def log_likelihood(part: TastePosterior, x: Floats, residuals: Floats, noise: float) -> float:
    """Return the log density of residuals [m] of rows ``x`` [m, k], up to a constant."""
    across = x @ part.root
    covariance = across @ across.T
    covariance.flat[:: len(x) + 1] += noise
    lower = np.linalg.cholesky(covariance)
    standard = np.linalg.solve(lower, residuals - x @ part.mean)
    return float(-0.5 * standard @ standard) - math.fsum(np.log(np.diag(lower)).tolist())
