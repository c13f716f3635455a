"""The sections of a pack as arrays: how they are made from sorted keys, and whether they hold."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edge_sdk.contract.pack import ALIGNMENT, KEY_BYTES
from edge_sdk.errors import PackError

_CHECKED_AT_ONCE: Final = 1 << 16
"""Keys compared in one step, so that checking takes little memory."""

Keys = NDArray[np.uint8]
"""[count, 16], ordered as big-endian integers."""


def halves(keys: Keys) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """The upper and lower 64 bits of each key."""
    pairs = np.ascontiguousarray(keys).view(">u8").reshape(-1, 2)
    return pairs[:, 0].astype(np.uint64), pairs[:, 1].astype(np.uint64)


def sorted_order(keys: Keys) -> NDArray[np.intp]:
    """The stable order that sorts ``keys``."""
    upper, lower = halves(keys)
    return np.lexsort((lower, upper))


def directory_of(keys: Keys, bits: int) -> NDArray[np.uint32]:
    """First entry of each bucket of the top ``bits`` bits, then the count."""
    tops = np.ascontiguousarray(keys[:, :4]).view(">u4").ravel().astype(np.int64)
    starts = np.zeros((1 << bits) + 1, dtype="<u4")
    np.cumsum(np.bincount(tops >> (32 - bits), minlength=1 << bits), out=starts[1:])
    return starts


def padded(raw: bytes) -> bytes:
    """``raw`` and zeros up to the next section."""
    return raw + bytes(-len(raw) % ALIGNMENT)


def check_structure(directory: NDArray[Any], keys: Keys, bits: int) -> None:
    """Check what a reader relies on: keys that rise, and a directory that finds each of them.

    Raises:
        PackError: says which of the two does not hold, and where.
    """
    falling = np.flatnonzero(directory[1:] < directory[:-1])
    if falling.size:
        raise PackError(
            f"the directory is not monotonic: bucket {falling[0]} ends before it begins"
        )
    for start in range(0, max(0, len(keys) - 1), _CHECKED_AT_ONCE):
        part = keys[start : start + _CHECKED_AT_ONCE + 1]
        upper, lower = halves(part)
        rising = (upper[1:] > upper[:-1]) | ((upper[1:] == upper[:-1]) & (lower[1:] > lower[:-1]))
        if not rising.all():
            at = start + int(np.flatnonzero(~rising)[0])
            raise PackError(f"the keys are not sorted: entry {at + 1} does not follow entry {at}")
    wrong = np.flatnonzero(directory != directory_of(keys.reshape(-1, KEY_BYTES), bits))
    if wrong.size:
        raise PackError(f"the directory does not fit the keys: wrong at bucket {wrong[0]}")
