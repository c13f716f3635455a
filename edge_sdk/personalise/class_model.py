"""A classifier's unit: what it learns of a label, and the correction that follows from it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_sdk.contract.personal.prior import PersonalPrior
from edge_sdk.errors import InputError
from edge_sdk.personalise.beginning_anew import begin_anew
from edge_sdk.personalise.class_space import ClassSpace
from edge_sdk.personalise.correction import Correction
from edge_sdk.personalise.experts import reweigh
from edge_sdk.personalise.outcome import Outcome
from edge_sdk.personalise.posterior import posterior
from edge_sdk.personalise.strangeness import LEAST_LABELS, Apart, Strangeness
from edge_sdk.personalise.unit_moments import UnitMoments, class_moments
from edge_sdk.personalise.unit_state import UnitState

Vector = NDArray[np.float32]

_CAP = 30.0
"""Log odds against a label beyond which nothing changes; their exponentials fit into float32."""

_FARTHEST = 1_000.0
"""Of a row from the fleet's centre, in deviations of rows of one class."""

PRIOR_LABELS = 5.0
RECENT_LABELS = 50.0
"""Labels over which a unit's share of wrong ones is averaged."""


class Memories(NamedTuple):
    """What both memories answer: power · log p + matrix · u + offset.

    ``power`` [2, 1], ``matrix`` [2, C, r], ``offset`` [2, C]; ``pull`` is the weight of the slow
    one's Gaussians in them, and ``apart`` says how it differs from a new unit, once it has labels.
    """

    power: Vector
    matrix: Vector
    offset: Vector
    pull: float
    apart: Apart | None


