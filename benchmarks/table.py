"""The table of goals: what was measured, against what, and whether it is met."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Line:
    """One measured goal; ``value`` meets it when it is at most ``goal`` (at least: ``least``)."""

    what: str
    measured: str
    against: str
    value: float
    goal: float
    least: bool = False
    unit: str = "×"

    @property
    def met(self) -> bool:
        """Whether the goal is reached."""
        return self.value >= self.goal if self.least else self.value <= self.goal


def markdown(lines: Sequence[Line]) -> str:
    """A table with one row for each goal."""
    head = ["| measured | here | against | result | goal | met |", "|---|---|---|---:|---:|---|"]
    return "\n".join(head + [_row(line) for line in lines])


def _row(line: Line) -> str:
    sign, met = "≥" if line.least else "≤", "yes" if line.met else "**no**"
    result, goal = f"{line.value:.2f}{line.unit}", f"{sign} {line.goal:g}{line.unit}"
    return f"| {line.what} | {line.measured} | {line.against} | {result} | {goal} | {met} |"
