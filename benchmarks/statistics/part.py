"""What a part of the campaign is and gives."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One measured claim. ``met`` is ``None`` where there is no goal."""

    measured: str
    goal: str
    found: str
    met: bool | None = None


@dataclass(frozen=True)
class Effort:
    """How much is simulated: ``runs(n)`` of ``n`` in a full campaign."""

    share: float = 1.0

    def runs(self, full: int) -> int:
        """Simulated runs, at least 20."""
        return max(20, round(full * self.share))


FULL = Effort()
QUICK = Effort(0.02)


@dataclass(frozen=True)
class Part:
    """One subject: its title, what is simulated and how, and what does it."""

    title: str
    about: str
    run: Callable[[Effort], list[Row]]


def rate(hits: int, runs: int) -> str:
    """A share with its 95% Wilson interval."""
    low, high = wilson(hits, runs)
    return f"{hits / runs:.2%} ({low:.2%} to {high:.2%}, {runs:,} runs)"


def wilson(hits: int, runs: int) -> tuple[float, float]:
    """95% interval of a share. Source: E. Wilson, JASA 22, 1927."""
    z, share = 1.96, hits / runs
    middle = (share + z * z / (2 * runs)) / (1 + z * z / runs)
    half = z * math.sqrt(share * (1 - share) / runs + z * z / (4 * runs**2)) / (1 + z * z / runs)
    return max(0.0, middle - half), min(1.0, middle + half)
