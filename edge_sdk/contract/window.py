"""The window that a report is about, and its bins: sources, latencies, energy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from edge_sdk.contract.errors import require
from edge_sdk.contract.names import CONTROL, Version, check_name

Source = Literal["pack", "model", "cloud", "default"]
SOURCES: Final[tuple[Source, ...]] = ("pack", "model", "cloud", "default")

LATENCY_BINS: Final = 64
"""Latency histograms: bin ``i`` holds ``[2**(i/4), 2**((i+1)/4))`` microseconds; the first also
holds less than 1 µs, the last everything from 2**(63/4) µs (55 ms) up. So the mean of log2 of the
latency follows from them to within an eighth: they are what an experiment on latency compares."""


@dataclass(frozen=True)
class Window:
    """The predictions of one version on one arm, ``start <= t < end`` (Unix seconds)."""

    model: str
    version: str
    start: int
    end: int
    experiment: str | None = None
    arm: str = CONTROL

    def __post_init__(self) -> None:
        check_name("model", self.model)
        Version.parse(self.version)
        check_name("arm", self.arm)
        if self.experiment is not None:
            check_name("experiment", self.experiment)
        require(self.start < self.end, f"end: expected after {self.start}, got {self.end}")


MOST_JOULES: Final = 1e9
"""Of one report: a kilowatt for eleven days."""


@dataclass(frozen=True)
class Energy:
    """Joules that the whole device drew over ``seconds`` in which one release alone answered, and
    the ``predictions`` that it made in them. They add up.
    """

    joules: float
    predictions: int
    seconds: float

    def __post_init__(self) -> None:
        possible = 0 < self.joules <= MOST_JOULES
        require(possible, f"joules: expected above 0, at most {MOST_JOULES:g}, got {self.joules}")
        require(self.predictions >= 1, "energy: expected at least one prediction to share it")
        require(self.seconds > 0, f"seconds: expected above 0, got {self.seconds}")
