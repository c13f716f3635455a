"""Zstandard, from the standard library where it has it (Python 3.14), else from its backport."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Final

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

__all__ = ["decompressed", "zstd"]

PIECE: Final = 1 << 16
"""Most bytes that are decompressed at once."""


def decompressed(chunks: Iterator[bytes], window_log: int) -> Iterator[bytes]:
    """Yield the content of a zstd frame that comes in chunks, in pieces of bounded size.

    Args:
        chunks: the frame.
        window_log: largest window that it may ask for, as the logarithm of its bytes.

    Raises:
        ZstdError: it is none, or asks for more.
        EOFError: it ends early.
    """
    limits: dict[int, int] = {zstd.DecompressionParameter.window_log_max: window_log}
    decompressor = zstd.ZstdDecompressor(options=limits)
    for chunk in chunks:
        raw = chunk
        while not decompressor.eof:
            piece = decompressor.decompress(raw, max_length=PIECE)
            if piece:
                yield piece
            raw = b""
            if decompressor.needs_input:
                break
    if not decompressor.eof:
        raise EOFError("a zstd frame ended early")
