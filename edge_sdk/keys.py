"""Exact keys of inputs: equal where the model sees the same input, different otherwise.

Canonical bytes of a dense row are its little-endian values in the declared dtype, -0.0 folded to
0.0. A row of mixed columns is the concatenation of its columns in manifest order: numbers as above,
strings as their UTF-8 with a 4-byte length before. NaN and infinities have no key: such a row is
never looked up. The key is the first 16 bytes of SHA-256 over the canonicaliser's name, a NUL and
the canonical bytes, so that two canonicalisers never share a key.
"""

from __future__ import annotations

import hashlib
import struct
import sys
from typing import Any, Final

import numpy as np

from edge_sdk.contract.manifest import Signature
from edge_sdk.contract.pack import KEY_BYTES
from edge_sdk.release import Feed
from edge_sdk.schema import STRING, InputSchema

_LENGTH: Final = struct.Struct("<I")
_LITTLE: Final = sys.byteorder == "little"


class Canonicaliser:
    """Keys for the rows of one signature.

    Attributes:
        name: of the rule, kept in every pack: ``dense-DTYPE-v1`` or ``columns-v1``.
    """

    def __init__(self, signature: Signature) -> None:
        schema = InputSchema(signature)
        self._signature = signature
        self._dense = schema.dense
        self.name = f"dense-{self._dense.dtype}-v1" if self._dense else "columns-v1"
        self._prefix = self.name.encode() + b"\0"
        dtype = np.dtype(self._dense.dtype if self._dense else "float32").newbyteorder("<")
        self._dtype: np.dtype[Any] = dtype
        self._is_float = dtype.kind == "f"
        self._native = dtype.newbyteorder("=")
        self._zero = np.zeros((), self._native)
        bits = 8 * dtype.itemsize
        ones = sum(1 << bits * i for i in range(schema.width))
        self._negative_zero = np.copysign(self._zero, -1).tobytes() if self._is_float else b""
        self._signs, self._rest = ones << bits - 1, ones * ((1 << bits - 1) - 1)

    def key(self, row: bytes) -> bytes:
        """The key of one dense row, given as its bytes in the declared dtype; finite values."""
        # The first look is quick and never wrongly no; the second one is exact.
        if self._is_float and self._negative_zero in row and self._holds_negative_zero(row):
            row = (np.frombuffer(row, self._native) + self._zero).tobytes()
        if not _LITTLE:
            row = np.frombuffer(row, self._native).astype(self._dtype).tobytes()
        return hashlib.sha256(self._prefix + row).digest()[:KEY_BYTES]

    def feed_key(self, feed: Feed, index: int = 0) -> bytes | None:
        """The key of row ``index`` of checked tensors.

        ``None`` if a value is not finite, or the model has no columns: then there is no row.
        """
        if not self._signature.columns:
            return None
        if self._dense:
            row = feed[self._dense.name][index]
            return (
                None if self._is_float and not np.isfinite(row).all() else self.key(row.tobytes())
            )
        digest = hashlib.sha256(self._prefix)
        for column in self._signature.columns:
            value = feed[column.tensor][index, column.index]
            if column.dtype == STRING:
                digest.update(_text(value))
            elif np.isfinite(value):
                dtype = np.dtype(column.dtype).newbyteorder("<")
                digest.update(np.asarray(value + 0, dtype=dtype).tobytes())
            else:
                return None
        return digest.digest()[:KEY_BYTES]

    def _holds_negative_zero(self, row: bytes) -> bool:
        """Whether a value has its sign bit set and no other; looks at all of them at once.

        Adding ``rest`` (all bits but the sign) to the other bits of a value carries into its sign
        bit unless they are zero.
        """
        n, signs, rest = int.from_bytes(row, sys.byteorder), self._signs, self._rest
        return bool(n & signs and n & signs & ~((n & rest) + rest))


def _text(value: str) -> bytes:
    raw = value.encode("utf-8", "surrogatepass")
    return _LENGTH.pack(len(raw)) + raw
