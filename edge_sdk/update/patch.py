"""Making a file of a patch, with little memory.

Invariants:

* The result appears whole and with the digest that the caller asks for, or not at all.
* However the patch was made, at most :data:`INPUT` bytes of it, one block of words and zstd's
  window (4 MiB, see :mod:`edge_sdk.contract.patch`) are in memory, and no more is written than the
  result is long.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from edge_sdk.contract.errors import ContractError
from edge_sdk.contract.manifest import FileRef
from edge_sdk.contract.patch import (
    BLOCK_WORDS,
    COPY,
    DIFF,
    PREFIX,
    SEGMENT,
    WINDOW_LOG,
    PatchHeader,
    Segment,
    header_length,
    parse_header,
    parse_segment,
)
from edge_sdk.errors import PatchError, reason_of
from edge_sdk.system.compression import zstd
from edge_sdk.system.files import fsync_directory, sha256_file

INPUT: Final = 1 << 16
COPIED: Final = 1 << 18
"""Bytes that are copied at once."""


def apply_patch(patch: Path, base: Path | None, wanted: FileRef, destination: Path) -> None:
    """Make ``destination`` of a patch.

    Args:
        patch: the file that came.
        base: the file that it is made for; ``None`` for a patch that needs none.
        wanted: length and SHA-256 of the result, from signed metadata.
        destination: its place; a file beside it, ``….made``, holds it until it is whole.

    Raises:
        PatchError: the patch or the base is not what it should be, or the disk fails; there is
            nothing at ``destination``.
    """
    made = destination.with_name(destination.name + ".made")
    try:
        with patch.open("rb") as file:
            _make(_PatchContent(file), base, wanted, made)
        made.replace(destination)
        fsync_directory(destination.parent)
    except (OSError, ValueError, ContractError, zstd.ZstdError) as error:
        raise PatchError(f"{patch.name}: cannot be applied; {reason_of(error)}") from error
    finally:
        made.unlink(missing_ok=True)


class _PatchContent:
    """The content of a zstd frame, read as far as it is asked for and no further."""

    def __init__(self, file: BinaryIO) -> None:
        limits: dict[int, int] = {zstd.DecompressionParameter.window_log_max: WINDOW_LOG}
        self._decompressor = zstd.ZstdDecompressor(options=limits)
        self._file = file

    def read(self, count: int) -> bytes:
        """Return ``count`` bytes; raises ContractError if there are fewer."""
        parts, left = [], count
        while left:
            part = self._more(left)
            parts.append(part)
            left -= len(part)
        return b"".join(parts)

    def end(self) -> None:
        """Raise ContractError if anything follows."""
        while not self._decompressor.eof:
            if self._more(1):
                raise ContractError("patch: it makes more than its result")

    def _more(self, most: int) -> bytes:
        wants, raw = self._decompressor.needs_input, b""
        if wants and not self._decompressor.eof:
            raw = self._file.read(INPUT)
        if self._decompressor.eof or (wants and not raw):
            raise ContractError("patch: it is truncated")
        return self._decompressor.decompress(raw, max_length=most)


def _make(content: _PatchContent, base: Path | None, wanted: FileRef, made: Path) -> None:
    header = parse_header(content.read(header_length(content.read(PREFIX.size))))
    _check(header, base, wanted)
    digest, room = hashlib.sha256(), wanted.length
    with open(base or os.devnull, "rb") as old, made.open("wb") as new:  # noqa: PTH123
        while room:
            raw = content.read(SEGMENT.size)
            segment = parse_segment(raw, header.base.length if header.base else 0, room)
            for block in _blocks(segment, content, old):
                digest.update(block)
                new.write(block)
            room -= segment.length
        content.end()
        new.flush()
        os.fsync(new.fileno())
    if digest.hexdigest() != wanted.sha256:
        raise ContractError("patch: the result has another SHA-256 than the signed one")


def _check(header: PatchHeader, base: Path | None, wanted: FileRef) -> None:
    if header.result != wanted:
        raise ContractError("patch: it makes another file than the signed one")
    if (header.base is None) != (base is None):
        raise ContractError("patch: it is made for another base")
    if base is None or header.base is None:
        return
    # Read whole before the first byte is made: a bit that flipped on this disk is told as that.
    if (base.stat().st_size, sha256_file(base)) != (header.base.length, header.base.sha256):
        raise ContractError(f"patch: {base.name} here is not the file that it is made for")


def _blocks(segment: Segment, content: _PatchContent, base: BinaryIO) -> Iterator[bytes]:
    """Yield the bytes that a segment stands for, in pieces that fit in memory."""
    base.seek(segment.offset)
    step = COPIED if segment.kind == COPY else BLOCK_WORDS * segment.width
    for start in range(0, segment.length, step):
        count = min(step, segment.length - start)
        old = base.read(count) if segment.kind in (COPY, DIFF) else b""
        if segment.kind == COPY:
            yield old
            continue
        body = np.frombuffer(content.read(count), np.uint8)
        words = np.ascontiguousarray(body.reshape(segment.width, -1).T).view(f"<u{segment.width}")
        if segment.kind == DIFF:
            words = _unfolded(words.ravel()) + np.frombuffer(old, words.dtype)
        yield words.tobytes()


def _unfolded(words: NDArray[Any]) -> NDArray[Any]:
    """Return the differences, modulo 2 to the power of their bits, that folded words stand for."""
    one = words.dtype.type(1)
    signs: NDArray[Any] = np.zeros_like(words) - (words & one)
    magnitudes: NDArray[Any] = words >> one
    differences: NDArray[Any] = magnitudes ^ signs
    return differences
