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
