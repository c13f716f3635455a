"""Memory that is free, returned to the system before more is taken."""

from __future__ import annotations

import contextlib
import ctypes
import gc
from collections.abc import Iterator
from typing import Final

LARGE: Final = 16 << 20
"""Bytes of a model from which on trimming is worth the time that a collection takes."""

BLOCK: Final = 128 << 10
"""Bytes of a block from which on it is mapped by itself while a large model is converted."""

LARGEST_BLOCK: Final = 32 << 20
"""Bytes up to which glibc would keep what is freed, once it has seen large blocks freed."""

_MMAP_THRESHOLD: Final = -3
"""``M_MMAP_THRESHOLD`` of ``malloc.h``."""


def trim(size: int) -> None:
    """Collect rings of objects, which quantizers leave behind, and return free memory.

    Args:
        size: bytes of the model that was worked on; after a small one nothing is done.
    """
    if size < LARGE:
        return
    gc.collect()
    with contextlib.suppress(AttributeError, OSError, TypeError):  # no glibc
        ctypes.CDLL(None).malloc_trim(0)


@contextlib.contextmanager
def large_blocks_mapped(size: int) -> Iterator[None]:
    """Have large blocks returned to the system as soon as they are free.

    glibc learns to keep blocks of up to 32 MiB for later: of a network of many layers that is all
    of its weights, and the runtime frees each of them two or three times while it loads a model. A
    ResNet-50 that is loaded takes 330 MiB so, and 160 MiB with its blocks mapped.

    Args:
        size: bytes of the model that is worked on; for a small one nothing is changed.
    """
    if size < LARGE:
        yield
        return
    _map_from(BLOCK)
    try:
        yield
    finally:
        _map_from(LARGEST_BLOCK)  # where it ends by itself; "as before" cannot be asked for


def _map_from(size: int) -> None:
    with contextlib.suppress(AttributeError, OSError, TypeError):  # no glibc
        ctypes.CDLL(None).mallopt(_MMAP_THRESHOLD, size)
