"""Histograms as the text in which they travel and are stored; the contract describes it
(:mod:`edge_sdk.contract.histograms`).

A device encodes the histograms of a window once. The hub stores that text as it came, and decodes
it when it checks a report and when it reads one: thousands at once, so both ways are vectorised.
"""

from __future__ import annotations

import base64
import binascii
import functools
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_sdk.contract.errors import ContractError
from edge_sdk.contract.histograms import LARGEST_COUNT
from edge_sdk.telemetry.histograms import HistogramCounts

_BYTES: Final = 9
"""Bytes of the largest number: 63 bits, seven in each."""

_DIGITS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_LAST: Final = (_DIGITS, "", _DIGITS[::16], _DIGITS[::4])
"""What a base64 text may end with, by its length modulo 4: digits whose spare bits are zero."""

_PADDING: Final = ("", "===", "==", "=")
"""What is appended to a text that has none, likewise."""

_LAYOUTS: Final = 64
_REMEMBERED: Final = 1 << 15
"""Layouts that are remembered, and the numbers of the longest of them: 32 MB at the very most."""

_LIMITS: Final = np.int64(1) << 7 * np.arange(1, _BYTES, dtype=np.int64)
"""The least numbers of two, three, … bytes."""


_seen: Final[dict[tuple[int, int], _Layout]] = {}
"""By the number of histograms and of all numbers."""


class _Layout(NamedTuple):
    """Where the numbers of a text stand: how many counts each histogram has, and the counts."""

    sizes: tuple[int, ...]
    places: NDArray[np.int64]
    counts: NDArray[np.int64]


def encode_histograms(histograms: HistogramCounts) -> str:
    """Return the text of ``histograms``.

    Raises:
        ContractError: a count is negative or too large.
    """
    layout = _layout(histograms.sizes)
    numbers = np.empty(1 + len(layout.places) + len(layout.counts), np.int64)
    numbers[0] = len(layout.sizes)
    numbers[layout.places] = layout.sizes
    numbers[layout.counts] = histograms.flat
    return _text(_leb128(numbers))


def decode_histograms(text: str) -> HistogramCounts:
    """Return the histograms of a text.

    Raises:
        ContractError: it is not one that :func:`encode_histograms` makes.
    """
    numbers = _numbers(_bytes(text))
    shape = numbers.item(0), len(numbers)
    # Nearly all texts of a length have one layout, which need not be found again.
    layout = _seen.get(shape)
    if layout is None or not (numbers[layout.places] == layout.sizes).all():
        layout = _layout(_sizes(numbers))
        _remember(shape, layout)
    return HistogramCounts(numbers[layout.counts], layout.sizes)


def _sizes(numbers: NDArray[np.int64]) -> tuple[int, ...]:
    """Return how many counts each histogram of a text has; raises ContractError."""
    sizes, at, end = [], 1, len(numbers)
    for _ in range(numbers.item(0)):
        # Checked before it is added: what is beyond the end would be short without a word.
        size = numbers.item(at) if at < end else end
        _require(at + 1 + size <= end, "expected more counts, the text ends")
        sizes.append(size)
        at += 1 + size
    _require(at == end, "expected the end, there is more")
    return tuple(sizes)


def _layout(sizes: tuple[int, ...]) -> _Layout:
    if len(sizes) + sum(sizes) > _REMEMBERED:
        return _new_layout(sizes)
    return _known_layout(sizes)


@functools.lru_cache(maxsize=_LAYOUTS)
def _known_layout(sizes: tuple[int, ...]) -> _Layout:
    return _new_layout(sizes)


def _new_layout(sizes: tuple[int, ...]) -> _Layout:
    ends = 1 + np.cumsum(np.array(sizes, np.int64) + 1)
    places = ends - 1 - np.array(sizes, np.int64)
    inside = np.ones(1 + len(sizes) + sum(sizes), np.bool_)
    inside[0] = False
    inside[places] = False
    return _Layout(sizes, places, np.flatnonzero(inside))


def _remember(shape: tuple[int, int], layout: _Layout) -> None:
    if shape[1] <= _REMEMBERED:
        if len(_seen) >= _LAYOUTS:
            _seen.clear()
        _seen[shape] = layout


