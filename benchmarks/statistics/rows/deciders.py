"""Deciders between two arms side by side: ours, the usual tests, and what is plugged in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from benchmarks.statistics.part import Effort, Part, Row, exact_rate
from benchmarks.statistics.plugged.deciders import DECIDERS
from benchmarks.statistics.plugged.protocol import named
from benchmarks.statistics.plugged.streams import ARMS, Arms

PART_NUMBER: Final = 47


def run(effort: Effort) -> list[Row]:
    """Every decider on every fleet."""
    every = {**DECIDERS, **named(effort.plugged)}
    rows: list[Row] = []
    for number, arms in enumerate(effort.cells(ARMS, 2)):
        runs = effort.runs(500, least=40)
        drawn = [arms.draw(effort.random(PART_NUMBER, number, i)) for i in range(runs)]
        verdicts = {
            name: np.array([decide(*each)[-1] for each in drawn]) for name, decide in every.items()
        }
        rows += _rows(arms, verdicts)
    return rows


def _rows(arms: Arms, verdicts: dict[str, np.ndarray]) -> Iterator[Row]:
    for name, found in verdicts.items():
        if arms.gain:
            told = f"{exact_rate(int((found > 0).sum()), len(found))}, {(found < 0).sum()} worse"
            yield Row(f"{arms.name}: {name}: called better", "", told)
        else:
            false = exact_rate(int((found != 0).sum()), len(found))
            yield Row(f"{arms.name}: {name}: false winners", "", false)


PART = Part(
    "Deciders side by side",
    "The protocol is one function, `decide(control, candidate)`; see `benchmarks/statistics/"
    "plugged`. Devices with 20 labels a look on average, 80% of them right, ten looks; the first "
    "verdict counts.",
    run,
    quick=True,
)
