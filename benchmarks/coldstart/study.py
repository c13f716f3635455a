"""One study of the benchmark: its title, what is done and how, and what does it.

A study is a module of this folder with a ``STUDY``. Its rows are figures beside goals that were set
beforehand (``benchmarks.statistics.part.Row``); its tables are Markdown, for curves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.coldstart.peers.running import PEERS
from benchmarks.statistics.part import Row


@dataclass(frozen=True)
class Work:
    """How much is measured, from which seed and where.

    Attributes:
        folder: for releases and state; gone when the benchmark ends.
        seed: of everything that is drawn.
        quick: a few seconds for each study, for tests.
        peers: environment of river, seglearn and obp.
    """

    folder: Path
    seed: int = 17
    quick: bool = False
    peers: Path = PEERS

    def random(self, *key: int) -> np.random.Generator:
        """A generator of its own for each ``key`` (numbers of study, unit, run), from the seed."""
        return np.random.default_rng([self.seed, *key])


@dataclass(frozen=True)
class StudyResult:
    """Rows with goals, and tables (Markdown) that show more than the rows say."""

    rows: Sequence[Row]
    tables: Sequence[str] = ()
    pictures: dict[str, str] = field(default_factory=dict)
    """SVG by file name; they are written beside the page, and shown in it."""


@dataclass(frozen=True)
class Study:
    """One subject; ``needs_peers``: it is left out, in words, where the environment is missing."""

    title: str
    about: str
    measure: Callable[[Work], StudyResult]
    needs_peers: bool = False
