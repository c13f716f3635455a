"""Dtypes of tensors: one table for the wire, the packs, the runtime and the converters.

To add a dtype: its name in :data:`NumericDtype` (for the type checker) and its line in
:data:`DTYPES`. Values on disk follow from that line; what an encoding or a fast path supports
besides is decided where it is read.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

NumericDtype = Literal[
    "float16", "float32", "float64", "int8", "uint8", "int16", "int32", "int64", "bool"
]
"""Dtypes of fixed size, which a pack can store. The names are NumPy's."""

Dtype = Literal[NumericDtype, "string"]
"""Dtypes of a release's tensors. Strings travel as NumPy object arrays of ``str``."""

STRING: Final = "string"


@dataclass(frozen=True)
class DtypeInfo:
    """Names of one dtype in the formats that we meet.

    Attributes:
        element: number of the element type in ONNX (``TensorProto.DataType``).
        runtime: name of the tensor type in onnxruntime (``NodeArg.type``).
        code: format character of the :mod:`struct` module; ``None`` for strings.
    """

    element: int
    runtime: str
    code: str | None

    @property
    def item_bytes(self) -> int | None:
        """Bytes of one value, the same on every machine; ``None`` for strings."""
        # "<" selects the standard sizes: native ones may differ and would change the pack format.
        return None if self.code is None else struct.calcsize("<" + self.code)


DTYPES: Final[Mapping[Dtype, DtypeInfo]] = {
    "float16": DtypeInfo(10, "tensor(float16)", "e"),
    "float32": DtypeInfo(1, "tensor(float)", "f"),
    "float64": DtypeInfo(11, "tensor(double)", "d"),
    "int8": DtypeInfo(3, "tensor(int8)", "b"),
    "uint8": DtypeInfo(2, "tensor(uint8)", "B"),
    "int16": DtypeInfo(5, "tensor(int16)", "h"),
    "int32": DtypeInfo(6, "tensor(int32)", "i"),
    "int64": DtypeInfo(7, "tensor(int64)", "q"),
    "bool": DtypeInfo(9, "tensor(bool)", "?"),
    "string": DtypeInfo(8, "tensor(string)", None),
}

BY_ELEMENT: Final[Mapping[int, Dtype]] = {info.element: name for name, info in DTYPES.items()}
"""Dtypes by their ONNX element type."""

BY_RUNTIME: Final[Mapping[str, Dtype]] = {info.runtime: name for name, info in DTYPES.items()}
"""Dtypes by their name in onnxruntime."""

ITEM_BYTES: Final[Mapping[str, int]] = {
    name: info.item_bytes for name, info in DTYPES.items() if info.item_bytes is not None
}
"""Bytes of one value of each numeric dtype."""

FLOAT_CODES: Final[Mapping[str, str]] = {
    name: info.code for name, info in DTYPES.items() if info.code in ("e", "f", "d")
}
"""Struct codes of the floating-point dtypes."""

RANGES: Final[Mapping[str, int]] = {
    f"{sign}int{bits}": bits for sign in ("", "u") for bits in (8, 16, 32, 64)
}
"""Bits of the integer dtypes, those of declared features included."""


def range_of(dtype: str) -> tuple[int, int]:
    """Return the smallest and the largest value of an integer dtype."""
    bits = RANGES[dtype]
    if dtype.startswith("u"):
        return 0, (1 << bits) - 1
    return -(1 << bits - 1), (1 << bits - 1) - 1


def misfit(dtype: str, value: float | int | bool | str | None) -> str:
    """Return what ``dtype`` takes, if ``value`` is nothing of it; empty if it fits, as ``None``."""
    if value is None:
        return ""
    if dtype == STRING:
        return "" if isinstance(value, str) else "a text in quotes"
    if dtype == "bool":
        return "" if isinstance(value, bool) else "true or false"
    if isinstance(value, bool | str):
        return "a number"
    if dtype in RANGES:
        low, high = range_of(dtype)
        fits = float(value).is_integer() and low <= value <= high
        return "" if fits else f"a whole number from {low} to {high}"
    return "" if abs(value) < float("inf") else "a finite number"
