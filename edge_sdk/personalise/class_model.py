"""A classifier's unit: what it learns of a label, and the correction that follows from it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_sdk.contract.personal.prior import PersonalPrior
from edge_sdk.personalise.class_space import ClassSpace
from edge_sdk.personalise.correction import Correction
from edge_sdk.personalise.experts import reweigh
from edge_sdk.personalise.outcome import Outcome
from edge_sdk.personalise.posterior import posterior
from edge_sdk.personalise.unit_moments import Moments, class_moments
from edge_sdk.personalise.unit_state import UnitState

Vector = NDArray[np.float32]

_CAP = 30.0
"""Log odds against a label beyond which nothing changes: the loss is clipped far below."""


class Memories(NamedTuple):
    """What both memories answer: power · log p + matrix · u + offset.

    ``power`` [2], ``matrix`` [2, C, r], ``offset`` [2, C].
    """

    power: tuple[float, float]
    matrix: NDArray[np.float32]
    offset: NDArray[np.float32]


class ClassModel:
    """The mathematics of one prior's units; one call at a time."""

    def __init__(self, prior: PersonalPrior, attributes: Mapping[str, str]) -> None:
        self.space = ClassSpace(prior, attributes)
        self._settings = prior.settings
        half_lives = (prior.settings.half_life, prior.settings.fast_half_life)
        self._keep = np.array([0.5 ** (1.0 / h) for h in half_lives], np.float32)[:, None, None]
        self.width = self.space.rank + 1
        self._halves = np.full((self.space.rank, 1), -0.5, np.float32)

    def memories(self, state: UnitState) -> Memories:
        """Return what both memories of a unit answer, worked out once for each label."""
        if isinstance(state.cache, Memories):
            return state.cache
        settings, sums = self._settings, state.sums
        means, precision = posterior(sums, self.space)
        (slow,), (fast,) = (self.space.ones @ sums[:, :, -1:])[:, 0].tolist()
        warm = settings.warm_up
        steps = slow / (slow + warm) if slow else 0.0, fast / (fast + warm) if fast else 0.0
        turn = settings.power - 1.0
        power = 1.0 + steps[0] * turn, 1.0 + steps[1] * turn
        precision *= np.array([[[steps[0]]], [[steps[1]]]], np.float32) * settings.pull
        matrix = means * precision
        means *= matrix
        offset = (means @ self._halves)[:, :, 0]
        state.cache = found = Memories(power, matrix, offset)
        return found

    def correction(self, state: UnitState) -> Correction:
        """Return the pool of all experts as one correction."""
        power, matrix, offset = self.memories(state)
        release, slow, fast = state.weights
        pooled = slow * matrix[0] + fast * matrix[1]
        shifted = slow * offset[0] + fast * offset[1] + pooled @ self.space.origin
        return Correction(
            release + slow * power[0] + fast * power[1],
            pooled @ self.space.projection,
            shifted,
            self._settings.floor,
        )

    def learn(
        self, state: UnitState, phi: Vector, scores: Sequence[float], label: int, now: float
    ) -> Outcome:
        """Take one label: judge both answers by it first, then learn from it."""
        settings, space = self._settings, self.space
        u = space.place(phi)
        losses, right = self._judge(state, u, scores, label)
        state.weights = reweigh(state.weights, self._smooth(losses), settings)
        self._remember(state, u, label, now, self._trust(min(losses[:3])))
        comparison = float(right[3]) - float(right[0])
        return Outcome(right[0], right[3], losses[0], losses[3], comparison)

    def moments(self, state: UnitState) -> Moments:
        """Return what a unit says of how units differ."""
        return class_moments(state.sums, self.space.cohort)

    def _judge(
        self, state: UnitState, u: Vector, scores: Sequence[float], label: int
    ) -> tuple[list[float], list[bool]]:
        """Return log losses, and whether right, of release, slow, fast memory and the pool."""
        power, matrix, offset = self.memories(state)
        release, slow, fast = state.weights
        answers = np.empty((3, len(scores)), np.float32)
        np.log(np.maximum(scores, self._settings.floor), out=answers[0])
        np.add(matrix @ u, offset, out=answers[1:])
        pool = release + slow * power[0] + fast * power[1]
        mix = np.array(
            [[1.0, 0, 0], [power[0], 1, 0], [power[1], 0, 1], [pool, slow, fast]], np.float32
        )
        logits = mix @ answers
        logits -= logits[:, label : label + 1]
        right = (logits.max(axis=1) <= 0).tolist()
        np.minimum(logits, _CAP, out=logits)
        np.exp(logits, out=logits)
        losses = [math.log(total) for total in logits.sum(axis=1).tolist()]
        self.raw = losses
        return losses, right

    def _smooth(self, losses):
        noise = self._settings.noise
        return tuple(-math.log((1 - noise) * math.exp(-each) + noise / self.space.classes) for each in losses[:3])

    def _trust(self, loss):
        noise = self._settings.noise
        p = (1 - noise) * math.exp(-loss)
        return p / (p + noise / self.space.classes) if noise else 1.0

    def _remember(self, state: UnitState, u: Vector, label: int, now: float, trust: float) -> None:
        sums = state.sums
        sums *= self._keep
        if state.last and now > state.last:
            days = (now - state.last) / 86_400.0
            sums *= np.float32(0.5 ** (days / self._settings.half_life_days))
        state.last = max(now, state.last)
        row = sums[:, label]
        step = u - self.space.base[label]
        row[0, :-1] += trust * step
        row[1, :-1] += step
        row[0, -1] += trust
        row[1, -1] += 1.0
        state.cache = None
