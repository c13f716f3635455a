"""P-values that two histograms come from one distribution, one way for each kind of fleet.

Observations of one device are alike, so the sum of many devices' histograms varies more than as
many independent observations would. :func:`p_value` therefore takes histograms by device:

* many devices (:data:`MANY`): the devices' differences from the reference change sign at random.
  Nothing is assumed about how devices differ, only that they are drawn alike.
* some (:data:`FEW`): the ordinary tests, on as many independent observations as vary as much.
* fewer, or some that are each held against their own past: the ordinary tests.

With earlier windows of the fleet, the last two also count the rows of a window as no more than vary
as much as those windows did (:mod:`~cloud_hub.statistics.detectors.dependence`).

Sources: R. Fisher, "The Design of Experiments", 1935 (randomisation of signs); J. Rao, A. Scott,
"On chi-squared tests for multiway contingency tables with cell proportions estimated from survey
data", Annals of Statistics 12(1), 1984 (design effects); J. Besag, P. Clifford, "Sequential Monte
Carlo p-values", Biometrika 78(2), 1991 (few rounds where little speaks against the null).
"""

from __future__ import annotations

import copy
import functools
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cloud_hub.deferred.libraries import chi2, kolmogorov
from cloud_hub.statistics.detectors.dependence import unsure
from cloud_hub.statistics.detectors.distances import Counts

MANY: Final = 14
"""Devices from which on signs are permuted: 2**14 ways resolve what 50 features need."""

FEW: Final = 4
"""Fewer devices are taken as they are: how they differ from training counts as a difference."""

FIRST_ROUNDS: Final = 199
"""Random signs that every feature gets; only those that look unusual get the rest."""


class RandomSigns:
    """Random signs, the same for all features of a window, so that their dependence is kept.

    Most features need the first few rounds only, so the others are drawn when one asks for them.

    Args:
        devices: how many change sign.
        rounds: how often; the smallest p-value is 1 / (rounds + 1).
        seed: the same seed draws the same signs.

    Attributes:
        random: where more chance comes from, as it stands once all signs were drawn.
    """

    def __init__(self, devices: int, rounds: int, seed: int) -> None:
        self._drawn = (devices, max(rounds, FIRST_ROUNDS), seed)
        self._some: NDArray[np.bool_] | None = None
        self.random = _after_signs(*self._drawn)

    def of(self, devices: NDArray[np.bool_]) -> RandomSigns:
        """Signs of some of the devices, a mask [devices]."""
        some = copy.copy(self)
        some._some = devices
        for cached in ("first", "table"):  # those of all devices
            some.__dict__.pop(cached, None)
        return some

    @functools.cached_property
    def first(self) -> NDArray[np.float32]:
        """Signs of the first rounds, [:data:`FIRST_ROUNDS`, devices]."""
        devices, _, seed = self._drawn
        return self._chosen(_signs(devices, FIRST_ROUNDS, seed))

    @functools.cached_property
    def table(self) -> NDArray[np.float32]:
        """Signs of all rounds, [rounds, devices]; they begin with :attr:`first`."""
        return self._chosen(_kept_signs(*self._drawn))

    def _chosen(self, signs: NDArray[np.float32]) -> NDArray[np.float32]:
        return signs if self._some is None else signs[:, self._some]


def forget_signs() -> None:
    """Free the signs that are kept for the next model whose window and devices ask for the same."""
    _kept_signs.cache_clear()


def _signs(devices: int, rounds: int, seed: int) -> NDArray[np.float32]:
    random = np.random.default_rng(seed)
    drawn = random.integers(0, 2, size=(rounds, devices), dtype=np.int8)
    signs = drawn.astype(np.float32)
    signs *= 2
    signs -= 1
    signs.flags.writeable = False  # several features look at it
    return signs


# Models whose windows end together and have as many devices draw the same signs.
_kept_signs = functools.lru_cache(maxsize=1)(_signs)


