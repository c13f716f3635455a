"""Fields of a protobuf message in memory or a file, walked without parsing what they hold."""

from __future__ import annotations

import mmap
from collections.abc import Iterator


def fields(raw: bytes | mmap.mmap, start: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Fields of a message: number, wire type, and where the content begins and ends.

    For a number the content is its value, given as the beginning; ``-1`` stands for damage.
    """
    at = start
    while at < end:
        tag, at = _varint(raw, at, end)
        number, wire = tag >> 3, tag & 7
        value = 0
        if tag >= 0 and wire in (0, 2):
            value, at = _varint(raw, at, end)
        size = {0: 0, 1: 8, 2: value, 5: 4}.get(wire, -1)
        if tag < 0 or value < 0 or size < 0 or at + size > end:
            yield 0, 0, -1, -1
            return
        yield number, wire, at if wire == 2 else value, at + size
        at += size


def varint(value: int) -> bytes:
    """Return an integer as protobuf writes it: seven bits a byte, the lowest first."""
    written = bytearray()
    while value > 0x7F:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    written.append(value)
    return bytes(written)


def _varint(raw: bytes | mmap.mmap, at: int, end: int) -> tuple[int, int]:
    """Return a number of variable length and the place behind it; ``-1`` where there is none."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= end:
            break
        byte = raw[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    return -1, end
