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
from edge_sdk.personalise.experts import Weights, reweigh
from edge_sdk.personalise.outcome import LabelOutcome
from edge_sdk.personalise.posterior import Posteriors
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

_FORGOTTEN = 1e-12
"""Weight of a class's labels below which they are dropped. Halved on and on it would come to rest
at a number so small (subnormal) that processors take many times as long for it.
"""

_EVERY = 64
"""Labels between two such looks."""


class Memories(NamedTuple):
    """What release, slow and fast memory and their pool answer: mix · (log p, own), where
    own = matrix · u + offset are log-probabilities of the memories' Gaussians.

    ``mix`` [4, 3], ``matrix`` [2 · C, r], ``offset`` [2 · C]; ``apart`` says how the slow memory
    differs from a new unit, once it has labels.
    """

    mix: Vector
    matrix: Vector
    offset: Vector
    apart: Apart | None


class ClassModel:
    """The mathematics of one prior's units; one call at a time."""

    def __init__(self, prior: PersonalPrior, attributes: Mapping[str, str]) -> None:
        self.space = ClassSpace(prior, attributes)
        self._settings = settings = prior.settings
        classes, rank = self.space.classes, self.space.rank
        self.width = rank + 1
        half_lives = (settings.half_life, settings.fast_half_life)
        keep = np.array([0.5 ** (1.0 / h) for h in half_lives], np.float32)
        # Work arrays, and constants in the shape of what they meet: see the posterior's reasons.
        self._keep = np.repeat(keep, classes * self.width).reshape(2, classes, self.width)
        self._halves = np.full(rank, -0.5, np.float32)
        self._log_frequencies = np.tile(self.space.log_frequencies, 2)
        self._ones = np.ones(classes, np.float32)
        self._answers = np.empty((3, classes), np.float32)
        self._own = self._answers[1:].reshape(-1)
        self._step = np.ones(self.width, np.float32)
        self._logits = np.empty((4, classes), np.float32)
        self._posteriors = Posteriors(self.space)
        self._strangeness = Strangeness(self.space)

    def memories(self, state: UnitState) -> Memories:
        """Return what both memories of a unit answer, worked out once for each label."""
        if isinstance(state.cache, Memories):
            return state.cache
        sums = state.sums
        means, precision = self._posteriors.of(sums)
        labels, recent = map(sum, sums[:, :, -1].tolist())
        apart = None
        if labels >= LEAST_LABELS:
            apart = self._strangeness.against(precision[0, 0])
        matrix = means * precision
        means *= matrix
        offset = means.reshape(-1, self.space.rank).dot(self._halves)
        offset += self._log_frequencies
        mix = self._mix(state.weights, labels, recent)
        found = Memories(mix, matrix.reshape(len(offset), -1), offset, apart)
        state.cache = found
        return found

    def _mix(self, weights: Weights, labels: float, recent: float) -> Vector:
        """Return what powers of the release's and of both memories' own answers each expert and
        the pool are.
        """
        settings = self._settings
        release, first, second = weights
        slow = labels / (labels + settings.warm_up + 1e-6)
        fast = recent / (recent + settings.warm_up + 1e-6)
        power, pull = 1.0 + slow * (settings.power - 1.0), slow * settings.pull
        # The fast memory answers alone in the end: a unit may mean by a name what no other means.
        fast_power, fast_pull = 1.0 - fast, fast * settings.pull
        pool = release + first * power + second * fast_power, first * pull, second * fast_pull
        rows = (1.0, 0.0, 0.0), (power, pull, 0.0), (fast_power, 0.0, fast_pull), pool
        return np.array(rows, np.float32)

    def correction(self, state: UnitState) -> Correction:
        """Return the pool of all experts as one correction."""
        mix, matrix, offset, _ = self.memories(state)
        space, pool = self.space, mix[3]
        pulls = pool[1:]
        pooled = pulls.dot(matrix.reshape(2, -1)).reshape(space.classes, space.rank)
        shifted = pulls.dot(offset.reshape(2, -1))
        shifted += pooled.dot(space.origin)
        return Correction(
            float(pool[0]), pooled.dot(space.projection), shifted, self._settings.floor
        )

    def learn(
        self, state: UnitState, phi: Vector, scores: Sequence[float], label: int, now: float
    ) -> LabelOutcome:
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

    def judge(
        self, state: UnitState, phi: Vector, scores: Sequence[float], label: int
    ) -> LabelOutcome:
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
    ) -> tuple[list[float], tuple[bool, bool], float]:
        """Return the chance that release, slow, fast memory and pool gave the label, whether it was
        the release's and the pool's first, and by how many nats the row is a stranger's.
        """
        mix, matrix, offset, apart = self.memories(state)
        answers, own, floor = self._answers, self._own, self._settings.floor
        # Written so that a NaN stays one.
        answers[0] = [math.log(floor if p < floor else p) for p in scores]
        np.dot(matrix, u, own)
        own += offset
        strange = 0.0
        if apart is not None:
            strange = self._strangeness.of(u, max(answers[1].tolist()), apart)
        found = np.dot(mix, answers, self._logits)
        logits = found - found[:, label : label + 1]
        of_release, *_, of_pool = logits.tolist()
        right = max(of_release) <= 0, max(of_pool) <= 0
        np.minimum(logits, _CAP, out=logits)
        np.exp(logits, out=logits)
        chances = [1.0 / total for total in logits.dot(self._ones).tolist()]
        if not math.isfinite(sum(chances)):
            raise InputError("not_finite", "expected finite probabilities of the release")
        return chances, right, strange

    def _losses(self, state: UnitState, chances: list[float]) -> tuple[float, float, float, float]:
        """Return log losses where a share of labels is drawn at random: at most log(C / noise)."""
        noise = state.noise
        chance = noise / self.space.classes
        drawn, log = 1.0 - noise, math.log
        release, slow, fast, pool = chances
        return (
            -log(drawn * release + chance),
            -log(drawn * slow + chance),
            -log(drawn * fast + chance),
            -log(drawn * pool + chance),
        )

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
        if state.labels % _EVERY == 0:
            sums[sums[:, :, -1] < _FORGOTTEN] = 0.0
        step = self._step
        np.subtract(u, self.space.base[label], step[:-1])
        slow, fast = sums[0, label], sums[1, label]
        fast += step
        slow += step * np.float32(trust)


def _outcome(right: tuple[bool, bool], losses: tuple[float, ...]) -> LabelOutcome:
    own, personal = right
    return LabelOutcome(own, personal, losses[0], losses[3], float(personal) - float(own))