def _after_signs(devices: int, rounds: int, seed: int) -> np.random.Generator:
    """The generator as it stands after :func:`_signs`, without drawing them."""
    # A sign is a byte, four of them one draw of 32 bits, two of these a step of the generator.
    draws = -(-devices * rounds // 4)
    steps = np.random.PCG64(seed)
    steps.advance(draws // 2)
    random = np.random.Generator(steps)
    if draws % 2:
        random.bytes(4)
    return random


def p_value(
    reference: Counts,
    observed: Counts,
    signs: RandomSigns | None = None,
    past: Counts | None = None,
) -> float:
    """P-value that ``observed`` has the distribution of ``reference``.

    The smaller p-value of a Kolmogorov-Smirnov test on the bin edges and of a chi-squared test over
    all bins (missing and outside included), Bonferroni-corrected for the two.

    Args:
        reference: [K], or [devices, K]: each device's own.
        observed: [devices, K], each with at least one observation.
        signs: for :data:`MANY` devices and more.
        past: earlier windows over all devices, [windows, K]. Without it, fewer devices than
            :data:`FEW` are taken to have independent rows.
    """
    if len(observed) >= MANY and signs is not None:
        return _by_signs(reference, observed, signs)
    own = reference.ndim == 2
    before, now = standardised(reference, observed), observed.sum(axis=0)
    # Devices that are each held against themselves need not be alike.
    size = float(now.sum()) if own else independent(observed)
    if past is not None:
        effect = past.sum() / independent(past)
        size = min(size, float(now.sum() / effect))
        # A past of one window, as devices' own references are, has rows in runs as well.
        before = before / effect if own else before
    return pooled_p(before, now, size=size)


def pooled_p(a: Counts, b: Counts, *, size: float | None = None) -> float:
    """P-value of the ordinary tests on two histograms.

    The largest distance on the edges of bins is smaller than that between all values, so
    Kolmogorov's limit is corrected for continuity, as for a random walk that is looked at in steps
    (D. Siegmund, "Sequential Analysis", 1985). Assumes independent observations.

    Args:
        a: histogram [K] of the reference.
        b: histogram [K] of the window.
        size: independent observations that ``b`` is worth, if fewer than it holds.
    """
    n, m = a.sum(), b.sum()
    worth = m if size is None else min(m, size)
    # Missing and outside, the last two, have no place in an order.
    distance = np.abs(np.cumsum(a / n - b / m)[:-2]).max(initial=0.0)
    ks = float(kolmogorov(distance * np.sqrt(n * worth / (n + worth)) + _step(a[:-2])))
    return min(1.0, 2 * min(ks, homogeneity(a, b * (worth / m))))


def _step(inside: Counts) -> float:
    """Gap of the distance on bins to that between all values, in units of the limit's."""
    # 0.5826 is -zeta(1/2) / sqrt(2 pi): how far a random walk overshoots between steps.
    filled = inside[inside > 0]
    if len(filled) < 4:
        return 0.0
    return 0.5826 * float(np.sqrt(np.median(filled) / filled.sum()))


def homogeneity(a: Counts, b: Counts) -> float:
    """P-value of Pearson's chi-squared test that both histograms have one distribution.

    Bins whose smaller expected count is below five are pooled. Assumes independent observations.

    Args:
        a: histogram [K].
        b: histogram [K].
    """
    a, b = _pooled_small(a, b)
    both = np.stack([a, b])
    expected = both.sum(axis=1, keepdims=True) * both.sum(axis=0) / both.sum()
    if len(a) < 2:
        return 1.0
    statistic = ((both - expected) ** 2 / expected).sum()
    return float(chi2.sf(statistic, len(a) - 1))


def _pooled_small(a: Counts, b: Counts) -> tuple[Counts, Counts]:
    """Bins whose smaller expected count is below five are pooled, as the test's theory asks."""
    # Of the smaller histogram: its expected counts are the smaller ones.
    share = min(a.sum(), b.sum()) / (a.sum() + b.sum())
    small = (a + b) * share < 5
    pooled_a = np.append(a[~small], a[small].sum())
    pooled_b = np.append(b[~small], b[small].sum())
    filled = pooled_a + pooled_b > 0
    return pooled_a[filled], pooled_b[filled]


def independent(observed: Counts) -> float:
    """Number of independent observations that vary as much as those of these devices together do.

    The worst design effect over the edges of the distribution function: the variance between the
    devices' shares, over that of as many independent observations.

    Args:
        observed: histograms by device, or of all devices by window, [devices, K].
    """
    totals = observed.sum(axis=1, keepdims=True)
    n, devices = totals.sum(), len(observed)
    if devices < FEW:
        return float(n)
    below = np.cumsum(observed[:, :-1], axis=1)
    share = below.sum(axis=0) / n
    # The share follows a device with many rows, so what is left of its residual is too small.
    residuals = (below - totals * share) / (1 - totals / n) * (1 - 1 / devices)
    between = (residuals**2).sum(axis=0) / n**2 * devices / (devices - 1)
    # Near 0 and 1 the variance of a share is too small to divide by.
    inside = (share > 0.02) & (share < 0.98)
    if not inside.any():
        return float(n)
    share, between = share[inside], between[inside]
    # A few devices say little about how devices differ, above all if one has most of the rows.
    alike = float(n**2 / (totals**2).sum())
    effect = (between * n / (share * (1 - share))).max() * unsure(alike - 1)
    return float(n / max(1.0, effect))


def standardised(reference: Counts, observed: Counts) -> Counts:
    """Reference [K] of all devices, each device's own as often as it occurs in ``observed``.

    Args:
        reference: [K], which is returned as it is, or [devices, K].
        observed: [devices, K].
    """
    if reference.ndim == 1:
        return reference
    shares = reference / reference.sum(axis=1, keepdims=True)
    mixed: Counts = observed.sum(axis=1) @ shares / observed.sum() * reference.sum()
    return mixed


def _by_signs(reference: Counts, observed: Counts, signs: RandomSigns) -> float:
    """Permutation p-value; each device weighs as much as it has observations."""
    totals = observed.sum(axis=1, keepdims=True)
    expected = reference / reference.sum(axis=-1, keepdims=True)
    apart = (observed - totals * expected) / totals.sum()
    scale = (
        observed.sum(axis=0) / totals.sum() + standardised(reference, observed) / reference.sum()
    )
    used = scale > 0
    apart, scale = apart[:, used].astype(np.float32), scale[used]
    edges = int(used[:-2].sum())
    observed_statistics = _statistics(apart.sum(axis=0, keepdims=True), scale, edges)
    p = 1.0
    # Few rounds where little speaks against the null; the rest only for what looks unusual.
    for all_rounds in (False, True):
        table = signs.table if all_rounds else signs.first
        rounds = len(table)
        sums = table @ apart
        if reference.ndim == 1:
            sums += _resampled(reference[used], rounds, signs.random)
        drawn = _statistics(sums, scale, edges)
        # Equal up to rounding counts as reached: float32 sums differ in the last digits.
        above = (drawn >= observed_statistics * (1 - 1e-5)).sum(axis=0)
        p = min(1.0, 2 * float((1 + above.min()) / (1 + rounds)))
        if p > 0.2:
            break
    return p


def _resampled(reference: Counts, rounds: int, random: np.random.Generator) -> NDArray[np.float32]:
    """Deviations by chance of the shares of a reference of that size, [rounds, K]."""
    n = reference.sum()
    share = reference / n
    noise = random.standard_normal((rounds, len(share)), dtype=np.float32)
    noise *= np.sqrt(share / n).astype(np.float32)
    # Shares sum to 1, so their deviations sum to 0.
    centred: NDArray[np.float32] = noise - noise.sum(axis=1, keepdims=True) * share
    return centred.astype(np.float32)


def _statistics(sums: NDArray[np.float32], scale: Counts, edges: int) -> NDArray[np.float32]:
    """[rounds, 2]: Kolmogorov-Smirnov distance, and chi-squared distance."""
    distances = np.abs(np.cumsum(sums[:, :edges], axis=1)).max(axis=1, initial=0.0)
    return np.stack([distances, (sums**2 / scale).sum(axis=1)], axis=1)
