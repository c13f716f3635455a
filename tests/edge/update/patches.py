"""Patches written by the book (:mod:`edge_sdk.contract.patch`), right ones and wrong ones."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from edge_sdk.contract.manifest import FileRef
from edge_sdk.contract.patch import BLOCK_WORDS, COPY, DIFF, PatchHeader, Segment
from edge_sdk.system.compression import zstd


def ref(raw: bytes) -> FileRef:
    return FileRef(len(raw), hashlib.sha256(raw).hexdigest())


def body_of(segment: Segment, at: int, base: bytes, new: bytes) -> bytes:
    """What stands behind the head of the segment that begins at ``at`` of the new file."""
    if segment.kind == COPY:
        return b""
    raw = new[at : at + segment.length]
    width = segment.width
    words = [int.from_bytes(raw[i : i + width], "little") for i in range(0, len(raw), width)]
    if segment.kind == DIFF:
        old = base[segment.offset : segment.offset + segment.length]
        before = [int.from_bytes(old[i : i + width], "little") for i in range(0, len(raw), width)]
        words = [folded(b - a, width) for a, b in zip(before, words, strict=True)]
    blocks = [words[i : i + BLOCK_WORDS] for i in range(0, len(words), BLOCK_WORDS)]
    return b"".join(
        bytes(word >> 8 * place & 255 for word in block)
        for block in blocks
        for place in range(width)
    )


def folded(difference: int, width: int) -> int:
    bits = 8 * width
    signed = (difference + (1 << bits - 1)) % (1 << bits) - (1 << bits - 1)
    return (2 * signed if signed >= 0 else -2 * signed - 1) % (1 << bits)


def content(base: bytes | None, new: bytes, segments: Sequence[Segment]) -> bytes:
    parts = [PatchHeader(ref(new), ref(base) if base is not None else None).to_bytes()]
    at = 0
    for segment in segments:
        parts += [segment.to_bytes(), body_of(segment, at, base or b"", new)]
        at += segment.length
    return b"".join(parts)


def frame(*parts: bytes, **options: int) -> bytes:
    chosen: dict[int, int] = {
        zstd.CompressionParameter[name]: value for name, value in options.items()
    }
    compressor = zstd.ZstdCompressor(options=chosen)
    return b"".join(map(compressor.compress, parts)) + compressor.flush()


def noise(count: int, seed: int = 1) -> bytes:
    return np.random.default_rng(seed).bytes(count)