class ClassModel:
    """The mathematics of one prior's units; one call at a time."""

    def __init__(self, prior: PersonalPrior, attributes: Mapping[str, str]) -> None:
        self.space = ClassSpace(prior, attributes)
        self._settings = settings = prior.settings
        half_lives = (settings.half_life, settings.fast_half_life)
        self._keep = np.array([0.5 ** (1.0 / h) for h in half_lives], np.float32)[:, None, None]
        self.width = self.space.rank + 1
        self._halves = np.full((self.space.rank, 1), -0.5, np.float32)
        # The fast memory answers alone in the end: a unit may mean by a name what no other means.
        self._turn = np.array([[settings.power - 1.0], [-1.0]], np.float32)
        self._strangeness = Strangeness(self.space)
        self._ones = np.ones(self.space.classes, np.float32)

    def memories(self, state: UnitState) -> Memories:
        """Return what both memories of a unit answer, worked out once for each label."""
        if isinstance(state.cache, Memories):
            return state.cache
        settings, sums = self._settings, state.sums
        means, precision = posterior(sums, self.space)
        step = (self.space.ones @ sums[:, :, -1:])[:, 0]
        labels = float(step[0, 0])
        step /= step + np.float32(settings.warm_up + 1e-6)
        apart = None
        if labels >= LEAST_LABELS:
            apart = self._strangeness.against(precision[0, 0])
        power = 1.0 + step * self._turn
        step *= np.float32(settings.pull)
        precision *= step[:, :, None]
        matrix = means * precision
        means *= matrix
        offset = (means @ self._halves)[:, :, 0]
        offset += step * self.space.log_frequencies
        pull = float(step[0, 0])
        state.cache = found = Memories(power, matrix, offset, pull, apart)
        return found

    def correction(self, state: UnitState) -> Correction:
        """Return the pool of all experts as one correction."""
        power, matrix, offset, *_ = self.memories(state)
        release, slow, fast = state.weights
        pooled = slow * matrix[0] + fast * matrix[1]
        shifted = slow * offset[0] + fast * offset[1] + pooled @ self.space.origin
        return Correction(
            release + slow * float(power[0, 0]) + fast * float(power[1, 0]),
            pooled @ self.space.projection,
            shifted,
            self._settings.floor,
        )

    def learn(
        self, state: UnitState, phi: Vector, scores: Sequence[float], label: int, now: float
    ) -> Outcome:
        """Take one label: judge both answers by it first, then learn from it."""
        u = self._placed(phi)
        chances, right, strange = self._judge(state, u, scores, label)
        losses = self._losses(state, chances)
        state.weights = reweigh(state.weights, losses[:3], self._settings)
        self._remember(state, u, label, self._trust(state, max(chances[:3])))
        state.age(now, self._settings.half_life_days)
        begin_anew(state, losses[:3], strange, self._settings)
        state.cache = None
        return _outcome(right, losses)

    def judge(self, state: UnitState, phi: Vector, scores: Sequence[float], label: int) -> Outcome:
        """Return the outcome of a label, without learning it."""
        chances, right, _ = self._judge(state, self._placed(phi), scores, label)
        return _outcome(right, self._losses(state, chances))

    def moments(self, state: UnitState) -> UnitMoments:
        """Return what a unit says of how units differ."""
        return class_moments(state.sums, self.space.cohort)

    def _placed(self, phi: Vector) -> Vector:
        """Return u of a row; one that is beyond all others is brought near, in its direction.

        Raises:
            InputError: it is not finite.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            u = self.space.place(phi)
            square = float(u.dot(u))
        if square <= _FARTHEST**2:
            return u
        if not np.isfinite(phi).all():
            raise InputError("not_finite", "expected finite numbers in the basis vector of a row")
        direction = self.space.projection.astype(np.float64) @ phi.astype(np.float64)
        return (direction * (_FARTHEST / np.linalg.norm(direction))).astype(np.float32)

    def _judge(
        self, state: UnitState, u: Vector, scores: Sequence[float], label: int
    ) -> tuple[list[float], list[bool], float]:
        """Return the chance that release, slow, fast memory and pool gave the label, and whether
        it was their first.
        """
        memories = self.memories(state)
        logits = np.empty((4, len(scores)), np.float32)
        release = logits[0]
        np.log(np.maximum(scores, self._settings.floor), out=release)
        own = memories.matrix @ u
        own += memories.offset
        strange = 0.0
        if memories.apart is not None:
            best = max(own[0].tolist()) / memories.pull
            strange = self._strangeness.of(u, best, memories.apart)
        own += memories.power * release
        logits[1:3] = own
        np.dot(np.array(state.weights, np.float32), logits[:3], out=logits[3])
        logits -= logits[:, label : label + 1]
        right = [top <= 0 for top in np.maximum.reduce(logits, axis=1).tolist()]
        np.minimum(logits, _CAP, out=logits)
        np.exp(logits, out=logits)
        chances = [1.0 / total for total in (logits @ self._ones).tolist()]
        if not math.isfinite(sum(chances)):
            raise InputError("not_finite", "expected finite probabilities of the release")
        return chances, right, strange

    def _losses(self, state: UnitState, chances: list[float]) -> tuple[float, float, float, float]:
        """Return log losses where a share of labels is drawn at random: at most log(C / noise)."""
        noise = state.noise
        chance = noise / self.space.classes
        release, slow, fast, pool = (-math.log((1.0 - noise) * p + chance) for p in chances)
        return release, slow, fast, pool

    def _trust(self, state: UnitState, chance: float) -> float:
        """Return how likely a label is right, by the expert who gave it the best chance."""
        right = (1.0 - state.noise) * chance
        trust = right / (right + state.noise / self.space.classes)
        # The unit's share of wrong labels is learnt as well, from PRIOR_LABELS imagined ones on.
        weight = PRIOR_LABELS + min(state.labels, RECENT_LABELS)
        state.noise += (1.0 - trust - state.noise) / weight
        return trust

    def _remember(self, state: UnitState, u: Vector, label: int, trust: float) -> None:
        sums = state.sums
        sums *= self._keep
        step = u - self.space.base[label]
        slow, fast = sums[0, label], sums[1, label]
        fast[:-1] += step
        fast[-1] += 1.0
        step *= np.float32(trust)
        slow[:-1] += step
        slow[-1] += trust


def _outcome(right: list[bool], losses: tuple[float, ...]) -> Outcome:
    return Outcome(right[0], right[3], losses[0], losses[3], float(right[3]) - float(right[0]))