def decode_alike(texts: Sequence[str]) -> tuple[NDArray[np.int64], tuple[int, ...]] | None:
    """Return the histograms of many texts of one layout at once.

    Args:
        texts: one or more.

    Returns:
        The counts of each, one histogram after the other, [texts, counts], and how many counts each
        histogram has; ``None`` if the texts have different layouts.

    Raises:
        ContractError: a text is not one that :func:`encode_histograms` makes.
    """
    raw = [_bytes(text) for text in texts]
    ends = np.cumsum([len(each) for each in raw])
    numbers, places = _placed(b"".join(raw))
    # How many numbers had ended by the end of each text: none may go on in the next one.
    until = np.searchsorted(places, ends - 1, side="right")
    _require(bool((places[until - 1] == ends - 1).all()), "expected more counts, the text ends")
    if len(set(np.diff(until, prepend=0).tolist())) > 1:
        return None
    rows = numbers.reshape(len(texts), -1)
    layout = _layout(_sizes(rows[0]))
    alike = (rows[:, 0] == len(layout.sizes)) & (rows[:, layout.places] == layout.sizes).all(axis=1)
    return (rows[:, layout.counts], layout.sizes) if alike.all() else None


def _leb128(numbers: NDArray[np.int64]) -> bytes:
    """Seven bits a byte, the lowest first; all but the last byte of a number have the high bit."""
    least, most = int(numbers.min()), int(numbers.max())
    if least < 0 or most >= LARGEST_COUNT:
        wrong = least if least < 0 else most
        raise ContractError(f"counts: expected 0 to 2**62, got {wrong}")
    if most < 0x80:
        return numbers.astype(np.uint8).tobytes()
    sizes = np.searchsorted(_LIMITS, numbers, side="right") + 1
    place = _places(np.cumsum(sizes) - sizes, sizes)
    raw = np.repeat(numbers, sizes) >> (7 * place) & 0x7F
    raw[place < np.repeat(sizes, sizes) - 1] |= 0x80
    return raw.astype(np.uint8).tobytes()


def _numbers(raw: bytes) -> NDArray[np.int64]:
    """The numbers of LEB128 bytes; each ends with the first byte below 128."""
    return _placed(raw)[0]


def _placed(raw: bytes) -> tuple[NDArray[np.int64], NDArray[np.intp]]:
    """The numbers of LEB128 bytes, and the place of the last byte of each."""
    data = np.frombuffer(raw, np.uint8)
    if raw and raw.isascii():  # a byte each, where nothing was counted often
        return data.astype(np.int64), np.arange(len(data))
    ends = np.flatnonzero(data < 0x80)
    complete = len(ends) > 0 and ends[-1] == len(data) - 1
    _require(complete, "expected more counts, the text ends")
    sizes = np.diff(ends, prepend=-1)
    # A tenth byte would be shifted out of the 64 bits without a word.
    longest = int(sizes.max())
    _require(longest <= _BYTES, "expected counts below 2**62")
    # The last byte of a number is its highest; those before it are appended to all that have them.
    numbers = data[ends].astype(np.int64)
    (longer,) = np.nonzero(sizes > 1)
    padded = bool((numbers[longer] == 0).any())
    for place in range(1, longest):
        numbers[longer] = numbers[longer] << 7 | (data[ends[longer] - place] & 0x7F)
        longer = longer[sizes[longer] > place + 1]
    _require(bool(numbers.max() < LARGEST_COUNT), "expected counts below 2**62")
    _require(not padded, "expected the shortest form of each number")
    return numbers, ends


def _places(starts: NDArray[np.int64], sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """The place of every byte in its number, from 0."""
    places: NDArray[np.int64] = np.arange(sizes.sum()) - np.repeat(starts, sizes)
    return places


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    left = len(text) % 4
    try:
        raw = binascii.a2b_base64(text + _PADDING[left], strict_mode=True)
    except (ValueError, binascii.Error) as error:
        raise ContractError(f"histograms: expected base64; {error}") from error
    # base64 ignores the spare bits of its last character. One content has one text, so that two
    # texts that differ never mean the same; nor is it padded.
    _require(not text or text[-1] in _LAST[left], "expected the shortest form in base64")
    return raw


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ContractError(f"histograms: {message}")
