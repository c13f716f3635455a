"""Waiting for something that happens elsewhere, however slow the machine is."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, TypeVar

T = TypeVar("T")

PATIENCE: Final = 300.0
"""Seconds after which it is taken never to happen; only a test that fails waits so long."""


def wait_for(reached: Callable[[], T], what: str, *, every: float = 0.02) -> T:
    """The first answer of ``reached`` that is true; fails with ``what`` if none ever is."""
    deadline = time.monotonic() + PATIENCE
    while not (found := reached()):
        assert time.monotonic() < deadline, f"waited {PATIENCE:.0f} s for {what}"
        time.sleep(every)
    return found
