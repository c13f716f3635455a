"""Making patches (:mod:`edge_sdk.contract.patch`) of files, with and without a base.

Tensors of an ONNX file are compared with the base's of the same name, wherever those stand: what is
equal is copied, what differs is stored as differences of words or, if those are no smaller, as it
is. Everything else is looked for in the base as runs of bytes. Files are mapped, never read whole.
"""

from __future__ import annotations

import contextlib
import hashlib
import mmap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
from numpy.typing import NDArray

from cloud_hub.forms.matching import PIECE, Matcher
from cloud_hub.forms.tensors import Tensor, tensors
from edge_sdk.contract.manifest import FileRef
from edge_sdk.contract.patch import (
    BLOCK_WORDS,
    COPY,
    DATA,
    DIFF,
    WINDOW_LOG,
    PatchHeader,
    Segment,
)
from edge_sdk.system.compression import zstd

Bytes = NDArray[np.uint8]

BEST_LEVEL, LEVEL = 19, 9
BEST_BYTES: Final = 4 << 20
"""Files up to it are compressed as well as zstd can; larger ones at :data:`LEVEL`, at ten times the
speed and a hundredth more bytes, so that a hub's core is busy for seconds and not for minutes.
"""

SMALLEST_LOG: Final = 10
SAMPLE_LEVEL: Final = 1
SAMPLE: Final = 1 << 19
"""Bytes from the middle of a tensor on which its differences are weighed against itself."""

GAP_BYTES: Final = 64 << 20
"""Longest stretch outside of tensors that is looked for in the base; beyond it the table of hashes
would take more memory than a hub may spend on a file in the background."""


@dataclass(frozen=True)
class _Files:
    """The bytes of both files; those of the base are empty without one."""

    base: Bytes
    new: Bytes
    matcher: Matcher


def make_patch(base: Path | None, new: Path, patch: Path) -> PatchHeader:
    """Write the patch that makes ``new`` of ``base``.

    Args:
        base: file that devices have; ``None`` for a patch that needs none.
        new: file that they need.
        patch: file to write.

    Raises:
        OSError: a file cannot be read or written.
    """
    with contextlib.ExitStack() as stack:
        old = _mapped(base, stack)
        files = _Files(old, _mapped(new, stack), Matcher(old))
        header = PatchHeader(_ref(files.new), _ref(files.base) if base is not None else None)
        with patch.open("wb") as file:
            options = _options(len(files.new))
            compressor = zstd.ZstdCompressor(options=options)
            file.write(compressor.compress(header.to_bytes()))
            for segment in _merged(_segments(files, has_base=base is not None)):
                _write(segment, files, compressor, file)
            file.write(compressor.flush())
    return header


def _options(size: int) -> dict[int, int]:
    """Return how zstd is to compress a file of ``size`` bytes."""
    log = max(SMALLEST_LOG, size.bit_length())
    options: dict[int, int] = {zstd.CompressionParameter.window_log: min(WINDOW_LOG, log)}
    if size > BEST_BYTES:
        return {**options, zstd.CompressionParameter.compression_level: LEVEL}
    # Tables as large as the file asks for: by itself the level clears 150 MB of them each time.
    return {
        **options,
        zstd.CompressionParameter.compression_level: BEST_LEVEL,
        zstd.CompressionParameter.hash_log: min(22, log),
        zstd.CompressionParameter.chain_log: min(24, log + 1),
    }


def _mapped(path: Path | None, stack: contextlib.ExitStack) -> Bytes:
    if path is None or path.stat().st_size == 0:
        return np.zeros(0, np.uint8)
    file = stack.enter_context(path.open("rb"))
    # Unmapped with the last array that refers to it.
    return np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), np.uint8)


def _ref(raw: Bytes) -> FileRef:
    return FileRef(len(raw), hashlib.sha256(raw.data).hexdigest())


@dataclass(frozen=True)
class _Piece:
    """A segment, and where its bytes begin in the new file."""

    start: int
    segment: Segment


def _segments(files: _Files, *, has_base: bool) -> Iterator[_Piece]:
    """Yield the segments of the new file in its order."""
    old = _Pairs(files.base, tensors(memoryview(files.base.data)) if has_base else [])
    at = 0
    for tensor in tensors(memoryview(files.new.data)):
        if tensor.start < at:
            continue  # one within another: not a file that any exporter writes
        yield from _gap(files, at, tensor.start, has_base=has_base)
        yield from _tensor(files, tensor, old.of(files.new, tensor))
        at = tensor.stop
    yield from _gap(files, at, len(files.new), has_base=has_base)


