"""Sums over units: each unit's numbers cut, scaled and added up. Pure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np

from edge_sdk.contract.personal.report import (
    BLOCKS,
    LABELS_COUNTED,
    LOSS,
    UNIT_LABELS,
    UNITS,
    VECTORS,
    noise_of,
    scales,
)
from edge_sdk.personalise.sums.noise import Numbers, on_grid, with_noise

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge_sdk.contract.personal.prior import ClassPrior, PersonalPrior

SINGLE: Final = tuple(name for block in BLOCKS for name in block.fields)
"""Names of the numbers that a vector of sums begins with; those of :data:`VECTORS` follow."""


class Summary(Protocol):
    """What a unit's state says for the sums, as it is: neither cut nor scaled.

    ``both``, ``model_only``, ``personal_only`` and ``neither`` count labels by which answers were
    right, ``served`` those whose prediction was served personalised; the losses add up over the
    same labels. ``off``: the guard does not let the personalised answers serve. ``shift``,
    ``squares`` and ``cross`` are in the space of the prior [r], from what the cohort begins with;
    ``classes`` had labels.
    """

    classes: int
    both: float
    model_only: float
    personal_only: float
    neither: float
    served: float
    off: bool
    model_loss: float
    personal_loss: float
    shift: Any
    squares: Any
    cross: Any


def scales_of(prior: PersonalPrior) -> tuple[float, ...]:
    """Return by how much units differ by dimension, as the prior has it; [r], of numbers [2]."""
    if prior.classes is not None:
        shift = np.array(prior.classes.shift.numbers())
        along, _ = along_factors(prior.classes)
        return scales(prior.classes.between.numbers(), (shift + along).tolist())
    assert prior.number is not None
    return scales((prior.number.offset, prior.number.slope), (0.0, 0.0), prior.number.noise)


def along_factors(part: ClassPrior) -> tuple[Numbers, Numbers]:
    """Return by how much units differ along a prior's factors, by dimension [r].

    Returns:
        The mean square over classes, and the mean product of two different classes; zeros without
        factors.
    """
    classes, rank = part.means.shape
    if part.factors is None:
        return np.zeros(rank), np.zeros(rank)
    factors = np.array(part.factors.numbers()).reshape(classes, rank, -1)
    squares = (factors**2).sum(axis=2)
    together = (factors.sum(axis=0) ** 2).sum(axis=1) - squares.sum(axis=0)
    return squares.mean(axis=0), together / (classes * (classes - 1))


class UnitSums:
    """Sums over units.

    Args:
        scale: from :func:`scales_of`, [r].
        multiplier: of the noise that the sums are to get; ``None`` for none.
    """

    def __init__(self, scale: tuple[float, ...], multiplier: float | None = None) -> None:
        self._scale, self._rank = np.array(scale), len(scale)
        self._noise = None if multiplier is None else self._deviations(multiplier)
        self._total: Numbers = np.zeros(len(SINGLE) + len(VECTORS) * self._rank)
        self.units = 0

    def add(self, unit: Summary) -> None:
        """Add a unit; one with too few labels, or whose numbers are none, is left out."""
        vector = self._vector(unit)
        if vector is None or self.units >= UNITS:
            return
        self.units += 1
        # Each unit goes to the grid by itself: so it moves the sum by no more than its length.
        self._total += vector if self._noise is None else on_grid(vector, self._noise)

    def numbers(self, gauss: Callable[[float, float], float] | None = None) -> dict[str, Any]:
        """Return the sums, with their noise, by field of the report; to be asked once.

        Args:
            gauss: see :func:`~edge_sdk.personalise.sums.noise.with_noise`.
        """
        total = self._total
        if self._noise is not None:
            total = with_noise(total, self._noise, gauss)
        rest = total[len(SINGLE) :].reshape(len(VECTORS), self._rank)
        fields: dict[str, Any] = dict(zip(SINGLE, total.tolist(), strict=False))
        for block, row in zip(VECTORS, rest, strict=True):
            fields[block.fields[0]] = tuple(row.tolist())
        return fields

    def _vector(self, unit: Summary) -> Numbers | None:
        """A unit's numbers, each block cut to its length; ``None`` where it does not count."""
        pairs = np.array([unit.both, unit.model_only, unit.personal_only, unit.neither], np.float64)
        labels = float(pairs.sum())
        if not (UNIT_LABELS <= labels < math.inf and pairs.min() >= 0):
            return None
        shares = pairs / labels
        gain = float(shares[2] - shares[1])
        losses = np.array([unit.model_loss, unit.personal_loss]) / labels
        single = {
            "units": [1.0],
            "crossed": [float(unit.classes > 1)],
            "labels": [min(labels, LABELS_COUNTED)],
            "off": [float(unit.off)],
            "served": [min(max(unit.served / labels, 0.0), 1.0)],
            "both": shares,
            "gain_squares": [gain * gain],
            "better": [float(gain > 0), float(gain < 0)],
            "model_loss": np.clip(losses, 0.0, LOSS),
        }
        parts = [np.asarray(single[block.fields[0]], np.float64) for block in BLOCKS]
        powers = (self._scale, self._scale**2, self._scale**2)
        for block, power in zip(VECTORS, powers, strict=True):
            numbers = np.asarray(getattr(unit, block.fields[0]), np.float64) / power
            parts.append(_cut(numbers, block.length * math.sqrt(self._rank)))
        vector = np.concatenate(parts)
        return vector if bool(np.isfinite(vector).all()) else None

    def _deviations(self, multiplier: float) -> Numbers:
        """The standard deviation of the noise on each number."""
        parts = [np.full(len(b.fields), noise_of(b, multiplier)) for b in BLOCKS]
        parts += [np.full(self._rank, noise_of(b, multiplier, self._rank)) for b in VECTORS]
        return np.concatenate(parts)


def _cut(numbers: Numbers, length: float) -> Numbers:
    """The numbers, shortened to a length if they are longer."""
    largest = float(np.abs(numbers).max(initial=0.0))
    if not 0 < largest < math.inf:
        return numbers
    # By the largest first: squares of large numbers overflow.
    norm = largest * float(np.linalg.norm(numbers / largest))
    return numbers if norm <= length else numbers * (length / norm)
