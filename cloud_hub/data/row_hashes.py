"""A hash of each row, by which equal rows are found among millions. Pure.

Rows are equal if all their values are; a whole number equals the same fraction, so that a row that
came from CSV equals the one that came from an array. 64 bits: among 10⁶ different rows two have the
same hash with a chance below 10⁻⁷.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cloud_hub.data.columns import TEXTS, array_of, kind_of
from cloud_hub.deferred.libraries import pa, pc

Hashes = NDArray[np.uint64]

BLOCK: Final = 1 << 14
"""Rows that are hashed at once."""

EXACT: Final = 2.0**53
"""Up to here a float holds every whole number."""

MISSING: Final = np.uint64(0x9E3779B97F4A7C15)
_STEP: Final = np.uint64(0x9E3779B97F4A7C15)
_FIRST: Final = np.uint64(0xBF58476D1CE4E5B9)
_SECOND: Final = np.uint64(0x94D049BB133111EB)


@dataclass(frozen=True)
class RowScan:
    """Hash of each row [N], and a number of each column by name: equal columns have the same."""

    rows: Hashes
    columns: Mapping[str, int]

    @cached_property
    def ordered(self) -> Hashes:
        """The hashes of all rows, rising."""
        return np.sort(self.rows)

    @property
    def repeated(self) -> int:
        """Number of rows that another row before them equals."""
        return int(np.count_nonzero(self.ordered[1:] == self.ordered[:-1]))

    def holds(self, rows: Hashes) -> NDArray[np.bool_]:
        """Tell of each of other rows whether it is one of these."""
        if not len(self.ordered):
            return np.zeros(len(rows), dtype=np.bool_)
        places = np.minimum(np.searchsorted(self.ordered, rows), len(self.ordered) - 1)
        return np.asarray(self.ordered[places] == rows)


def row_hashes(features: pa.Table) -> Hashes:
    """Return the hash of each row [N] of a table; the order of columns counts, not their names."""
    return scanned(features).rows


def scanned(features: pa.Table) -> RowScan:
    """Hash all rows and all columns of a table in one pass."""
    hashes = np.zeros(features.num_rows, dtype=np.uint64)
    parts = {name: _values_of(array_of(features, name)) for name in features.column_names}
    sums = dict.fromkeys(parts, 0)
    # Each block of rows stays in the cache until all its columns are in the hash.
    for begin in range(0, len(hashes), BLOCK):
        rows = hashes[begin : begin + BLOCK]
        # Other places, other factors: columns with the same values in another order differ.
        places = _mixed(np.arange(begin + 1, begin + 1 + len(rows), dtype=np.uint64))
        for name, values in parts.items():
            part = values(begin, len(rows))
            sums[name] += int((part * places).sum(dtype=np.uint64))
            rows *= _STEP
            rows += part
            rows[:] = _mixed(rows)
    return RowScan(hashes, {name: total % (1 << 64) for name, total in sums.items()})


def _values_of(array: pa.Array) -> Callable[[int, int], Hashes]:
    """Return a function that hashes the values from a row on, so many; equal values equally."""
    if kind_of(array.type) in TEXTS:
        known, codes = _text_hashes(array)
        return lambda begin, count: known[codes[begin : begin + count]]
    return lambda begin, count: _number_hashes(array.slice(begin, count))


def _number_hashes(array: pa.Array) -> Hashes:
    values = _plain_numbers(array)
    floats = values.astype(np.float64) + 0.0  # -0.0 is 0.0
    bits = floats.view(np.uint64)
    if values.dtype == np.int64 and (np.abs(floats) >= EXACT).any():
        bits = np.where(_exact(values, floats), bits, values.view(np.uint64))
    hashes = _mixed(bits)
    if array.null_count:
        hashes[pc.is_null(array).to_numpy(zero_copy_only=False)] = MISSING
    return hashes


def _exact(values: NDArray[np.int64], floats: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Mark the whole numbers that a float holds; through one, others would equal neighbours."""
    inside = floats < 2.0**63  # which an integer near it becomes, and which none can be
    back = np.where(inside, floats, 0.0).astype(np.int64)
    return np.asarray(inside & (back == values))


def _plain_numbers(array: pa.Array) -> NDArray[Any]:
    if pa.types.is_boolean(array.type):
        array = array.cast(pa.uint8())
    elif pa.types.is_timestamp(array.type):
        array = array.cast(pa.int64())
    filled = pc.fill_null(array, 0) if array.null_count else array
    return np.asarray(filled.to_numpy(zero_copy_only=False))


def _text_hashes(array: pa.Array) -> tuple[Hashes, NDArray[Any]]:
    """Return the hash of each text that is there, and the place of each row's in them."""
    found: Any = array if pa.types.is_dictionary(array.type) else array.dictionary_encode()
    each = [
        int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")
        for text in found.dictionary.to_pylist()
    ]
    known = np.array([*each, int(MISSING)], dtype=np.uint64)
    return known, pc.fill_null(found.indices, len(each)).to_numpy(zero_copy_only=False)


def _mixed(values: NDArray[np.uint64]) -> Hashes:
    """Return splitmix64's finish of each value: every bit of the result depends on every bit."""
    mixed = values ^ (values >> np.uint64(30))
    mixed *= _FIRST
    mixed ^= mixed >> np.uint64(27)
    mixed *= _SECOND
    mixed ^= mixed >> np.uint64(31)
    return mixed
