"""Texts that recur among millions, in bounded memory: eight bytes for each. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

MULTIPLIER: Final = np.uint64(0x9E3779B97F4A7C15)
MOST: Final = 3
"""Texts that are named."""

MOST_SUSPECTS: Final = 100_000
"""Hashes whose texts are compared; where more recur, some of these texts surely do."""


def repeated(read: Callable[[], Iterable[pa.Array]]) -> list[str]:
    """Return up to three texts that stand more than once.

    Args:
        read: gives all of them, as arrays of texts without null; called twice if hashes recur.
    """
    hashes = np.concatenate([hashed(texts) for texts in read()] or [np.empty(0, np.uint64)])
    hashes.sort()
    suspects = np.unique(hashes[1:][hashes[1:] == hashes[:-1]])[:MOST_SUSPECTS]
    if not len(suspects):
        return []
    counts: Counter[str] = Counter()
    for texts in read():
        where = np.flatnonzero(np.isin(hashed(texts), suspects))
        counts.update(texts.take(pa.array(where)).to_pylist())
    # Two texts of one hash are no repetition: the texts themselves decide.
    return [text for text, count in counts.most_common(MOST) if count > 1]


def hashed(texts: pa.Array) -> NDArray[np.uint64]:
    """Return a hash of each text: a polynomial of its bytes and its length, modulo 2**64."""
    texts = texts.cast(pa.large_string())
    if not len(texts):
        return np.empty(0, np.uint64)
    _, offsets_buffer, data_buffer = texts.buffers()
    offsets = np.frombuffer(offsets_buffer, np.int64)[texts.offset :][: len(texts) + 1]
    lengths = np.diff(offsets)
    raw = np.frombuffer(data_buffer or b"", np.uint8)[offsets[0] : offsets[-1]]
    starts = np.repeat(offsets[:-1] - offsets[0], lengths)
    place = np.arange(len(raw)) - starts
    terms = (raw.astype(np.uint64) + np.uint64(1)) * _powers(lengths)[place]
    # An empty text has no terms: reduceat would give it the next one's.
    sums = np.zeros(len(texts), np.uint64)
    filled = np.flatnonzero(lengths)
    if len(filled):
        sums[filled] = np.add.reduceat(terms, (offsets[:-1] - offsets[0])[filled])
    return sums * MULTIPLIER + lengths.astype(np.uint64)


def _powers(lengths: NDArray[Any]) -> NDArray[np.uint64]:
    factors = np.full(max(1, int(lengths.max(initial=0))), MULTIPLIER)
    factors[0] = 1
    return np.multiply.accumulate(factors)
