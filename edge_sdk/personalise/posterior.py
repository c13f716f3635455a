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
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_sdk.personalise.class_space import ClassSpace

Stack = NDArray[np.float32]


class Posterior(NamedTuple):
    """Of a unit, for the slow and the fast memory.

    Attributes:
        means: [2, C, r].
        precision: [2, 1, r] of a row about its class's mean, as far as that is known: below 1, and
            1 once the unit has many labels. The mean over classes, so that answers stay linear.
    """

    means: Stack
    precision: Stack


def posterior(sums: Stack, space: ClassSpace) -> Posterior:
    """Return what a unit's sums say of its class means.

    Args:
        sums: [2, C, r + 1] of deviations from ``space.base``; the last column counts.
        space: of the prior.
    """
    total, count = sums[:, :, :-1], sums[:, :, -1:]
    if space.has_cohort:
        total = total - count * space.cohort
    shrink = count * space.between
    shrink += 1.0
    np.reciprocal(shrink, out=shrink)
    left = total * shrink
    known = count * shrink
    means = space.mean
    if space.factors is not None:
        known_flat = known.reshape(2, -1)
        y = _solve(known_flat @ space.factor_products, left.reshape(2, -1) @ space.factors)
        along = (y @ space.factors.T).reshape(left.shape)
        left -= known * along
        along += means
        means = along
    precision = space.ones @ known
    precision += space.inverse_shift
    shift = space.ones @ left
    shift /= precision
    typical = space.average @ shrink
    spread = typical * space.between
    typical *= typical
    typical /= precision
    spread += typical
    spread += 1.0
    np.reciprocal(spread, out=spread)
    left *= space.between
    shrink *= shift
    left += shrink
    left += means
    return Posterior(left, spread)


def _solve(products: Stack, right: Stack) -> Stack:
    """Return y [2, k] of (I + products) y = right; ``products`` [2, k · k]."""
    count = right.shape[1]
    if count == 1:
        return right / (products + 1.0)
    if count == 2:
        # Cramer's rule in Python's floats takes a fifth of the time of a call of LAPACK.
        rows = zip(products.tolist(), right.tolist(), strict=True)
        return np.array([_solve_two(*row) for row in rows], np.float32)
    matrices = products.reshape(2, count, count) + np.eye(count, dtype=np.float32)
    return np.linalg.solve(matrices, right[:, :, None])[:, :, 0]


def _solve_two(matrix: list[float], right: list[float]) -> tuple[float, float]:
    a, b, _, d = matrix
    x, y = right
    a, d = a + 1.0, d + 1.0
    determinant = a * d - b * b
    return (x * d - y * b) / determinant, (y * a - x * b) / determinant
