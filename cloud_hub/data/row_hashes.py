"""A hash of each row, by which equal rows are found among millions. Pure.

Rows are equal if all their values are; a whole number equals the same fraction, so that a row that
came from CSV equals the one that came from an array. 64 bits: among 10⁶ different rows two have the
same hash with a chance below 10⁻⁷.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from cloud_hub.data.columns import TEXTS, kind_of

Hashes = NDArray[np.uint64]

MISSING: Final = np.uint64(0x9E3779B97F4A7C15)
_STEP: Final = np.uint64(0x9E3779B97F4A7C15)
_FIRST: Final = np.uint64(0xBF58476D1CE4E5B9)
_SECOND: Final = np.uint64(0x94D049BB133111EB)


def row_hashes(features: pa.Table) -> Hashes:
    """Return the hash of each row [N] of a table; the order of columns counts, not their names."""
    hashes = np.zeros(features.num_rows, dtype=np.uint64)
    for column in features.columns:
        hashes *= _STEP
        hashes += value_hashes(column.combine_chunks())
        hashes = _mixed(hashes)
    return hashes


def value_hashes(array: pa.Array) -> Hashes:
    """Return the hash of each value [N] of one column; equal values have the same."""
    if kind_of(array.type) in TEXTS:
        return _text_hashes(array)
    values = _as_floats(array)
    values = values + 0.0  # -0.0 is 0.0
    hashes = _mixed(values.view(np.uint64))
    if array.null_count:
        hashes[pc.is_null(array).to_numpy(zero_copy_only=False)] = MISSING
    return hashes


def _as_floats(array: pa.Array) -> NDArray[np.float64]:
    if pa.types.is_boolean(array.type):
        array = array.cast(pa.uint8())
    elif pa.types.is_timestamp(array.type):
        array = array.cast(pa.int64())
    filled = pc.fill_null(array, 0) if array.null_count else array
    return np.asarray(filled.to_numpy(zero_copy_only=False), dtype=np.float64)


def _text_hashes(array: pa.Array) -> Hashes:
    found: Any = array if pa.types.is_dictionary(array.type) else array.dictionary_encode()
    each = [
        int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")
        for text in found.dictionary.to_pylist()
    ]
    known = np.array([*each, int(MISSING)], dtype=np.uint64)
    codes = pc.fill_null(found.indices, len(each)).to_numpy(zero_copy_only=False)
    return known[codes]


def _mixed(values: NDArray[np.uint64]) -> Hashes:
    """Return splitmix64's finish of each value: every bit of the result depends on every bit."""
    mixed = values ^ (values >> np.uint64(30))
    mixed *= _FIRST
    mixed ^= mixed >> np.uint64(27)
    mixed *= _SECOND
    mixed ^= mixed >> np.uint64(31)
    return mixed
