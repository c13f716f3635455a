"""Latency: false differences of quantiles at any look, and slower candidates that are found."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from scipy.special import ndtr

from benchmarks.statistics.part import Effort, Part, Row, exact_rate, level
from cloud_hub.statistics.latency import BINS_AN_OCTAVE, LatencyVerdict, compare_latency
from cloud_hub.statistics.samples import Floats

BINS: Final = 64
LOOKS: Final = 6
PART_NUMBER: Final = 44


@dataclass(frozen=True)
class Fleet:
    """Devices of both arms, with a millisecond in the median and 50 requests a look on average.

    In octaves: devices are ``apart`` (standard deviation), requests of one 0.6, and 2% of the
    requests take two more. ``slower``: how many times longer the candidate takes.
    """

    control: int
    candidate: int
    apart: float
    q: float
    traffic: float = 0.0
    slower: float = 1.0

    @property
    def name(self) -> str:
        """For the table."""
        busy = f", traffic lognormal({self.traffic:g})" if self.traffic else ""
        where = f"{self.control}/{self.candidate} devices, {self.apart:g} octaves apart{busy}"
        return f"p{100 * self.q:g}, {where}"

    def verdicts(self, random: np.random.Generator) -> list[LatencyVerdict]:
        """Both arms compared at every look."""
        devices = self.control + self.candidate
        tried = np.arange(devices) >= self.control
        middle = np.log2(1_000) + self.apart * random.standard_normal(devices)
        chances = _chances(middle + tried * np.log2(self.slower))
        busy = 50 * np.exp(self.traffic * random.standard_normal(devices))
        requests = random.poisson(busy, (LOOKS, devices))
        counts = np.cumsum(random.multinomial(requests, chances), axis=0).astype(float)
        return [compare_latency(look[~tried], look[tried], self.q) for look in counts]


def _chances(middle: Floats) -> Floats:
    """Chance of each bin, [devices, BINS]."""
    edges = np.r_[-np.inf, np.arange(1, BINS) / BINS_AN_OCTAVE, np.inf]
    below = 0.98 * ndtr((edges - middle[:, None]) / 0.6)
    below += 0.02 * ndtr((edges - middle[:, None] - 2) / 0.6)
    chances: Floats = np.diff(below, axis=1)
    return chances


ALIKE: Final = (
    Fleet(95, 5, 0.5, 0.5),
    Fleet(19, 3, 0.1, 0.99),
    Fleet(10, 10, 0.3, 0.5, traffic=1.5),
    Fleet(9, 1, 0.3, 0.5),
    Fleet(10, 10, 0.1, 0.99),
    Fleet(50, 50, 0.3, 0.99),
    Fleet(50, 50, 0.01, 0.5),
)
SLOWER: Final = (
    Fleet(50, 50, 0.3, 0.5, slower=2.0),
    Fleet(50, 50, 0.3, 0.99, slower=2.0),
    Fleet(50, 50, 0.3, 0.5, slower=1.5),
    Fleet(10, 10, 0.1, 0.5, slower=2.0),
    Fleet(10, 10, 0.3, 0.5, slower=3.0),
)


def run(effort: Effort) -> list[Row]:
    """Arms that are alike, then slower candidates."""
    rows = []
    for number, fleet in enumerate(effort.cells(ALIKE, 2)):
        runs = effort.runs_for_level(1_000, 0.05)
        false = sum(_differs(fleet, effort, number, i) for i in range(runs))
        name = f"{fleet.name}: arms alike told apart, at any of {LOOKS} looks"
        rows.append(level(name, false, runs, 0.05, claim="P4"))
    for number, fleet in enumerate(effort.cells(SLOWER, 1)):
        runs = effort.runs(300, least=60)
        last = [fleet.verdicts(effort.random(PART_NUMBER, 50 + number, i))[-1] for i in range(runs)]
        found = exact_rate(sum(verdict.low > 1 for verdict in last), runs)
        least = float(np.median([verdict.low for verdict in last]))
        name = f"{replace(fleet, slower=1).name}: {fleet.slower:g} times slower, found"
        rows.append(Row(name, "", f"{found}; surely {least:.2f} times at least in the median"))
    return rows


def _differs(fleet: Fleet, effort: Effort, number: int, run: int) -> bool:
    verdicts = fleet.verdicts(effort.random(PART_NUMBER, number, run))
    return any(verdict.low > 1 or verdict.high < 1 for verdict in verdicts)


PART = Part(
    "Latency",
    "A quantile of the candidate by that of the control, with its interval of 95% at any look; "
    "about 300 requests a device at the last.",
    run,
    quick=True,
)
