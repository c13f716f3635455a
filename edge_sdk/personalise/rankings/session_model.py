"""What one unit likes: Bayesian linear regression of what the release's score leaves unexplained.

The reward of an item (1 for a click, 0 for none, or a number from 0 to 1) is modelled as::

    reward = a + b * score + theta . features + noise

``a`` and ``b`` have a prior about what the score means, ``theta`` one about zero. So a unit without
evidence is ranked as the release ranks. The posterior is closed form: a state holds the evidence
``E = sum w x x' / s2`` and ``v = sum w x r / s2`` with ``x = (1, score, features)`` and ``r`` the
reward minus its prior mean; the posterior is normal with precision ``P = P0 + E`` and mean
``P^-1 v``. Each item adds a matrix of rank one. Forgetting scales ``E`` and ``v``: old evidence
fades, the prior stays.

Sources:
    L. Li, W. Chu, J. Langford, R. Schapire, "A Contextual-Bandit Approach to Personalized News
    Article Recommendation", WWW 2010 (LinUCB).
    S. Agrawal, N. Goyal, "Thompson Sampling for Contextual Bandits with Linear Payoffs", ICML 2013.
    Y. Russac, C. Vernade, O. Cappé, "Weighted Linear Bandits for Non-Stationary Environments",
    NeurIPS 2019 (discounted evidence).
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge_sdk.contract.errors import ContractError

Floats = NDArray[np.float64]

FEATURES: Final = 32
"""Most features of an item; more are projected (:mod:`edge_sdk.personalise.rankings.features`)."""

FIXED: Final = 2
"""Coefficients besides those of features: of the constant, and of the score."""

BASIS_BYTES: Final = 8
LARGEST_NORM: Final = 4.0
"""Of an item's features after scaling: outliers are cut."""

LONGEST_HALF_LIFE: Final = 1_000.0
"""In items: with more evidence single precision would not do."""

LARGEST_NUMBER: Final = 1e6
"""Of a packed state: more than evidence comes to."""

TINY: Final = 1e-300
_HEAD: Final = struct.Struct("<B8sBddI")
_FORMAT: Final = 1


@dataclass(frozen=True)
class ScorePrior:
    """What a score says of the reward before there is evidence: ``mean = a + b * score``."""

    a: float
    b: float


PROBABILITY: Final = ScorePrior(0.0, 1.0)
"""Of a classifier with two classes: its score is the chance of a click."""

STANDARDISED: Final = ScorePrior(0.1, 0.1)
"""Of all other scores, standardised within the list."""


@dataclass(frozen=True)
class SessionTerms:
    """Rules of learning; the same for all units.

    ``tastes`` are widths of the prior: standard deviations of ``theta . features`` (features have
    root mean square 1), of which :mod:`edge_sdk.personalise.rankings.taste_mixture` finds the one
    that fits; ``constant`` is that of ``a``, ``slope`` that of ``b``; ``noise`` the variance of a
    reward. Evidence is worth half after ``half_life`` further examined items, and after
    ``half_life_seconds``.
    """

    tastes: tuple[float, ...] = (0.0, 0.15, 0.35)
    constant: float = 0.2
    slope: float = 0.1
    noise: float = 0.2
    half_life: float = 25.0
    half_life_seconds: float = 90 * 86_400.0


class SessionState:
    """Evidence of one unit: ``evidence`` [k, k], ``vector`` [k], ``k = 2 + features``.

    ``basis`` names the meaning of the features, ``scale`` divides them; ``items`` counts examined
    items; ``at`` is when the last came, Unix seconds.
    """

    __slots__ = ("at", "basis", "evidence", "items", "scale", "vector")

    def __init__(self, basis: bytes = b"", scale: float = 1.0, width: int = 0) -> None:
        self.begin(basis, scale, width)

    def begin(self, basis: bytes, scale: float, width: int) -> None:
        """Forget everything, and begin with features of this meaning, scale and number."""
        size = FIXED + width
        self.basis, self.scale, self.items, self.at = basis, scale, 0, 0.0
        self.evidence: Floats = np.zeros((size, size))
        self.vector: Floats = np.zeros(size)

    @property
    def width(self) -> int:
        """Number of features."""
        return len(self.vector) - FIXED