class _Pairs:
    """The base's tensors: one with the same content if there is one, else that of the name.

    Content first: exporters number tensors, and a layer that was inserted renames all behind it.
    """

    def __init__(self, raw: Bytes, found: list[Tensor]) -> None:
        self._by_name = {tensor.name: tensor for tensor in found}
        self._by_content = {_content(raw, tensor): tensor for tensor in found}

    def of(self, raw: Bytes, tensor: Tensor) -> Tensor | None:
        """Return the counterpart of a tensor of the new file, whose bytes are ``raw``."""
        same = self._by_content.get(_content(raw, tensor))
        named = self._by_name.get(tensor.name)
        return same or (named if named is not None and named.width == tensor.width else None)


def _content(raw: Bytes, tensor: Tensor) -> bytes:
    return hashlib.sha256(raw[tensor.start : tensor.stop].data).digest()


def _tensor(files: _Files, tensor: Tensor, old: Tensor | None) -> Iterator[_Piece]:
    """A tensor as a copy, as differences, as it is; where it grew, the rest as it is."""
    common = min(tensor.length, old.length) if old is not None else 0
    if old is not None and common:
        middle = tensor.start + common
        a, b = files.base[old.start : old.start + common], files.new[tensor.start : middle]
        if _equal(a, b):
            yield _Piece(tensor.start, Segment(COPY, 1, old.start, common))
        else:
            kind = DIFF if _worth(a, b, tensor.width) else DATA
            offset = old.start if kind == DIFF else 0
            yield _Piece(tensor.start, Segment(kind, tensor.width, offset, common))
    if tensor.length > common:
        rest = Segment(DATA, tensor.width, 0, tensor.length - common)
        yield _Piece(tensor.start + common, rest)


def _equal(a: Bytes, b: Bytes) -> bool:
    """Return whether two arrays of one length are equal, without another one of that length."""
    pieces = range(0, len(a), PIECE)
    return all(np.array_equal(a[at : at + PIECE], b[at : at + PIECE]) for at in pieces)


def _worth(old: Bytes, new: Bytes, width: int) -> bool:
    """Return whether differences are smaller than the words themselves, judged by the middle."""
    count = min(len(new), SAMPLE)
    start = (len(new) - count) // 2 // width * width
    a, b = old[start : start + count], new[start : start + count]
    diff, data = _shuffled(_folded(a, b, width), width), _shuffled(b, width)
    return _size(diff) < _size(data)


def _size(raw: bytes) -> int:
    return len(zstd.compress(raw, SAMPLE_LEVEL))


def _gap(files: _Files, start: int, stop: int, *, has_base: bool) -> Iterator[_Piece]:
    """Bytes outside of tensors: runs that the base has, and what stands between them."""
    at = start
    if has_base and stop - start <= GAP_BYTES and len(files.base) <= GAP_BYTES:
        for run in files.matcher.runs(files.new, start, stop):
            if run.start > at:
                yield _Piece(at, Segment(DATA, 1, 0, run.start - at))
            yield _Piece(run.start, Segment(COPY, 1, run.offset, run.length))
            at = run.start + run.length
    if at < stop:
        yield _Piece(at, Segment(DATA, 1, 0, stop - at))


def _merged(pieces: Iterable[_Piece]) -> Iterator[_Piece]:
    """Join neighbours that say the same."""
    last: _Piece | None = None
    for piece in pieces:
        if last is None:
            last = piece
            continue
        a, b = last.segment, piece.segment
        follows = a.kind != COPY or a.offset + a.length == b.offset
        if a.kind == b.kind != DIFF and a.width == b.width and follows:
            last = _Piece(last.start, Segment(a.kind, a.width, a.offset, a.length + b.length))
        else:
            yield last
            last = piece
    if last is not None:
        yield last


def _write(piece: _Piece, files: _Files, compressor: Any, file: IO[bytes]) -> None:
    segment = piece.segment
    file.write(compressor.compress(segment.to_bytes()))
    if segment.kind == COPY:
        return
    step = BLOCK_WORDS * segment.width
    for done in range(0, segment.length, step):
        count = min(step, segment.length - done)
        body = files.new[piece.start + done : piece.start + done + count]
        if segment.kind == DIFF:
            old = files.base[segment.offset + done : segment.offset + done + count]
            body = _folded(old, body, segment.width)
        file.write(compressor.compress(_shuffled(body, segment.width)))


def _folded(old: Bytes, new: Bytes, width: int) -> Bytes:
    """Return the differences of the words as words: 0, -1, 1, -2, … as 0, 1, 2, 3 …."""
    # Slices of a mapped file lie at any offset; arithmetic on words wants them aligned.
    a = np.frombuffer(old.tobytes(), f"<u{width}")
    b = np.frombuffer(new.tobytes(), f"<u{width}")
    difference = (b - a).view(f"<i{width}")
    folded: Bytes = ((difference << 1) ^ (difference >> (8 * width - 1))).view(np.uint8)
    return folded


def _shuffled(raw: Bytes, width: int) -> bytes:
    return raw.tobytes() if width == 1 else raw.reshape(-1, width).T.tobytes()
