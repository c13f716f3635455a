"""A clock that stands still until a test moves it: no window ends behind a test's back."""

from __future__ import annotations

import time


class Clock:
    """Unix seconds; ``now`` is a moment of today unless a test says which."""

    def __init__(self, now: float | None = None) -> None:
        self.now = time.time() if now is None else now

    def __call__(self) -> float:
        return self.now
