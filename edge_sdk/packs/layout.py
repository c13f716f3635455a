"""Sections of a pack as arrays: made from sorted keys, and checked against them."""

from __future__ import annotations

import itertools
import zlib
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edge_sdk.contract.key import CHECK_BYTES, KEY_BYTES
from edge_sdk.errors import PackError

_CHECKED_AT_ONCE: Final = 1 << 16
"""Keys compared in one step, so that checking takes little memory."""

BLOCK_BYTES: Final = 32 << 10
"""Keys and values of a block at most, about, unless one bucket has more: its first touch reads them
all.
"""

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


def check_bits_of(count: int, directory_bits: int, value_bytes: int) -> int:
    """Return the bits of the table of checksums, so that a block has about
    :data:`BLOCK_BYTES` or less.

    A checksum for each bucket would cost half a byte an entry; so it is a hundredth.
    """
    blocks = max(1, count * (KEY_BYTES + value_bytes) // BLOCK_BYTES)
    return min(directory_bits, (blocks - 1).bit_length())


def block_crc(edges: Any, keys: Any, values: Any) -> int:
    """Return the checksum of a block from its bytes in the file.

    Args:
        edges: its part of the directory, from its first bucket to the end of its last.
        keys: of its entries.
        values: of its entries.
    """
    return zlib.crc32(values, zlib.crc32(keys, zlib.crc32(edges)))


def checks_of(
    directory: NDArray[Any], bits: int, keys: Keys, values: NDArray[np.uint8]
) -> NDArray[np.uint32]:
    """Return the checksum of each of the ``2**bits`` blocks.

    Args:
        directory: [2**directory_bits + 1], 32 bits each.
        bits: of the table.
        keys: [count, 16].
        values: [count, value_bytes].
    """
    step = (len(directory) - 1) >> bits
    edges = np.ascontiguousarray(directory, "<u4")
    first = edges[::step].tolist()
    # A slice of contiguous rows is one piece of memory, which zlib takes without a copy.
    keys, values = np.ascontiguousarray(keys), np.ascontiguousarray(values)
    return np.array(
        [
            block_crc(edges[i * step : (i + 1) * step + 1], keys[a:b], values[a:b])
            for i, (a, b) in enumerate(itertools.pairwise(first))
        ],
        "<u4",
    )


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
