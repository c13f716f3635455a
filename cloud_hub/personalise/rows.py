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
        return UnitRows(
            self.phi[chosen], self.labels[chosen], units, self.scores[chosen], self.cohorts
        )


@dataclass(frozen=True, eq=False)
class NumberRows:
    """Rows of a regressor's answers.

    Attributes:
        values: [N] answers of the release.
        truths: [N] what they should have been.
        units: [N] numbers of units, or ``None`` if nobody knows them.
        cohorts: [units] the cohort of each unit; empty without.
    """

    values: Numbers
    truths: Numbers
    units: Whole | None
    cohorts: tuple[str, ...] = ()

    def of(self, chosen: NDArray[np.bool_] | Whole) -> NumberRows:
        """Return some of the rows."""
        units = None if self.units is None else self.units[chosen]
        return NumberRows(self.values[chosen], self.truths[chosen], units, self.cohorts)


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
    vectors, chances = np.asarray(phi), np.asarray(scores)
    truth = np.asarray(labels, np.float64)
    shapes = f"{vectors.shape}, {truth.shape} and {chances.shape}"
    tables = vectors.ndim == chances.ndim == 2 and truth.ndim == 1
    if not (tables and len(vectors) == len(chances) == len(truth)):
        raise Invalid(f"expected phi [N, d], labels [N] and scores [N, C], got {shapes}")
    if chances.shape[1] < 2 or not vectors.shape[1]:
        raise Invalid(f"expected two classes or more and a basis of one number or more: {shapes}")
    usable = np.isfinite(vectors).all(axis=1) & np.isfinite(chances).all(axis=1)
    usable &= (truth >= 0) & (truth < chances.shape[1])
    chosen = _drawn(usable, rng)
    numbers, named = _units(units, cohorts, chosen, len(truth))
    return UnitRows(
        *(vectors[chosen].astype(np.float64), truth[chosen].astype(np.int64)),
        *(numbers, np.clip(chances[chosen].astype(np.float64), 0.0, 1.0), named),
    )


def number_rows(
    values: ArrayLike,
    truths: ArrayLike,
    units: Sequence[object] | None,
    cohorts: Sequence[str] | None,
    rng: np.random.Generator,
) -> NumberRows:
    """Check rows of a regressor and bound how many there are; arguments as for classes.

    Raises:
        Invalid: shapes disagree, or there are no rows that can be used.
    """
    answers, truth = np.asarray(values, np.float64), np.asarray(truths, np.float64)
    if answers.ndim != 1 or answers.shape != truth.shape:
        raise Invalid(f"expected values [N] and truths [N], got {answers.shape} and {truth.shape}")
    chosen = _drawn(np.isfinite(answers) & np.isfinite(truth), rng)
    numbers, named = _units(units, cohorts, chosen, len(truth))
    return NumberRows(answers[chosen], truth[chosen], numbers, named)


def _drawn(usable: NDArray[np.bool_], rng: np.random.Generator) -> Whole:
    chosen = np.flatnonzero(usable)
    if not len(chosen):
        raise Invalid("expected rows with finite values and a known class or number, got none")
    if len(chosen) > ROWS:
        chosen = np.sort(rng.choice(chosen, ROWS, replace=False))
    return chosen


def _units(
    units: Sequence[object] | None, cohorts: Sequence[str] | None, chosen: Whole, rows: int
) -> tuple[Whole | None, tuple[str, ...]]:
    """Return the number of the unit of each chosen row, and the cohort of each unit."""
    for what, names in (("units", units), ("cohorts", cohorts)):
        if names is not None and len(names) != rows:
            raise Invalid(f"{what}: expected one for each of {rows} rows, got {len(names)}")
    if units is None:
        return None, ()
    _, first, numbers = np.unique(
        np.array([str(units[row]) for row in chosen]), return_index=True, return_inverse=True
    )
    if cohorts is None:
        return numbers.astype(np.int64), ()
    # A unit belongs to one cohort: that of its first row.
    return numbers.astype(np.int64), tuple(str(cohorts[chosen[row]]) for row in first)
