"""Runs of bytes that two files have in common, wherever they stand. Pure."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]

GRAM: Final = 32
"""Bytes of the shortest run that is found for sure when it stands at a multiple of 32 in the base;
any run of twice that is found."""

PIECE: Final = 1 << 20
"""Bytes of the new file that are looked up at once."""

_MIX: Final = tuple(
    np.uint64(n)
    for n in (
        0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x27D4EB2F165667C5,
    )
)  # fmt: skip


@dataclass(frozen=True)
class Run:
    """``length`` bytes at ``start`` of the new file that stand at ``offset`` in the base."""

    start: int
    offset: int
    length: int


class Matcher:
    """Finds runs of a base in other files.

    Args:
        base: bytes of the base; a table of a sixteenth of its size is made of them when it is
            first needed.
    """

    def __init__(self, base: Bytes) -> None:
        self._base = base

    def runs(self, new: Bytes, start: int, stop: int) -> Iterator[Run]:
        """Yield the runs of ``new[start:stop]`` that are in the base, in order, without overlaps.

        Args:
            new: bytes of the new file.
            start: first byte of the new file to look at.
            stop: byte after the last.
        """
        if len(self._base) < GRAM or stop - start < GRAM:
            return
        at = start
        for first in range(start, stop - GRAM + 1, PIECE):
            last = min(first + PIECE + GRAM - 1, stop)
            for place, offset in _hits(new[first:last], *self._table):
                if place + first >= at:
                    run = _grown(self._base, new, place + first, offset, at, stop)
                    if run is not None:
                        yield run
                        at = run.start + run.length

    @functools.cached_property
    def _table(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """The sorted hashes of the base's grams, and where each first stands."""
        words = self._base[: len(self._base) // GRAM * GRAM].view("<u8").reshape(-1, GRAM // 8)
        return np.unique(_mixed([words[:, i] for i in range(GRAM // 8)]), return_index=True)


def _mixed(words: list[NDArray[Any]]) -> NDArray[Any]:
    mixed = np.zeros(len(words[0]), np.uint64)
    for word, factor in zip(words, _MIX, strict=True):
        mixed = (mixed ^ word) * factor
        mixed ^= mixed >> np.uint64(29)
    return mixed


def _hits(piece: Bytes, hashes: NDArray[Any], offsets: NDArray[Any]) -> Iterator[tuple[int, int]]:
    """Yield (place in the piece, offset in the base) of every gram that may be in the base."""
    places, entries = [], []
    for phase in range(8):
        words = piece[phase : phase + (len(piece) - phase) // 8 * 8].view("<u8")
        count = len(words) - GRAM // 8 + 1
        if count < 1:
            continue
        mixed = _mixed([words[i : i + count] for i in range(GRAM // 8)])
        entry = np.minimum(np.searchsorted(hashes, mixed), len(hashes) - 1)
        (same,) = np.nonzero(hashes[entry] == mixed)
        places.append(same * 8 + phase)
        entries.append(entry[same])
    if places:
        place, entry = np.concatenate(places), np.concatenate(entries)
        order = np.argsort(place, kind="stable")
        yield from zip(place[order].tolist(), (offsets[entry[order]] * GRAM).tolist(), strict=True)


def _grown(base: Bytes, new: Bytes, place: int, offset: int, first: int, stop: int) -> Run | None:
    """Return the longest run around a hit, if it is one."""
    forward = _same(base[offset:], new[place:stop])
    if forward < GRAM:
        return None  # two grams of one hash
    back = _same(base[:offset][::-1], new[first:place][::-1])
    return Run(place - back, offset - back, forward + back)


def _same(a: Bytes, b: Bytes) -> int:
    """Return the number of bytes that two arrays begin with in common."""
    most, at, step = min(len(a), len(b)), 0, 256
    while at < most:
        end = min(at + step, most)
        (differs,) = np.nonzero(a[at:end] != b[at:end])
        if len(differs):
            return at + int(differs[0])
        at, step = end, min(step * 2, PIECE)
    return most
