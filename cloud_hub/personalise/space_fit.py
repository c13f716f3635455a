"""The space in which units differ, and how much they do: a two-covariance model by moments.

Basis vectors are standardised; directions are those of the generalised eigenproblem of the
covariance of class means between units against the covariance within units (two-covariance model:
Ioffe 2006; within-class covariance normalisation is the same step). Variances of the shift that a
unit's classes share and of what is each class's own come from products across and within classes,
by moments.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.linalg import eigh

from cloud_hub.errors import Invalid
from cloud_hub.personalise.rows import Numbers, UnitRows, Whole
from edge_sdk.contract.personal.floats import Floats
from edge_sdk.contract.personal.prior import ClassPrior

WIDEST: Final = 256
"""Dimensions in which the eigenproblem is solved; wider bases are first reduced by their principal
components, so that the time stays bounded."""

RANK: Final = 32
UNITS_PER_FACTOR: Final = 4
FACTORS: Final = 2
"""More gain little where units are few, and a system of equations of two is solved by hand."""

RIDGE: Final = 1e-2
SMALLEST_VARIANCE: Final = 1e-3
LARGEST_VARIANCE: Final = 1e4
UNKNOWN_VARIANCE: Final = 0.25
"""Of units that nobody has seen: half the spread of one row."""


@dataclass(frozen=True, eq=False)
class Cells:
    """Mean basis vectors of each unit and class that have rows.

    Attributes:
        unit, label, count: [K] of the cells.
        mean: [K, d].
    """

    unit: Whole
    label: Whole
    count: Numbers
    mean: Numbers


@dataclass(frozen=True, eq=False)
class SpaceFit:
    """Arrays of a :class:`ClassPrior`, as float64; names as there."""

    projection: Numbers
    origin: Numbers
    means: Numbers
    between: Numbers
    shift: Numbers
    frequencies: Numbers
    cohorts: dict[str, Numbers]
    factors: Numbers | None

    def prior(self) -> ClassPrior:
        """Return the part of a prior."""
        return ClassPrior(
            *(floats(each) for each in (self.projection, self.origin, self.means)),
            *(floats(each) for each in (self.between, self.shift, self.frequencies)),
            {name: floats(shift) for name, shift in self.cohorts.items()},
            None if self.factors is None else floats(self.factors),
        )


def floats(array: Numbers) -> Floats:
    """Return an array as the contract has it."""
    return Floats.of(array.ravel().tolist(), array.shape)


def fit_space(rows: UnitRows, before: ClassPrior | None = None) -> SpaceFit:
    """Fit the space to rows.

    Args:
        rows: of units, or without.
        before: prior whose projection, origin and means are kept.

    Raises:
        Invalid: ``before`` is of another basis, or of other classes.
    """
    units = rows.units if rows.units is not None else np.zeros(len(rows.phi), np.int64)
    projection, origin, means = _kept(rows, before) if before else _directions(rows, units)
    cells = cells_of((rows.phi - origin) @ projection.T, rows.labels, units, rows.classes)
    cohorts, own = _cohort_shifts(rows, cells, cells.mean - means[cells.label])
    if rows.units is None:
        variances, along = _unknown(len(projection)), None
    else:
        variances, along = differences(cells, own, rows.classes)
    frequencies = np.bincount(rows.labels, minlength=rows.classes) + 1.0
    frequencies /= frequencies.sum()
    return SpaceFit(projection, origin, means, *variances, frequencies, cohorts, along)


def _kept(rows: UnitRows, before: ClassPrior) -> tuple[Numbers, Numbers, Numbers]:
    arrays = (before.projection, before.origin, before.means)
    projection, origin, means = (
        np.array(each.numbers(), np.float64).reshape(each.shape) for each in arrays
    )
    shapes = (projection.shape[1], len(means))
    if shapes != (rows.phi.shape[1], rows.classes):
        raise Invalid(
            f"before: expected a prior of {rows.phi.shape[1]} numbers and {rows.classes} classes, "
            f"got {shapes[0]} and {shapes[1]}"
        )
    return projection, origin, means


def _directions(rows: UnitRows, units: Whole) -> tuple[Numbers, Numbers, Numbers]:
    """Return projection [r, d], origin [d] and class means [C, r]."""
    origin, standard = _standardise(rows.phi)
    x = (rows.phi - origin) @ standard.T
    cells = cells_of(x, rows.labels, units, rows.classes)
    means = _class_means(cells, rows.classes)
    within = _within(x, rows.labels, units, cells, rows.classes)
    spread = means if rows.units is None else cells.mean - means[cells.label]
    values, vectors = eigh(spread.T @ spread / len(spread), within)
    turn = vectors[:, np.argsort(-values)[:RANK]].T
    return turn @ standard, origin, means @ turn.T


def _standardise(phi: Numbers) -> tuple[Numbers, Numbers]:
    """Return origin [d] and a matrix [k, d]: to variances of 1, or to principal components."""
    origin = phi.mean(axis=0)
    spread = phi.std(axis=0)
    # A column that is constant up to rounding says nothing: its weight is 0, not 1/rounding.
    varies = spread > 1e-9 * np.maximum(np.abs(origin), 1e-9)
    scale = np.where(varies, 1.0 / np.where(varies, spread, 1.0), 0.0)
    if phi.shape[1] <= WIDEST:
        return origin, np.diag(scale)
    sample = phi[:: max(1, len(phi) // 2_000)]
    _, _, components = np.linalg.svd((sample - origin) * scale, full_matrices=False)
    return origin, components[:WIDEST] * scale


def cells_of(x: Numbers, labels: Whole, units: Whole, classes: int) -> Cells:
    """Return the means of each unit and class that have rows."""
    codes, inverse, count = np.unique(
        units * classes + labels, return_inverse=True, return_counts=True
    )
    total = np.zeros((len(codes), x.shape[1]))
    np.add.at(total, inverse, x)
    return Cells(codes // classes, codes % classes, count.astype(float), total / count[:, None])


def _class_means(cells: Cells, classes: int) -> Numbers:
    """Return class means [C, k] in which no unit weighs more than about five rows."""
    weight = cells.count / (cells.count + 5.0)
    means = np.zeros((classes, cells.mean.shape[1]))
    total = np.zeros(classes)
    np.add.at(means, cells.label, cells.mean * weight[:, None])
    np.add.at(total, cells.label, weight)
    return means / np.maximum(total, 1e-12)[:, None]


def _within(x: Numbers, labels: Whole, units: Whole, cells: Cells, classes: int) -> Numbers:
    """Return the covariance [k, k] of rows within their unit and class, with a ridge."""
    order = np.searchsorted(cells.unit * classes + cells.label, units * classes + labels)
    rest = x - cells.mean[order]
    free = max(len(x) - len(cells.count), 1)
    covariance = rest.T @ rest / free
    size = len(covariance)
    # Few rows say little about many dimensions: the ridge grows towards a share of the variance.
    ridge = RIDGE + min(1.0, size / free)
    return covariance + (ridge * max(np.trace(covariance) / size, 1e-6)) * np.eye(size)


def _cohort_shifts(
    rows: UnitRows, cells: Cells, deviations: Numbers
) -> tuple[dict[str, Numbers], Numbers]:
    """Return mean shifts of cohorts, shrunken, and the deviations [K, r] without them."""
    if not rows.cohorts:
        return {}, deviations
    names = np.array(rows.cohorts, object)[cells.unit]
    found: dict[str, Numbers] = {}
    rest = deviations.copy()
    for name in sorted(set(rows.cohorts)):
        chosen = names == name
        own = deviations[chosen]
        units = len(set(cells.unit[chosen].tolist()))
        found[name] = own.mean(axis=0) * units / (units + 3.0)
        rest[chosen] -= found[name]
    return found, rest


def _unknown(rank: int) -> tuple[Numbers, Numbers]:
    return np.full(rank, UNKNOWN_VARIANCE), np.full(rank, UNKNOWN_VARIANCE)


def differences(
    cells: Cells, deviations: Numbers, classes: int
) -> tuple[tuple[Numbers, Numbers], Numbers | None]:
    """Return variances [r] of classes' own deviations and of the shift, and factors [C · r, k].

    Args:
        cells: of units and classes.
        deviations: [K, r] of their means.
        classes: C.
    """
    units = int(cells.unit.max()) + 1
    count = max(0, min(FACTORS, (units - 1) // UNITS_PER_FACTOR))
    if not count:
        return _variances(cells, deviations, 1.0), None
    table = np.zeros((units, classes, deviations.shape[1]))
    table[cells.unit, cells.label] = deviations
    flat = table.reshape(units, -1)
    _, lengths, directions = np.linalg.svd(flat, full_matrices=False)
    strengths = np.square(lengths) / units
    # What the other directions have on average is noise, or is each unit's alone.
    strengths = np.maximum(strengths[:count] - strengths[count:].mean(), 0.0)
    if not strengths.any():
        return _variances(cells, deviations, 1.0), None
    directions = directions[:count]
    rest = (flat - flat @ directions.T @ directions).reshape(table.shape)
    variances = _variances(cells, rest[cells.unit, cells.label], 1.0 - count / units)
    return variances, directions.T * np.sqrt(strengths)


def _variances(cells: Cells, deviations: Numbers, freedom: float) -> tuple[Numbers, Numbers]:
    """Return variances [r] of classes' own deviations and of the shared shift, by moments.

    Args:
        cells: of units and classes.
        deviations: [K, r].
        freedom: share of the deviations that factors have left.
    """
    noise = (1.0 / cells.count).mean()
    total = np.square(deviations).mean(axis=0) / freedom - noise
    crossed, pairs = np.zeros(deviations.shape[1]), 0
    for unit in np.unique(cells.unit):
        own = deviations[cells.unit == unit]
        crossed += own.sum(axis=0) ** 2 - np.square(own).sum(axis=0)
        pairs += len(own) * (len(own) - 1)
    shift = np.clip(crossed / max(pairs, 1) / freedom, 0.0, LARGEST_VARIANCE)
    return np.clip(total - shift, SMALLEST_VARIANCE, LARGEST_VARIANCE), shift
