"""Group-sequential design: few planned looks until a declared end, more power than at any time.

The error is spent as information comes in, little at first (O'Brien and Fleming's shape). Between
two looks the statistic moves as a Brownian motion, so chances of crossing follow by integrating its
density from look to look.

Sources:
    K. Lan, D. DeMets, "Discrete Sequential Boundaries for Clinical Trials", Biometrika 70, 1983.
    P. Armitage, C. McPherson, B. Rowe, "Repeated Significance Tests on Accumulating Data", JRSS A
    132, 1969 (the recursion).
    C. Jennison, B. Turnbull, Group Sequential Methods, 1999, chapter 19 (repeated p-values, grids).
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Final, cast

import numpy as np

from cloud_hub.deferred.libraries import ndtr, ndtri
from cloud_hub.statistics.samples import Floats

LOOKS: Final = 10
GRID: Final = 301
REACH: Final = 8.0
"""The density is kept on a grid of so many points, up to so many standard deviations."""


def planned_looks(looks: int = LOOKS) -> tuple[float, ...]:
    """Fractions of the information at equally spaced looks, the last at 1."""
    return tuple((i + 1) / looks for i in range(looks))


def spent(fraction: float, alpha: float) -> float:
    """Share of ``alpha`` that may be spent until ``fraction`` of the information, on both sides.

    Lan and DeMets' function of O'Brien and Fleming's shape, ``4 - 4 Phi(z_(1 - alpha/4) /
    sqrt(t))``.

    Args:
        fraction: of the information, ``t``; beyond 1 everything is spent.
        alpha: two-sided error over all looks together.
    """
    if fraction <= 0:
        return 0.0
    return float(4 - 4 * ndtr(ndtri(1 - alpha / 4) / np.sqrt(min(fraction, 1.0))))


@functools.lru_cache(maxsize=256)
def bounds(fractions: tuple[float, ...], alpha: float = 0.05) -> tuple[float, ...]:
    """Limits of |z| at which each look rejects.

    Each limit makes the chance of crossing there first, under no difference, what :func:`spent`
    allows.

    Args:
        fractions: of the information at each look, rising, up to 1.
        alpha: two-sided error over all looks together.
    """
    limits: list[float] = []
    path = _Path()
    before = 0.0
    for fraction in fractions:
        now = spent(fraction, alpha)
        path.move(fraction, 0.0)
        limits.append(path.bound(now - before))
        path.stop(limits[-1])
        before = now
    return tuple(limits)


def crossing(fractions: Sequence[float], limits: Sequence[float], drift: float) -> float:
    """Chance that |z| reaches its limit at some look.

    For the limits of a confidence sequence as for those of :func:`bounds`.

    Args:
        fractions: of the information at each look, rising.
        limits: of |z| at each look.
        drift: mean of z at full information: the true difference in standard errors.
    """
    path, crossed = _Path(), 0.0
    for fraction, limit in zip(fractions, limits, strict=True):
        path.move(fraction, drift)
        crossed += path.stop(limit)
    return crossed


def repeated_p(fractions: tuple[float, ...], z: float) -> float:
    """Level at which the latest look would just reject: a p-value that allows for the looks.

    Found by bisection over the level.

    Args:
        fractions: of the information at each look so far, rising.
        z: of the latest look.
    """
    low, high = 1e-12, 1.0 - 1e-9
    for _ in range(40):
        middle = float(np.sqrt(low * high))
        if abs(z) >= bounds(fractions, middle)[-1]:
            high = middle
        else:
            low = middle
    return high


class _Path:
    """The density of those paths that have not crossed yet, over the score ``z * sqrt(t)``."""

    def __init__(self) -> None:
        self._at = 0.0
        self._points = np.zeros(1)
        self._mass = np.ones(1)

    def move(self, fraction: float, drift: float) -> None:
        """Go on to the next look."""
        self._mass = _moves(self._at, fraction) @ self._mass
        self._points, self._at = _grid(fraction) + drift * fraction, fraction

    def bound(self, chance: float) -> float:
        """|z| that paths exceed with ``chance``; without drift, so both sides are alike."""
        # Symmetric without drift: mass in the lower half, twice, from the outside in.
        beyond = np.cumsum(2 * self._mass[: GRID // 2])
        inner = -self._points[: GRID // 2] - self._width / 2
        if chance <= beyond[0]:
            return REACH
        return float(np.interp(chance, beyond, inner)) / float(np.sqrt(self._at))

    def stop(self, limit: float) -> float:
        """Take away what is beyond ``limit``; its chance. A cell that it cuts goes in part."""
        beyond = np.abs(self._points) - limit * np.sqrt(self._at)
        # Whole cells only would make the chance jump as the limit moves, and bisection fail.
        out = np.clip(beyond / self._width + 0.5, 0.0, 1.0)
        crossed = float(self._mass @ out)
        self._mass = self._mass * (1 - out)
        return crossed

    @property
    def _width(self) -> float:
        return float(self._points[1] - self._points[0])


def _grid(fraction: float) -> Floats:
    reach = REACH * np.sqrt(fraction)
    return np.linspace(-reach, reach, GRID) if fraction > 0 else np.zeros(1)


@functools.lru_cache(maxsize=64)
def _moves(before: float, now: float) -> Floats:
    """Chances of going from each cell to each; a drift moves both grids alike and cancels."""
    points = _grid(now)
    half = (points[1] - points[0]) / 2
    gaps = points[:, None] - _grid(before)[None, :]
    deviation = np.sqrt(now - before)
    # The normal increment's chance of ending within each cell, from the middle of each cell.
    return cast(Floats, ndtr((gaps + half) / deviation) - ndtr((gaps - half) / deviation))
