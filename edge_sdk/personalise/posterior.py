"""Posterior class means of a unit, in closed form, for both memories at once.

The mean of class c of unit k is mean_c + V_c y + s + d_c, by dimension, with y ~ N(0, I) the
factors along which units are known to differ (eigenvoices: Kuhn et al. 2000; joint factor
analysis: Kenny 2005), s ~ N(0, σ) a shift that its classes share and d_c ~ N(0, b) each class's
own (two-level normal model: Lindley & Smith 1972). With the decayed count n_c and sum S_c of
deviations from mean_c, and h_c = 1 / (1 + n_c b):

    ŷ   = (I + Σ_c V_cᵀ n_c h_c V_c)⁻¹ Σ_c V_cᵀ h_c S_c
    R_c = h_c (S_c − n_c V_c ŷ)
    ŝ   = Σ_c R_c / (1/σ + Σ_c n_c h_c)
    μ_c = mean_c + V_c ŷ + h_c ŝ + b R_c

The factors are estimated first and the shift from what they leave; both at once would gain nothing
that could be measured, and cost the inverse of a matrix of r.

For so few numbers the time is that of the calls of NumPy, so all that can be is done for both
memories in one call, in arrays that are there already. Broadcasting takes thrice the time of
numbers of the same shape, and a sum over an axis thrice that of a product of matrices: constants
are therefore spread out once, and sums over classes are products with matrices of 0 and 1.
tests/edge/personalise/plain_learning.py has the same as it reads best.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_sdk.personalise.class_space import ClassSpace

Stack = NDArray[np.float32]


class MemoryPosterior(NamedTuple):
    """Of a unit, for the slow and the fast memory; overwritten by the next one.

    Attributes:
        means: [2, C, r].
        precision: [2, C, r] of a row about its class's mean, as far as that is known: below 1, and
            1 once the unit has many labels. The same for all classes (the mean over them), so that
            answers stay linear.
    """

    means: Stack
    precision: Stack


class Posteriors:
    """Works out the posteriors of one prior's units; one call at a time.

    Args:
        space: of the prior.
    """

    def __init__(self, space: ClassSpace) -> None:
        classes, rank = space.classes, space.rank
        shape = (2, classes, rank)
        self._cohort = space.cohort if space.has_cohort else None
        self._between: Stack = np.repeat(space.between, classes, axis=1)
        self._inverse: Stack = 1.0 / self._between
        self._mean: Stack = np.stack([space.mean, space.mean])
        self._total, self._count, self._along = (np.empty(shape, np.float32) for _ in range(3))
        # R_c, n_c h_c and h_c; as the factors take the first two, and sums over classes all three.
        parts = np.empty((3, *shape), np.float32)
        self._parts = tuple(parts)
        self._by_place, self._by_class = parts[:2].reshape(4, -1), parts.reshape(-1, rank)
        ones = np.ones((1, classes), np.float32)
        self._sum = np.kron(np.eye(6, dtype=np.float32), ones)
        self._sum[4:] /= classes
        # Of both memories: what the sums are, and what is then the same for all classes.
        over, same = np.empty((3, 2, rank), np.float32), np.empty((2, 2, rank), np.float32)
        self._over, self._over_flat = tuple(over), over.reshape(6, rank)
        self._same, self._same_flat = tuple(same), same.reshape(4, rank)
        self._inverse_shift, self._ones = space.inverse_shift, np.ones((2, rank), np.float32)
        self._variance = np.ascontiguousarray(space.between[:, 0])
        spread = np.empty((2, *shape), np.float32)
        self._copy = np.kron(np.eye(4, dtype=np.float32), ones.T)
        self._spread, self._spread_flat = tuple(spread), spread.reshape(-1, rank)
        self._factors = None
        if space.factors is not None:
            self._factors = np.ascontiguousarray(space.factors.T)
            self._products = np.hstack([space.factors, space.factor_products])
            self._along_flat = self._along.reshape(2, -1)

    def of(self, sums: Stack) -> MemoryPosterior:
        """Return what a unit's sums say of its class means.

        Args:
            sums: [2, C, r + 1] of deviations from the space's ``base``; the last column counts.
        """
        total, count, inverse = self._total, self._count, self._inverse
        left, known, shrink = self._parts
        np.copyto(total, sums[:, :, :-1])
        np.copyto(count, sums[:, :, -1:])
        if self._cohort is not None:
            total -= count * self._cohort
        np.add(inverse, count, shrink)
        np.divide(inverse, shrink, shrink)
        np.multiply(shrink, total, left)
        np.multiply(shrink, count, known)
        means = self._mean if self._factors is None else self._explain(self._factors)
        np.dot(self._sum, self._by_class, self._over_flat)
        shift, precision = self._shift_and_precision()
        left *= self._between
        shrink *= shift
        left += shrink
        left += means
        return MemoryPosterior(left, precision)

    def _explain(self, factors: Stack) -> Stack:
        """Take what the factors explain from R_c; return class means along them."""
        left, known, _ = self._parts
        along, scratch = self._along, self._count
        y = _solve(np.dot(self._by_place, self._products), len(factors))
        np.dot(y, factors, self._along_flat)
        np.multiply(known, along, scratch)
        left -= scratch
        along += self._mean
        return along

    def _shift_and_precision(self) -> tuple[Stack, ...]:
        """Return ŝ and the precision of rows, each [2, C, r] and the same for all classes."""
        left, precision, typical = self._over  # sums over classes, and the mean of h_c
        shift, spread = self._same
        precision += self._inverse_shift
        np.divide(left, precision, shift)
        np.divide(typical, precision, spread)
        spread += self._variance
        spread *= typical
        spread += self._ones
        np.reciprocal(spread, spread)
        np.dot(self._copy, self._same_flat, self._spread_flat)
        return self._spread


def _solve(moments: Stack, count: int) -> Stack:
    """Return ŷ [2, k]: y of (I + products) y = right for each memory.

    Args:
        moments: [4, k + k · k]; ``right`` [k] in the first two rows, ``products`` [k · k] behind it
            in the others.
        count: k.
    """
    if count == 2:
        # Cramer's rule in Python's floats takes a fifth of the time of a call of LAPACK.
        slow, fast, of_slow, of_fast = moments.tolist()
        return np.array((_solve_two(of_slow, slow), _solve_two(of_fast, fast)), np.float32)
    right, products = moments[:2, :count], moments[2:, count:]
    if count == 1:
        return right / (products + 1.0)
    matrices = products.reshape(2, count, count) + np.eye(count, dtype=np.float32)
    return np.linalg.solve(matrices, right[:, :, None])[:, :, 0]


def _solve_two(products: list[float], right: list[float]) -> tuple[float, float]:
    _, _, a, b, _, d = products
    x, y, *_ = right
    a, d = a + 1.0, d + 1.0
    determinant = a * d - b * b
    return (x * d - y * b) / determinant, (y * a - x * b) / determinant
