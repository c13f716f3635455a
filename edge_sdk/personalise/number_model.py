"""A regressor's unit: a shrunken offset and slope of its own.

In units of the noise, truth − answer = θ₀ + θ₁ z + N(0, 1), with z the standardised answer and
θ ~ N(cohort, diag(offset, slope)): conjugate, so the posterior follows from five decayed sums.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from edge_sdk.contract.personal.prior import PersonalPrior
from edge_sdk.personalise.beginning_anew import begin_anew
from edge_sdk.personalise.correction import NumberCorrection
from edge_sdk.personalise.experts import reweigh
from edge_sdk.personalise.outcome import Outcome
from edge_sdk.personalise.unit_moments import UnitMoments, number_moments
from edge_sdk.personalise.unit_state import UnitState

Theta = tuple[float, float]
WIDTH = 5
"""Sums of z, z², e, e·z and the count, e the error over the noise's deviation."""

_LARGEST_Z, _LARGEST_ERROR = 10.0, 100.0
_NEAR = 2.0
"""Deviations of the noise up to which an error has its full weight."""


class NumberModel:
    """The mathematics of one prior's units; one call at a time."""

    width = WIDTH

    def __init__(self, prior: PersonalPrior, attributes: Mapping[str, str]) -> None:
        part = prior.number
        assert part is not None
        self._settings = prior.settings
        self._centre, self._scale, self._sd = part.centre, part.scale, math.sqrt(part.noise)
        value = attributes.get(prior.attribute) if prior.attribute else None
        mean = part.cohorts.get(value, (0.0, 0.0)) if value is not None else (0.0, 0.0)
        self._mean = (mean[0] / self._sd, mean[1] / self._sd)
        self._precision = (
            1.0 / max(part.offset / part.noise, 1e-9),
            1.0 / max(part.slope / part.noise, 1e-9),
        )
        settings = prior.settings
        half_lives = (settings.half_life, settings.fast_half_life)
        self._keep = np.array([0.5 ** (1 / h) for h in half_lives], np.float32)[:, None, None]

    def memories(self, state: UnitState) -> tuple[Theta, Theta]:
        """Return (θ₀, θ₁) of the slow and the fast memory, in deviations of the noise."""
        if isinstance(state.cache, tuple):
            return state.cache
        slow, fast = state.sums[:, 0].tolist()
        wide = self._settings.widening
        state.cache = found = (self._posterior(slow, 1.0), self._posterior(fast, wide))
        return found

    def correction(self, state: UnitState) -> NumberCorrection:
        """Return the pool of all experts as one correction."""
        intercept, gradient = self._pooled(state)
        slope = self._sd * gradient / self._scale
        return NumberCorrection(1.0 + slope, self._sd * intercept - slope * self._centre)

    def learn(self, state: UnitState, value: float, truth: float, now: float) -> Outcome:
        """Take one true value: judge both answers by it first, then learn from it."""
        z, error = self._standard(value, truth)
        misses = self._misses(state, z, error)
        release, slow, fast, own = self._losses(misses)
        losses = (release, slow, fast)
        state.weights = reweigh(state.weights, losses, self._settings)
        # Huber's weight, by the expert who came nearest: what none expected moves little.
        self._remember(state, z, error, min(1.0, _NEAR / max(min(misses[:3]), 1e-9)))
        state.age(now, self._settings.half_life_days)
        begin_anew(state, losses, 0.0, self._settings)
        state.cache = None
        return self._outcome(release, own)

    def judge(self, state: UnitState, value: float, truth: float) -> Outcome:
        """Return the outcome of a true value, without learning it."""
        losses = self._losses(self._misses(state, *self._standard(value, truth)))
        return self._outcome(losses[0], losses[3])

    def moments(self, state: UnitState) -> UnitMoments:
        """Return what a unit says of how units differ."""
        return number_moments(state.sums[0, 0].astype(np.float64), self._mean, self._sd)

    def _pooled(self, state: UnitState) -> Theta:
        slow, fast = self.memories(state)
        _, a, b = state.weights
        return a * slow[0] + b * fast[0], a * slow[1] + b * fast[1]

    def _posterior(self, sums: list[float], wide: float) -> Theta:
        z, zz, e, ez, n = sums
        # Normal equations of the ridge towards the cohort's mean; 2 × 2, solved by Cramer's rule.
        p0, p1 = self._precision[0] / wide, self._precision[1] / wide
        a, d = n + p0, zz + p1
        x, y = e + p0 * self._mean[0], ez + p1 * self._mean[1]
        determinant = max(a * d - z * z, 1e-12)
        return (x * d - z * y) / determinant, (a * y - z * x) / determinant

    def _standard(self, value: float, truth: float) -> tuple[float, float]:
        """Return z of the answer, and the error in deviations of the noise; both bounded."""
        z = _within((value - self._centre) / self._scale, _LARGEST_Z)
        return z, _within((truth - value) / self._sd, _LARGEST_ERROR)

    def _misses(self, state: UnitState, z: float, error: float) -> list[float]:
        """Return by how many deviations release, slow, fast memory and pool missed."""
        slow, fast = self.memories(state)
        thetas = ((0.0, 0.0), slow, fast, self._pooled(state))
        return [abs(error - intercept - gradient * z) for intercept, gradient in thetas]

    def _losses(self, misses: list[float]) -> list[float]:
        largest = self._settings.largest_loss
        return [min(0.5 * miss * miss, largest) for miss in misses]

    def _outcome(self, release: float, own: float) -> Outcome:
        better = (release - own) / self._settings.largest_loss
        return Outcome(release <= own, own <= release, release, own, better)

    def _remember(self, state: UnitState, z: float, error: float, trust: float) -> None:
        row = np.array((z, z * z, error, error * z, 1.0))
        state.sums *= self._keep
        state.sums[0, 0] += trust * row
        state.sums[1, 0] += row


def _within(number: float, largest: float) -> float:
    return max(-largest, min(largest, number))
