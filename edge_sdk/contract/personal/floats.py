"""Arrays of numbers inside JSON messages: float32 as base64, with their shape."""

from __future__ import annotations

import base64
import binascii
import math
import sys
from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from edge_sdk.contract.errors import ContractError, require

LARGEST_FLOAT: Final = 1e18
"""Either sign. Sums of squares of such numbers are still finite in float64, and columns of any unit
have scales far below."""

_AXES = 2
_BYTES = 4


@dataclass(frozen=True)
class Floats:
    """Numbers of one array in row-major order.

    Attributes:
        shape: one or two sizes, each at least 0.
        data: the numbers as little-endian float32, in base64.
    """

    shape: tuple[int, ...]
    data: str

    def __post_init__(self) -> None:
        require(1 <= len(self.shape) <= _AXES, "shape: expected one or two sizes")
        require(min(self.shape) >= 0, "shape: expected sizes of at least 0")
        raw = self.raw()
        expected = _BYTES * math.prod(self.shape)
        require(len(raw) == expected, f"data: expected {expected} bytes, got {len(raw)}")
        largest = max(map(abs, _numbers(raw)), default=0.0)
        # A NaN compares as false with everything, so it is looked for by what it must satisfy.
        fits = largest <= LARGEST_FLOAT and not any(map(math.isnan, _numbers(raw)))
        require(fits, f"data: expected numbers within ±{LARGEST_FLOAT:g}")

    @classmethod
    def of(cls, numbers: Iterable[float], shape: tuple[int, ...]) -> Floats:
        """Make an array of numbers in row-major order, rounded to float32.

        Raises:
            ContractError: they are not as many as the shape says, or not finite.
        """
        try:
            values = array("f", numbers)
        except (OverflowError, TypeError) as error:
            raise ContractError(f"data: expected numbers of float32; {error}") from error
        if sys.byteorder == "big":
            values.byteswap()
        return cls(shape, base64.b64encode(values.tobytes()).decode())

    def raw(self) -> bytes:
        """Return the numbers as little-endian float32.

        Raises:
            ContractError: they are not base64.
        """
        try:
            return base64.b64decode(self.data, validate=True)
        except (binascii.Error, ValueError) as error:
            raise ContractError(f"data: expected base64; {error}") from error

    def numbers(self) -> tuple[float, ...]:
        """Return the numbers in row-major order."""
        return tuple(_numbers(self.raw()))


def _numbers(raw: bytes) -> array[float]:
    values = array("f")
    values.frombytes(raw[: len(raw) // _BYTES * _BYTES])
    if sys.byteorder == "big":
        values.byteswap()
    return values
