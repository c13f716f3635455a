"""Memory that is free, given back to the system before more is taken."""

from __future__ import annotations

import contextlib
import ctypes
import gc
from typing import Final

LARGE: Final = 16 << 20
"""Bytes of a model from which on giving back is worth the time that a collection takes."""


def give_back(size: int) -> None:
    """Collect rings of objects, which quantizers leave behind, and return free memory.

    glibc keeps what was freed in pieces below 32 MiB: of a large model that is most.

    Args:
        size: bytes of the model that was worked on; after a small one nothing is done.
    """
    if size < LARGE:
        return
    gc.collect()
    with contextlib.suppress(AttributeError, OSError, TypeError):  # no glibc
        ctypes.CDLL(None).malloc_trim(0)
