"""Exact keys of inputs: two inputs have the same key if and only if the model sees no difference.

Canonical bytes of a dense row are its little-endian values in the declared dtype, -0.0 folded to
0.0. A row of mixed columns is the concatenation of its columns in manifest order: numbers as above,
strings as their UTF-8 with a 4-byte length before. NaN and infinities have no key: such a row is
never looked up. The hash covers the canonicaliser's name, a NUL and the canonical bytes, so that
two canonicalisers never share a key.

A key is the CRC-32 of these bytes and the first 12 bytes of their SHA-256. The checksum locates the
entry and settles nearly every miss at a fifth of the cost; only the digest proves a hit.
"""

from __future__ import annotations

import hashlib
import struct
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final
from zlib import crc32

import numpy as np

from edge_sdk.contract.dtypes import STRING
from edge_sdk.contract.key import CHECK_BYTES, DIGEST_BYTES
from edge_sdk.model.schema import InputSchema

if TYPE_CHECKING:
    from edge_sdk.contract.manifest import Signature
    from edge_sdk.model.release import Feed

_LENGTH: Final = struct.Struct("<I")
_LITTLE: Final = sys.byteorder == "little"
SIGN: Final = 0x80
"""Upper byte of a float that is -0.0, or so close to it that folding does not change it."""


def short_sha256() -> Callable[[bytes], Any]:
    """Return the quickest SHA-256 of a few dozen bytes.

    That is the interpreter's own, where it has one: OpenSSL's is not set up before it is done.
    """
    try:
        from _sha256 import sha256  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        return hashlib.sha256
    built_in: Callable[[bytes], Any] = sha256
    return built_in


def key_of(named: bytes) -> bytes:
    """Return the key of ``named``: canonicaliser's name, NUL, canonical bytes."""
    return crc32(named).to_bytes(CHECK_BYTES, "big") + hashlib.sha256(named).digest()[:DIGEST_BYTES]


class Canonicaliser:
    """Keys for the rows of one signature.

    Attributes:
        name: name of the rule, stored in every pack: ``dense-DTYPE-v1`` or ``columns-v1``.
        prefix: bytes that are hashed before the canonical bytes.
        signature: of the rows.
    """

    def __init__(self, signature: Signature) -> None:
        schema = InputSchema(signature)
        self.signature = signature
        self._dense = schema.dense
        self.name = f"dense-{self._dense.dtype}-v1" if self._dense else "columns-v1"
        self.prefix = self.name.encode() + b"\0"
        dtype = np.dtype(self._dense.dtype if self._dense else "float32").newbyteorder("<")
        self._dtype: np.dtype[Any] = dtype
        self._is_float = dtype.kind == "f"
        self._native = dtype.newbyteorder("=")
        self._zero = np.zeros((), self._native)
        # The byte of each value that holds its sign.
        self._tops = slice(dtype.itemsize - 1 if _LITTLE else 0, None, dtype.itemsize)

    def canonical(self, row: bytes) -> bytes:
        """Return the canonical bytes of one dense row of finite values, passed as its bytes."""
        if self._is_float and SIGN in row[self._tops]:
            # IEEE 754: -0.0 + 0.0 is 0.0, and no other value changes.
            row = (np.frombuffer(row, self._native) + self._zero).tobytes()
        if not _LITTLE:
            row = np.frombuffer(row, self._native).astype(self._dtype).tobytes()
        return row

    def key(self, row: bytes) -> bytes:
        """Return the key of one dense row of finite values, passed as its bytes."""
        return key_of(self.prefix + self.canonical(row))

    def feed_key(self, feed: Feed, index: int = 0) -> bytes | None:
        """Return the key of row ``index`` of checked tensors.

        ``None`` if a value is not finite, or the model has no columns.
        """
        if not self.signature.columns:
            return None
        if self._dense:
            row = feed[self._dense.name][index]
            return (
                None if self._is_float and not np.isfinite(row).all() else self.key(row.tobytes())
            )
        named = bytearray(self.prefix)
        for column in self.signature.columns:
            value = feed[column.tensor][index, column.index]
            if column.dtype == STRING:
                named += _text(value)
            elif np.isfinite(value):
                dtype = np.dtype(column.dtype).newbyteorder("<")
                named += np.asarray(value + 0, dtype=dtype).tobytes()
            else:
                return None
        return key_of(bytes(named))


def _text(value: str) -> bytes:
    raw = value.encode("utf-8", "surrogatepass")
    return _LENGTH.pack(len(raw)) + raw
