"""Rows of many units, bounded and standardised, as fits of a prior take them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cloud_hub.errors import Invalid

Numbers = NDArray[np.float64]
Whole = NDArray[np.int64]

ROWS: Final = 100_000
"""Rows that a fit looks at: what is beyond is drawn from, so that a fit ends in bounded time."""


@dataclass(frozen=True, eq=False)
class UnitRows:
    """Rows of classified examples.

    Attributes:
        phi: [N, d] basis vectors, finite.
        labels: [N] numbers of classes.
        units: [N] numbers of units, or ``None`` if nobody knows them.
        scores: [N, C] the release's probabilities, of rows that it was not trained on.
        cohorts: [units] the cohort of each unit; empty without.
    """

    phi: Numbers
    labels: Whole
    units: Whole | None
    scores: Numbers
    cohorts: tuple[str, ...] = ()

    @property
    def classes(self) -> int:
        """Number of classes C."""
        return self.scores.shape[1]

    def of(self, chosen: NDArray[np.bool_] | Whole) -> UnitRows:
        """Return some of the rows."""
        units = None if self.units is None else self.units[chosen]
        return UnitRows(self.phi[chosen], self.labels[chosen], units, self.scores[chosen], self.cohorts)


def unit_rows(
    phi: ArrayLike,
    labels: ArrayLike,
    scores: ArrayLike,
    units: Sequence[object] | None,
    cohorts: Sequence[str] | None,
    rng: np.random.Generator,
) -> UnitRows:
    """Check rows and bound how many there are.

    Args:
        phi: [N, d] basis vectors.
        labels: [N] numbers of classes; rows with another number are left out.
        scores: [N, C] the release's probabilities.
        units: [N] names of units.
        cohorts: [N] name of the cohort of each row's unit.
        rng: draws rows where there are too many.

    Raises:
        Invalid: shapes disagree, or there are no rows that can be used.
    """
    vectors, chances = np.asarray(phi, np.float64), np.asarray(scores, np.float64)
    truth = np.asarray(labels).astype(np.int64)
    if vectors.ndim != 2 or chances.ndim != 2 or not len(vectors) == len(chances) == len(truth):  # noqa: PLR2004
        raise Invalid(
            "expected phi [N, d], labels [N] and scores [N, C] of the same rows, got "
            f"{vectors.shape}, {truth.shape} and {chances.shape}"
        )
    names = None if units is None else np.unique(np.asarray(units, object).astype(str), return_inverse=True)[1]
    if names is not None and len(names) != len(truth):
        raise Invalid(f"units: expected one for each of {len(truth)} rows, got {len(names)}")
    usable = np.isfinite(vectors).all(axis=1) & np.isfinite(chances).all(axis=1)
    usable &= (truth >= 0) & (truth < chances.shape[1])
    chosen = np.flatnonzero(usable)
    if not len(chosen):
        raise Invalid("expected rows with finite values and a known class, got none")
    if len(chosen) > ROWS:
        chosen = np.sort(rng.choice(chosen, ROWS, replace=False))
    if names is None:
        return UnitRows(vectors[chosen], truth[chosen], None, chances[chosen])
    kept, numbers = np.unique(names[chosen], return_inverse=True)
    named: tuple[str, ...] = ()
    if cohorts is not None:
        first = {int(unit): str(cohorts[row]) for row, unit in zip(chosen[::-1], numbers[::-1], strict=True)}
        named = tuple(first[unit] for unit in range(len(kept)))
    return UnitRows(vectors[chosen], truth[chosen], numbers, chances[chosen], named)