@dataclass(frozen=True)
class TastePosterior:
    """Normal posterior of the coefficients: ``mean`` [k]; ``root`` [k, k] with root root' the
    covariance.
    """

    mean: Floats
    root: Floats

    def draws(self, random: np.random.Generator, count: int) -> Floats:
        """Return coefficients drawn from it, [k, count] (Thompson sampling)."""
        return self.mean[:, None] + self.root @ random.standard_normal((len(self.mean), count))

    def deviations(self, x: Floats) -> Floats:
        """Return the standard deviation of ``x`` [n, k] times the coefficients, [n] (LinUCB)."""
        across: Floats = np.linalg.norm(x @ self.root, axis=1)
        return across


class SessionModel:
    """Posteriors and updates. Pure: time is an argument; states are changed in place.

    Args:
        terms: rules of learning.
    """

    def __init__(self, terms: SessionTerms = SessionTerms()) -> None:
        self.terms = terms

    def posteriors(self, state: SessionState, now: float) -> tuple[TastePosterior, ...]:
        """Return the posterior of a unit's coefficients about their prior means, by width.

        Args:
            state: of the unit.
            now: Unix seconds; evidence fades until then.
        """
        kept = self._kept(state, now)
        evidence, vector = state.evidence * kept, state.vector * kept
        return tuple(self._posterior(evidence, vector, taste) for taste in self.terms.tastes)

    def priors(self, width: int) -> tuple[TastePosterior, ...]:
        """Return what is known of a unit without evidence whose items have so many features."""
        size = FIXED + width
        nothing, zeros = np.zeros((size, size)), np.zeros(size)
        return tuple(self._posterior(nothing, zeros, taste) for taste in self.terms.tastes)

    def residuals(self, x: Floats, rewards: Floats, prior: ScorePrior) -> Floats:
        """Return rewards [n] of rows of :func:`design` [n, k] less their prior means."""
        left: Floats = rewards - (prior.a + prior.b * x[:, 1])
        return left

    def _posterior(self, evidence: Floats, vector: Floats, taste: float) -> TastePosterior:
        # With a taste of 0 the coefficients of features are 0.
        size = len(vector) if taste > 0 else FIXED
        precision = evidence[:size, :size].copy()
        precision.flat[:: size + 1] += self._prior(size, taste)
        # precision = L L', so the covariance is root root' with root = L^-T.
        some = np.linalg.inv(np.linalg.cholesky(precision)).T
        root, mean = np.zeros_like(evidence), np.zeros_like(vector)
        root[:size, :size] = some
        mean[:size] = some @ (some.T @ vector[:size])
        return TastePosterior(mean, root)

    def learn(
        self, state: SessionState, x: Floats, rewards: Floats, prior: ScorePrior, now: float
    ) -> None:
        """Add examined items to the evidence of a unit, in place.

        Args:
            state: of the unit.
            x: their rows of :func:`design`, [n, k].
            rewards: 0 to 1, [n].
            prior: what their scores mean.
            now: Unix seconds.
        """
        fade = 0.5 ** (1 / min(self.terms.half_life, LONGEST_HALF_LIFE))
        weights = fade ** np.arange(len(x) - 1, -1, -1.0) / self.terms.noise
        residuals = self.residuals(x, rewards, prior)
        kept = self._kept(state, now) * fade ** len(x)
        weighted = x * weights[:, None]
        state.evidence *= kept
        state.evidence += weighted.T @ x
        state.vector *= kept
        state.vector += weighted.T @ residuals
        state.items += len(x)
        state.at = max(state.at, now)

    def _prior(self, size: int, taste: float) -> Floats:
        precision = np.full(size, taste**-2 if taste > 0 else 0.0)
        precision[:FIXED] = self.terms.constant**-2, self.terms.slope**-2
        return precision

    def _kept(self, state: SessionState, now: float) -> float:
        """Share of the evidence that time has left; a clock that went back takes nothing."""
        elapsed = max(0.0, now - state.at) if state.items else 0.0
        return float(0.5 ** min(elapsed / self.terms.half_life_seconds, 1_000.0))


