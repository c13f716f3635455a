"""Where a prediction runs: in the event loop, or on a thread. Pure."""

from __future__ import annotations

import math
from typing import Final

WEIGHT: Final = 0.2
"""Share of the newest duration in what the next one is expected to take."""

LONGEST: Final = 500e-6
"""Seconds that a prediction in the event loop may take, however slow threads are here."""


class InlineRule:
    """Says whether the next prediction is expected to take less than a hop to a thread and back.

    One slow call sends the next ones, some dozens, to a thread: a loop that stood still for a
    moment does not do so again and again.

    Args:
        hop: seconds that a call of a function that does nothing takes by way of a thread.
    """

    def __init__(self, hop: float) -> None:
        self.hop = min(hop, LONGEST)
        self.expected = math.inf

    def runs_inline(self) -> bool:
        """Return whether the next prediction runs in the event loop."""
        return self.expected < self.hop

    def took(self, seconds: float) -> None:
        """Note the duration of a prediction, wherever it ran."""
        if self.expected == math.inf:
            self.expected = seconds
        else:
            self.expected += WEIGHT * (seconds - self.expected)
