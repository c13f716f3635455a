"""Memory that is free, given back to the system before more is taken."""

from __future__ import annotations

import contextlib
import ctypes
import gc


def give_back() -> None:
    """Collect rings of objects, which quantizers leave behind, and return free memory.

    glibc keeps what was freed in pieces below 32 MiB: of a large model that is most.
    """
    gc.collect()
    with contextlib.suppress(AttributeError, OSError, TypeError):  # no glibc
        ctypes.CDLL(None).malloc_trim(0)
