"""Bounds of the local server: how much it takes, from how many, and how long it waits."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, fields
from typing import Final

from edge_sdk.errors import InputError
from edge_sdk.local_server.refusal import UNAVAILABLE, RequestRefused

SMALL: Final = 64 << 10
"""Bytes of a body that is not counted: those of all connections together are few."""

_NOTHING: Final = nullcontext()


@dataclass(frozen=True)
class ServerLimits:
    """Bounds of the local server; every field has a default.

    Raises:
        InputError: a value that is not a number above 0.
    """

    connections: int = 128
    """Connections at a time. A further one takes the place of the one whose client has kept the
    server waiting longest, to ask or to take its answer, or waits where none does."""

    body_bytes: int = 16 << 20
    """Bytes of one request, decompressed."""

    all_bodies_bytes: int = 64 << 20
    """Bytes of all requests together that are being received or answered; beyond it a request is
    refused for now."""

    request_seconds: float = 10.0
    """Seconds from the first byte of a request to its last, and for sending an answer."""

    idle_seconds: float = 75.0
    """Seconds that a connection may be without a request."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            whole = isinstance(field.default, int)
            fits = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
            if not fits or not 0 < value < math.inf:
                raise InputError(
                    "opening", f"{field.name}: expected a number above 0, got {value!r:.60}"
                )


class ByteBudget:
    """Bytes that all requests may hold together.

    Args:
        limit: bytes.
    """

    def __init__(self, limit: int) -> None:
        self._left = limit
        self._lock = threading.Lock()

    def taken(self, size: int) -> AbstractContextManager[None]:
        """Hold ``size`` bytes for a while.

        Raises:
            RequestRefused: there are not as many left.
        """
        return _NOTHING if size <= SMALL else self._held(size)

    @contextmanager
    def _held(self, size: int) -> Iterator[None]:
        with self._lock:
            if size > self._left:
                raise RequestRefused(UNAVAILABLE, "too many large requests at once: try again")
            self._left -= size
        try:
            yield
        finally:
            with self._lock:
                self._left += size
