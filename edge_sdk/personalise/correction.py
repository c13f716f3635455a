"""What a unit's model does to an answer of the release: one power, one matrix, one offset."""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float32]

Odds = Callable[[Sequence[float], Vector], tuple[list[float], float, int] | None]
"""Returns what the unit's probabilities are proportional to [C], its sum, and the class of the
largest, of the release's probabilities [C] and φ [d]; ``None`` where that is not finite.
"""

LARGE: Final = bytes(byte & 0x7F >= 0x5F for byte in range(256))
"""By the upper byte of a float: 1 for infinities, NaN and from 2**63 on, where products might
overflow.
"""

TOPS: Final = slice(3 if sys.byteorder == "little" else 0, None, 4)

UNROLLED: Final = 32
"""Classes up to which the loop over them is unrolled."""

SMALLEST, LARGEST = 1e-30, 1e30
"""Sums of odds outside of which the largest logarithm is subtracted first. What all classes have in
common is not in the matrix, so the sum may be of any size.
"""


def is_moderate(phi: bytes) -> bool:
    """Return whether all of φ is finite and below 2**63, so that it may be multiplied.

    The release's own answer serves otherwise, and nothing is learned.

    Args:
        phi: its bytes, float32.
    """
    return 1 not in phi[TOPS].translate(LARGE)


class Correction:
    """Correction of a classifier's probabilities: p'_c ∝ max(p_c, floor)^power · exp((A φ + o)_c).

    Attributes:
        power: exponent of the release's probabilities.
        matrix: A, [C, d].
        offset: o, [C].
        floor: probabilities below it count as it.
        odds: the same without the division by the sum, for a path where every tenth of a
            microsecond counts.
    """

    __slots__ = ("floor", "matrix", "odds", "offset", "power")

    def __init__(self, power: float, matrix: Vector, offset: Vector, floor: float) -> None:
        self.power, self.matrix, self.offset, self.floor = power, matrix, offset, floor
        self.odds: Odds = _odds(power, matrix, offset, floor)

    def apply(self, scores: Sequence[float], phi: Vector) -> tuple[float, ...] | None:
        """Return the unit's probabilities [C], which sum to 1; ``None`` where they are not finite.

        Args:
            scores: the release's probabilities [C].
            phi: basis vector of the input [d].
        """
        found = self.odds(scores, phi) if is_moderate(phi.tobytes()) else None
        return None if found is None else tuple(each / found[1] for each in found[0])

    def apply_batch(
        self, scores: NDArray[np.float64], phi: Vector
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Return the unit's probabilities of N inputs [N, C], and which of them are finite [N].

        Args:
            scores: the release's probabilities [N, C].
            phi: basis vectors [N, d].
        """
        with np.errstate(all="ignore"):
            moderate = np.asarray((np.abs(phi) < 2.0**63).all(axis=1))
            phi = np.where(moderate[:, None], phi, np.float32(0))
            bounded = np.where(scores < self.floor, self.floor, scores)
            logs = self.power * np.log(bounded) + (phi @ self.matrix.T).astype(float) + self.offset
            odds = np.exp(logs - logs.max(axis=1, keepdims=True))
            total = odds.sum(axis=1)
            return odds / total[:, None], moderate & np.isfinite(total)


def _odds(power: float, matrix: Vector, offset: Vector, floor: float) -> Odds:
    shifted = _shifted(power, matrix, offset, floor)
    if len(offset) <= UNROLLED:
        return _maker(len(offset))(matrix.dot, power, floor, shifted, *offset.tolist())
    # Everything that the closure needs is a local variable: cheaper than an attribute look-up.
    times, offsets, exp = matrix.dot, offset.tolist(), math.exp

    def odds(scores: Sequence[float], phi: Vector) -> tuple[list[float], float, int] | None:
        try:
            # Written so that a NaN stays one.
            found = [
                (floor if p < floor else p) ** power * exp(z + o)
                for p, z, o in zip(scores, times(phi).tolist(), offsets, strict=True)
            ]
        except OverflowError:
            return shifted(scores, phi)
        total = sum(found)
        if not SMALLEST < total < LARGEST:
            return shifted(scores, phi)
        return found, total, found.index(max(found))

    return odds


def _shifted(power: float, matrix: Vector, offset: Vector, floor: float) -> Odds:
    """Return the same by way of logarithms, for odds that would not fit into a float."""

    def odds(scores: Sequence[float], phi: Vector) -> tuple[list[float], float, int] | None:
        logs = [
            power * math.log(floor if p < floor else p) + z + o
            for p, z, o in zip(scores, matrix.dot(phi).tolist(), offset.tolist(), strict=True)
        ]
        largest = max(logs)
        if not math.isfinite(sum(logs)):
            return None
        found = [math.exp(each - largest) for each in logs]
        return found, sum(found), logs.index(largest)

    return odds


@functools.lru_cache(UNROLLED)
def _maker(classes: int) -> Callable[..., Odds]:
    """Return a function that makes the same for ``classes`` classes with its loop unrolled, which
    saves a microsecond of nearly three; the text that is compiled has no input but their number.
    """
    each = range(classes)
    terms = (f"q{i} = (floor if p{i} < floor else p{i}) ** power * exp(z{i} + o{i})" for i in each)
    larger = "".join(f"        if q{i} > top: top, best = q{i}, {i}\n" for i in each[1:])
    text = f"""
def made(times, power, floor, shifted, {", ".join(f"o{i}" for i in each)}):
    def odds(scores, phi):
        {", ".join(f"p{i}" for i in each)} = scores
        {", ".join(f"z{i}" for i in each)} = times(phi).tolist()
        try:
            {"; ".join(terms)}
        except OverflowError:
            return shifted(scores, phi)
        total = {" + ".join(f"q{i}" for i in each)}
        if not least < total < most:
            return shifted(scores, phi)
        top, best = q0, 0
{larger}        return [{", ".join(f"q{i}" for i in each)}], total, best
    return odds
"""
    names: dict[str, Any] = {"exp": math.exp, "least": SMALLEST, "most": LARGEST}
    exec(compile(text, "<odds of a correction>", "exec"), names)
    made: Callable[..., Odds] = names["made"]
    return made


class NumberCorrection(NamedTuple):
    """Correction of a regressor's answer: slope · answer + offset."""

    slope: float
    offset: float

    def apply(self, value: float) -> float:
        """Return the unit's answer, in the unit of the release's."""
        return self.slope * value + self.offset
