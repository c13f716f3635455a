"""Histograms as one short text: a report of 50 features is 2 to 5 KB instead of 5 to 12.

Numbers are LEB128 (seven bits a byte, the lowest first, the high bit says that more follows), their
bytes base64 without padding. First how many histograms there are, then for each its length and its
counts.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Sequence
from typing import Final

from edge_sdk.contract.errors import ContractError, require

LARGEST: Final = 1 << 62
"""A count is below; so ten bytes are never read as one."""


def pack(histograms: Sequence[Sequence[int]]) -> str:
    """The text of ``histograms``."""
    raw = bytearray()
    _put(raw, len(histograms))
    for counts in histograms:
        _put(raw, len(counts))
        if counts and min(counts) >= 0 and max(counts) <= 0x7F:
            raw += bytes(counts)  # each its own byte
            continue
        for count in counts:
            _put(raw, count)
    return base64.b64encode(raw).decode().rstrip("=")


def _put(raw: bytearray, number: int) -> None:
    require(0 <= number < LARGEST, f"counts: expected 0 to 2**62, got {number}")
    while number > 0x7F:
        raw.append(number & 0x7F | 0x80)
        number >>= 7
    raw.append(number)


def unpack(text: str) -> tuple[tuple[int, ...], ...]:
    """The histograms of a text.

    Raises:
        ContractError: it is not one that :func:`pack` makes.
    """
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (ValueError, binascii.Error) as error:
        raise ContractError(f"histograms: expected base64; {error}") from error
    numbers = _numbers(raw)
    try:
        found = tuple([_one(numbers, len(raw)) for _ in range(_size(numbers, len(raw)))])
    except StopIteration:
        raise ContractError("histograms: expected more counts, the text ends") from None
    require(next(numbers, None) is None, "histograms: expected the end, there is more")
    require(pack(found) == text, "histograms: expected the shortest form of each number")
    return found


def _one(numbers: Iterator[int], most: int) -> tuple[int, ...]:
    return tuple([next(numbers) for _ in range(_size(numbers, most))])


def _size(numbers: Iterator[int], most: int) -> int:
    """How many follow; no more than there are bytes."""
    size = next(numbers)
    require(size <= most, "histograms: expected more counts, the text ends")
    return size


def _numbers(raw: bytes) -> Iterator[int]:
    number = shift = 0
    for byte in raw:
        number |= (byte & 0x7F) << shift
        shift += 7
        require(shift <= 63, "histograms: expected counts below 2**62")
        if byte < 0x80:
            yield number
            number = shift = 0
    require(shift == 0, "histograms: expected more counts, the text ends")
