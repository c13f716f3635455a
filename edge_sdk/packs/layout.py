"""Sections of a pack as arrays: made from sorted keys, and checked against them."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edge_sdk.contract.key import CHECK_BYTES, KEY_BYTES
from edge_sdk.errors import PackError

_CHECKED_AT_ONCE: Final = 1 << 16
"""Keys compared in one step, so that checking takes little memory."""

Keys = NDArray[np.uint8]
"""[count, 16], ordered as big-endian integers."""


def halves(keys: Keys) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Return the upper and lower 64 bits of each key."""
    # NumPy has no 128-bit integers: keys are compared in two halves.
    pairs = np.ascontiguousarray(keys).view(">u8").reshape(-1, 2)
    return pairs[:, 0].astype(np.uint64), pairs[:, 1].astype(np.uint64)


def sorted_order(keys: Keys) -> NDArray[np.intp]:
    """Return the stable order that sorts ``keys``."""
    upper, lower = halves(keys)
    return np.lexsort((lower, upper))  # lexsort sorts by its last key first


def directory_of(keys: Keys, bits: int) -> NDArray[np.uint32]:
    """Return the first entry of each bucket of the top ``bits`` bits, then the count."""
    starts = np.zeros((1 << bits) + 1, dtype="<u4")
    np.cumsum(np.bincount(_checks(keys) >> (32 - bits), minlength=1 << bits), out=starts[1:])
    return starts


def filter_of(keys: Keys, bits: int) -> NDArray[np.uint8]:
    """Return ``2**bits`` bytes with one bit set per key; the file's layout describes them."""
    checks = _checks(keys)
    marks = np.zeros(1 << bits, np.uint8)
    # Unlike marks[i]
    # = bit, ``at`` applies every bit when an index occurs twice.
    np.bitwise_or.at(marks, checks >> (32 - bits), (1 << (checks & 7)).astype(np.uint8))
    return marks


def sizes(count: int) -> tuple[int, int]:
    """Return the bits of the directory and of the filter for ``count`` entries.

    A bucket then has 8 to 16 entries, and the filter 3 to 6 bits per entry, which ends at least
    three of four misses.
    """
    directory = min(24, max(0, (count // 8).bit_length() - 1))
    return directory, min(29, (3 * count // 8).bit_length())


def _checks(keys: Keys) -> NDArray[np.int64]:
    return np.ascontiguousarray(keys[:, :CHECK_BYTES]).view(">u4").ravel().astype(np.int64)


def check_structure(directory: NDArray[Any], marks: NDArray[np.uint8], keys: Keys) -> None:
    """Check the order of the keys, and that directory and filter find each of them.

    Args:
        directory: [2**directory_bits + 1].
        marks: filter, [2**filter_bits].
        keys: [count, 16].

    Raises:
        PackError: the first section that is wrong, and where.
    """
    falling = np.flatnonzero(directory[1:] < directory[:-1])
    if falling.size:
        raise PackError(
            f"the directory is not monotonic: bucket {falling[0]} ends before it begins"
        )
    for start in range(0, max(0, len(keys) - 1), _CHECKED_AT_ONCE):
        # One key of overlap, so that the border between two parts is compared too.
        part = keys[start : start + _CHECKED_AT_ONCE + 1]
        upper, lower = halves(part)
        rising = (upper[1:] > upper[:-1]) | ((upper[1:] == upper[:-1]) & (lower[1:] > lower[:-1]))
        if not rising.all():
            at = start + int(np.flatnonzero(~rising)[0])
            raise PackError(f"the keys are not sorted: entry {at + 1} does not follow entry {at}")
    keys = keys.reshape(-1, KEY_BYTES)
    wrong = np.flatnonzero(directory != directory_of(keys, (len(directory) - 1).bit_length() - 1))
    if wrong.size:
        raise PackError(f"the directory does not fit the keys: wrong at bucket {wrong[0]}")
    wrong = np.flatnonzero(marks != filter_of(keys, len(marks).bit_length() - 1))
    if wrong.size:
        raise PackError(f"the filter does not fit the keys: wrong at byte {wrong[0]}")
