"""What a classifier's unit learns of a label, as the formulas have it: in float64, one memory after
the other, without a thought for time. The device's own form is held to it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from edge_sdk.contract.personal.prior import PersonalPrior
from edge_sdk.personalise.beginning_anew import begin_anew
from edge_sdk.personalise.class_model import PRIOR_LABELS, RECENT_LABELS
from edge_sdk.personalise.class_space import ClassSpace
from edge_sdk.personalise.experts import reweigh
from edge_sdk.personalise.strangeness import LARGEST, LEAST_LABELS
from edge_sdk.personalise.unit_state import UnitState

Array = NDArray[np.float64]


class PlainModel:
    """The units of one prior."""

    def __init__(self, prior: PersonalPrior, attributes: Mapping[str, str]) -> None:
        self.settings, self.space = prior.settings, ClassSpace(prior, attributes)
        self.base, self.mean = self.space.base.astype(float), self.space.mean.astype(float)
        self.frequencies = np.exp(self.space.log_frequencies.astype(float))

    def posterior(self, sums: Array, memory: int) -> tuple[Array, Array]:
        """Means [C, r] and precision [r] of one memory's sums [C, r + 1]."""
        space, count = self.space, sums[:, -1:]
        total = sums[:, :-1] - count * space.cohort
        between, inverse_shift = space.between[memory, 0].astype(float), space.inverse_shift[memory]
        shrink = 1 / (1 + count * between)
        along = np.zeros_like(total)
        if space.factors is not None:
            factors = space.factors.astype(float).reshape(*total.shape, -1)
            information = np.eye(factors.shape[2])
            information += np.einsum("crk,cr,crl->kl", factors, count * shrink, factors)
            y = np.linalg.solve(information, np.einsum("crk,cr->k", factors, shrink * total))
            along = factors @ y
        left = shrink * (total - count * along)
        known = inverse_shift + (count * shrink).sum(axis=0)
        shift = left.sum(axis=0) / known
        typical = shrink.mean(axis=0)
        precision = 1 / (1 + typical * between + typical**2 / known)
        return self.mean + along + shrink * shift + between * left, precision

    def gaussians(self, sums: Array, memory: int) -> tuple[Array, Array]:
        """Matrix [C, r] and offset [C] of the log-probabilities of one memory's classes."""
        means, precision = self.posterior(sums, memory)
        matrix = means * precision
        return matrix, np.log(self.frequencies) - 0.5 * (matrix * means).sum(axis=1)

    def powers(self, state: UnitState) -> tuple[list[float], list[float]]:
        """Powers of the release's and of the Gaussians' answer, of both memories."""
        settings = self.settings
        labels = state.sums[:, :, -1].astype(float).sum(axis=1)
        slow, fast = (labels / (labels + settings.warm_up + 1e-6)).tolist()
        return [1 + slow * (settings.power - 1), 1 - fast], [
            slow * settings.pull,
            fast * settings.pull,
        ]

    def correction(self, state: UnitState) -> tuple[float, Array, Array]:
        """Power, matrix [C, d] and offset [C] of the pool."""
        power, pull = self.powers(state)
        release, *weights = state.weights
        parts = [self.gaussians(state.sums[memory], memory) for memory in (0, 1)]
        pairs = list(zip(weights, pull, parts, strict=True))
        matrix = sum(w * p * part[0] for w, p, part in pairs)
        offset = sum(w * p * part[1] for w, p, part in pairs) + matrix @ self.space.origin
        return release + np.dot(weights, power), matrix @ self.space.projection, offset

    def strange(self, state: UnitState, u: Array) -> float:
        """Nats by which a new unit explains a row better than the slow memory does, cut."""
        if state.sums[0, :, -1].sum() < LEAST_LABELS:
            return 0.0
        means, precision = self.posterior(state.sums[0], 0)
        new = 1 / (1 + self.space.spread.astype(float))

        def best(means: Array, precision: Array) -> float:
            fits = -0.5 * ((u - means) ** 2 * precision).sum(axis=1)
            return float((fits + np.log(self.frequencies)).max() + 0.5 * np.log(precision).sum())

        return max(-LARGEST, min(LARGEST, best(self.mean, new) - best(means, precision)))

    def learn(
        self, state: UnitState, phi: NDArray[np.float32], scores: Sequence[float], label: int,
        now: float,
    ) -> tuple[float, float]:  # fmt: skip
        """Learn one label; return the losses of the release and of the pool."""
        settings, classes = self.settings, len(scores)
        u = self.space.projection.astype(float) @ phi + self.space.origin
        release = np.log(np.maximum(scores, settings.floor))
        answers = [release]
        for memory, (power, pull) in enumerate(zip(*self.powers(state), strict=True)):
            matrix, offset = self.gaussians(state.sums[memory], memory)
            answers.append(power * release + pull * (matrix @ u + offset))
        answers.append(sum(w * each for w, each in zip(state.weights, answers, strict=True)))
        chances = [1 / np.exp(np.minimum(z - z[label], 30)).sum() for z in answers]
        noise = state.noise
        losses = [-math.log((1 - noise) * p + noise / classes) for p in chances]
        strange = self.strange(state, u)
        three = (losses[0], losses[1], losses[2])
        state.weights = reweigh(state.weights, three, settings)
        right = (1 - noise) * max(chances[:3])
        trust = right / (right + noise / classes)
        state.noise += (1 - trust - noise) / (PRIOR_LABELS + min(state.labels, RECENT_LABELS))
        for memory, half_life in enumerate((settings.half_life, settings.fast_half_life)):
            state.sums[memory] *= 0.5 ** (1 / half_life)
        for memory, weight in enumerate((trust, 1.0)):
            state.sums[memory, label] += weight * np.append(u - self.base[label], 1)
        state.age(now, settings.half_life_days)
        begin_anew(state, three, strange, settings)
        state.labels += 1
        return losses[0], losses[3]
