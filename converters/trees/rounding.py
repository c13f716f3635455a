"""Leaves on a coarse grid: many become equal, and a table that nodes share becomes short."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from converters.trees.ensemble import Ensemble

STEPS: Final = 255
"""From the least to the largest number that a leaf adds; a byte counts them."""


def round_leaves(ensemble: Ensemble) -> tuple[Ensemble, float]:
    """Return the ensemble with its leaves on a grid, and the grid's step.

    Zero is on the grid: a leaf adds to no target that it did not add to. Trees that are leaves
    (base values) keep their number: it is one, and often larger than all others.
    """
    bare = np.isin(np.arange(len(ensemble.leaves)), ~ensemble.roots[ensemble.roots < 0])
    others = ensemble.leaves[~bare]
    step = float(others.max(initial=0.0) - others.min(initial=0.0)) / STEPS or 1.0
    grid = np.rint(ensemble.leaves / step) * step
    return _shared(ensemble, np.where(bare[:, None], ensemble.leaves, grid)), step


def _shared(ensemble: Ensemble, leaves: NDArray[np.float64]) -> Ensemble:
    """Return the ensemble with other leaves, equal ones once."""
    # + 0.0 turns -0.0, which rounding makes, into 0.0.
    table, place = np.unique(leaves + 0.0, axis=0, return_inverse=True)
    left, right, roots = (
        np.where(children < 0, ~place.ravel()[np.where(children < 0, ~children, 0)], children)
        for children in (ensemble.left, ensemble.right, ensemble.roots)
    )
    return replace(ensemble, leaves=table, left=left, right=right, roots=roots)
