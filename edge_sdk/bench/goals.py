"""The goals of the runtime, by row of their table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Goal:
    """Limit of a figure: at most ``limit``, or with ``at_least`` at least."""

    row: int
    what: str
    limit: float
    unit: str
    at_least: bool = False


DEFAULT: Final = Goal(1, "one row, against session.run with default options", 0.75, "x")
TREES: Final = Goal(1, "one row, against session.run with default options", 1.0, "x")
"""Of ensembles of trees, whose default run uses all cores."""
ONE_THREAD: Final = Goal(1, "one row, against session.run with one thread", 1.0, "x")
BOUND: Final = Goal(2, "one row, against prebound IOBinding alone", 2.0, "x")
HIT: Final = Goal(4, "a pack hit end to end, p50", 4.0, "µs")
OPEN: Final = Goal(4, "opening a pack", 1.0, "ms")
ENTRY: Final = Goal(4, "a pack entry of ten float32 outputs", 57.0, "bytes")
GROWTH: Final = Goal(4, "a pack hit end to end, largest against smallest pack", 1.5, "x")
SQLITE: Final = Goal(4, "how much faster a pack hit is than SQLite", 3.0, "x", at_least=True)
CPU_COST: Final = Goal(5, "monitoring, processor time of a row with all folding", 1.5, "µs")
WALL_COST: Final = Goal(5, "monitoring, time of a row in a loop at full speed", 1.5, "µs")
STALL: Final = Goal(5, "one row with monitoring, p99.9", 1.0, "ms")
IMPORT: Final = Goal(6, "import, more than bare onnxruntime", 55.0, "ms")
MEMORY: Final = Goal(6, "resident memory, more than bare onnxruntime", 10.0, "MiB")
EIGHT_DEFAULT: Final = Goal(
    7, "throughput of eight threads, against session.run with default options", 1.0, "x", True
)
EIGHT_ONE: Final = Goal(
    7, "throughput of eight threads, against session.run with one thread", 1.0, "x", True
)
SHADOW_P50: Final = Goal(8, "one row with a shadow, p50, against without", 1.1, "x")
SHADOW_P99: Final = Goal(8, "one row with a shadow, p99, against without", 1.5, "x")


def batch(rows: int) -> Goal:
    """Return the goal of a batch, against the raw call with one thread, as a device uses."""
    limit = 1.1 if rows <= 1_000 else 1.05
    return Goal(3, f"a batch of {rows:,} rows, against session.run with one thread", limit, "x")
