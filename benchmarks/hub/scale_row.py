"""One row of the table in docs/SCALE.md, and what a group of rows is measured with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class ScaleRow:
    """One row.

    Attributes:
        name: that other runs know it by.
        what: was measured.
        goal: in words.
        found: in words; empty where nobody has measured it yet.
        met: whether the goal was; ``None`` where it says nothing.
        figures: numbers from which a picture is drawn.
    """

    name: str
    what: str
    goal: str
    found: str = ""
    met: bool | None = None
    figures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Bench:
    """What a group is given.

    Attributes:
        folder: empty, for its hubs; gone afterwards.
        quick: only see that it works; the figures say little.
        peers: folder of an environment with MLflow, if there is one.
    """

    folder: Path
    quick: bool = False
    peers: Path | None = None

    @property
    def seconds(self) -> float:
        """Return the seconds of one load."""
        return 2.0 if self.quick else 10.0


Measure = Callable[[Bench], list[ScaleRow]]
"""Measures the rows of one group."""
