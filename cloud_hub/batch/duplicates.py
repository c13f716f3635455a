"""Texts that recur among millions, in bounded memory: eight bytes for each. Pure."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cloud_hub.deferred.libraries import pa

MULTIPLIER: Final = np.uint64(0x9E3779B97F4A7C15)
MIXER: Final = np.uint64(0xFF51AFD7ED558CCD)
WORD: Final = 8
MASKS: Final = np.array([(1 << 8 * size) - 1 for size in range(WORD + 1)], np.uint64)
"""Of the first bytes of a little-endian word, by their number."""

MOST: Final = 3
"""Texts that are named."""

MOST_SUSPECTS: Final = 100_000
"""Hashes whose texts are compared; where more recur, some of these texts surely do."""


Read = Callable[[], "Iterable[pa.Array]"]
"""Gives some texts, as arrays without null."""


def repeated(parts: Sequence[Read], threads: int = 1) -> list[str]:
    """Return up to three texts that stand more than once.

    Args:
        parts: give all of them together; each is called twice if hashes recur.
        threads: that read at once.
    """
    with ThreadPoolExecutor(threads, "hashes") as pool:
        hashes = np.concatenate([np.empty(0, np.uint64), *pool.map(_all_hashed, parts)])
    hashes.sort()
    suspects = np.unique(hashes[1:][hashes[1:] == hashes[:-1]])[:MOST_SUSPECTS]
    if not len(suspects):
        return []
    counts: Counter[str] = Counter()
    for texts in itertools.chain.from_iterable(read() for read in parts):
        where = np.flatnonzero(np.isin(hashed(texts), suspects))
        counts.update(texts.take(pa.array(where)).to_pylist())
    # Two texts of one hash are no repetition: the texts themselves decide.
    return [text for text, count in counts.most_common(MOST) if count > 1]


def _all_hashed(read: Read) -> NDArray[np.uint64]:
    return np.concatenate([np.empty(0, np.uint64), *(hashed(texts) for texts in read())])


def hashed(texts: pa.Array) -> NDArray[np.uint64]:
    """Return a hash of each text: its length and its bytes, eight at a time."""
    if not len(texts):
        return np.empty(0, np.uint64)
    _, offsets_buffer, data_buffer = texts.cast(pa.string()).buffers()
    offsets = np.frombuffer(offsets_buffer, np.int32)[texts.offset :][: len(texts) + 1]
    starts, lengths = offsets[:-1].astype(np.int64) - offsets[0], np.diff(offsets)
    size = int(offsets[-1] - offsets[0])
    padded = np.zeros(size + WORD, np.uint8)
    padded[:size] = np.frombuffer(data_buffer or b"", np.uint8)[offsets[0] : offsets[-1]]
    # The eight bytes from every byte on: a word need not begin at a multiple of eight.
    words = np.lib.stride_tricks.as_strided(padded, (size + 1, WORD), (1, 1))
    hashes = lengths.astype(np.uint64) * MULTIPLIER
    for at in range(0, int(lengths.max()), WORD):
        left = np.clip(lengths - at, 0, WORD)
        word = words[np.where(left > 0, starts + at, size)].view(np.uint64)[:, 0]
        # Of a text that has ended nothing is taken, and its hash goes on all the same.
        hashes = (hashes ^ (word & MASKS[left])) * MIXER
        hashes ^= hashes >> np.uint64(32)
    return hashes
