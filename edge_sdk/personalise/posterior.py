"""Posterior class means of a unit, in closed form, for both memories at once.

By dimension, with n_c and S_c the (decayed) count and sum of deviations of class c, b and σ the
variances of class means and of the shift that classes share, h_c = 1 / (1 + n_c b):

    ŝ   = Σ_c h_c S_c / (1/σ + Σ_c n_c h_c)
    μ_c = mean_c + h_c ŝ + b h_c S_c

This is the posterior mean of a two-level normal model (Lindley & Smith 1972): d̂_c = b h_c (S_c − n_c ŝ)
added to ŝ, where 1 − n_c b h_c = h_c.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_sdk.personalise.class_space import ClassSpace

Stack = NDArray[np.float32]


def posterior_means(sums: Stack, space: ClassSpace) -> Stack:
    """Return the class means [2, C, r] of a unit's slow and fast memory.

    Args:
        sums: [2, C, r + 1] of deviations from ``space.base``; the last column counts.
        space: of the prior.
    """
    total, count = sums[:, :, :-1], sums[:, :, -1:]
    if space.cohort.any():
        total = total - count * space.cohort
    shrink = count * space.between
    shrink += 1.0
    np.reciprocal(shrink, out=shrink)
    precision = count.swapaxes(1, 2) @ shrink
    precision += space.inverse_shift
    pulled = total * shrink
    shift = pulled.sum(axis=1, keepdims=True)
    shift /= precision
    shrink *= shift
    pulled *= space.between
    pulled += shrink
    pulled += space.mean
    return pulled