def scale_of(features: Floats) -> float:
    """Return the root mean square of the norms of features [n, d]; 1 where all are zero."""
    return float(np.sqrt(np.mean(np.einsum("ij,ij->i", features, features)))) or 1.0


def design(scale: float, scores: Floats, features: Floats) -> Floats:
    """Return the rows of the regression, [n, 2 + d].

    Args:
        scale: of the unit's features.
        scores: of the items, on the scale of their prior, [n]; finite.
        features: [n, d], finite; of outliers the norm is cut.
    """
    x = np.empty((len(scores), FIXED + features.shape[1]))
    x[:, 0], x[:, 1] = 1.0, scores
    x[:, FIXED:] = features / scale
    norms = np.sqrt(np.einsum("ij,ij->i", x[:, FIXED:], x[:, FIXED:]))
    x[:, FIXED:] *= np.minimum(1.0, LARGEST_NORM / np.maximum(norms, TINY))[:, None]
    return x


def means(mean: Floats, x: Floats, prior: ScorePrior) -> Floats:
    """Return the expected reward of items, [n].

    Args:
        mean: of the unit's coefficients, [k].
        x: rows of :func:`design`, [n, k].
        prior: what their scores mean.
    """
    return prior.a + prior.b * x[:, 1] + x @ mean


def state_bytes(width: int) -> int:
    """Return the size of a packed state with so many features."""
    size = FIXED + width
    return _HEAD.size + 4 * (size + size * (size + 1) // 2)


def dump_state(state: SessionState) -> bytes:
    """Pack a state: single precision, the upper triangle of the evidence."""
    head = _HEAD.pack(
        _FORMAT, state.basis, state.width, state.scale, state.at, min(state.items, (1 << 32) - 1)
    )
    triangle = state.evidence[np.triu_indices(len(state.vector))]
    return head + np.concatenate([state.vector, triangle]).astype("<f4").tobytes()


def load_state(raw: bytes) -> SessionState:
    """Unpack a state.

    Raises:
        ContractError: it is none, or damaged.
    """
    if len(raw) < _HEAD.size or raw[0] != _FORMAT:
        raise ContractError("state of a unit's rankings: expected another format")
    _, basis, width, scale, at, items = _HEAD.unpack_from(raw)
    if width > FEATURES or len(raw) != state_bytes(width):
        raise ContractError(f"state of a unit's rankings: {len(raw)} bytes, damaged")
    numbers = np.frombuffer(raw, "<f4", offset=_HEAD.size).astype(np.float64)
    bounded = bool((np.abs(numbers) <= LARGEST_NUMBER).all())  # NaN is not
    if not (bounded and 0 < scale < math.inf and math.isfinite(at)):
        raise ContractError("state of a unit's rankings: expected finite numbers")
    state = SessionState(basis, scale, width)
    size = FIXED + width
    state.at, state.items, state.vector = at, items, numbers[:size].copy()
    upper = np.zeros((size, size))
    upper[np.triu_indices(size)] = numbers[size:]
    state.evidence = upper + np.triu(upper, 1).T
    values = np.linalg.eigvalsh(state.evidence)
    # Rounding takes less than the prior adds.
    if values[0] < -1e-6 * (1 + values[-1]):
        raise ContractError("state of a unit's rankings: its evidence is of nothing, damaged")
    return state
