"""Performance triggers: a year of looks at an accuracy that is at its limit, and delay below it."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.statistics.part import Effort, Part, Row, exact_rate, level
from cloud_hub.policy.schema.conditions import PerformanceRule
from cloud_hub.statistics.detectors import accuracy
from cloud_hub.statistics.influence import MULTIPLE
from cloud_hub.statistics.samples import Floats
from cloud_hub.statistics.sequential import multiplier

LIMIT: Final = 0.9
HOUR: Final = 3_600.0
YEAR: Final = 8_766
"""Hours, and so looks."""

DAY: Final = 24
RULE: Final = PerformanceRule(LIMIT)


@dataclass(frozen=True)
class Cell:
    """A fleet: ``labels`` an hour and device on average; ``apart`` and ``hourly`` are the
    correlation of labels within a device for ever, and within an hour.
    """

    name: str
    devices: int
    labels: float
    apart: float = 0.0
    hourly: float = 0.0
    unequal: bool = False


CELLS: Final = (
    Cell("1 device, 5 labels an hour", 1, 5.0),
    Cell("5 devices, 20 labels an hour", 5, 20.0),
    Cell("5 devices that differ (.1)", 5, 20.0, apart=0.1),
    Cell("5 devices with bad hours (.1)", 5, 20.0, hourly=0.1),
    Cell("5 devices that differ (.1), bad hours (.1), traffic lognormal(1.5)", 5, 20.0, 0.1, 0.1,
         unequal=True),
    Cell("20 devices that differ (.3), traffic lognormal(1.5)", 20, 2.0, 0.3, unequal=True),
)  # fmt: skip


def looked_at(
    cell: Cell,
    runs: int,
    hours: int,
    random: np.random.Generator,
    *,
    start: float = LIMIT,
    drop: tuple[int, float] | None = None,
    alarm: float = RULE.false_alarm_every_seconds,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the hour of the first firing, -1 without one: of the detector, and of the old rule.

    Args:
        cell: the fleet.
        runs: how many of it.
        hours: looks.
        random: where chance comes from.
        start: accuracy of all devices together, no device above ten times the median.
        drop: hour from which on accuracy is lower, and by how much.
        alarm: seconds to a false alarm, on average.
    """
    traffic, rates = _fleets(cell, runs, start, random)
    evidence = np.zeros((runs, len(accuracy.BETS)))
    waited = np.zeros(runs)
    firsts = np.full((2, runs), -1)
    sums = np.zeros((DAY, 2, runs))
    for hour in range(hours):
        now = rates if drop is None or hour < drop[0] else np.clip(rates + drop[1], 0, 1)
        labelled = random.poisson(cell.labels * traffic)
        correct = random.binomial(labelled, _of_this_hour(now, cell.hourly, random))
        waited += HOUR
        there = labelled.sum(axis=1) > 0
        gains = accuracy.log_gains(labelled, correct, LIMIT)
        after = accuracy.grown(evidence, waited[:, None], gains)
        evidence = np.where(there[:, None], after, evidence)
        waited[there] = 0.0
        sums[hour % DAY] = labelled.sum(axis=1), correct.sum(axis=1)
        for i, fires in enumerate((evidence.mean(axis=1) >= alarm, _old_rule(sums.sum(axis=0)))):
            firsts[i, fires & (firsts[i] < 0)] = hour
    return firsts[0], firsts[1]


def _fleets(
    cell: Cell, runs: int, start: float, random: np.random.Generator
) -> tuple[Floats, Floats]:
    """Traffic and accuracy of each device, [runs, devices]; together exactly at ``start``."""
    shape = (runs, cell.devices)
    traffic = random.lognormal(0, 1.5, shape) if cell.unequal else np.ones(shape)
    traffic /= traffic.mean(axis=1, keepdims=True)
    rates = _of_this_hour(np.full(shape, start), cell.apart, random)
    weights = _weights(cell.labels * traffic, random)
    for _ in range(200):  # the clip moves the mean, so again
        rates = np.clip(rates + start - (weights * rates).sum(axis=1, keepdims=True), 0, 1)
    return traffic, rates


def _weights(labels: Floats, random: np.random.Generator, hours: int = 300) -> Floats:
    """Share of each device in what is held against the limit, over many hours."""
    total = np.zeros_like(labels)
    for _ in range(hours):
        n = random.poisson(labels).astype(np.float64)
        there = np.where(n > 0, n, np.nan)
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an hour in which nobody had a label
            middle = np.nanquantile(there, 0.5, axis=1, keepdims=True, method="lower")
        capped = np.minimum(n, MULTIPLE * np.nan_to_num(middle, nan=1.0))
        total += capped / np.maximum(capped.max(axis=1, keepdims=True), 1.0)
    shares: Floats = total / total.sum(axis=1, keepdims=True)
    return shares


def _of_this_hour(rates: Floats, correlation: float, random: np.random.Generator) -> Floats:
    if correlation == 0:
        return rates
    size = 1 / correlation - 1
    return random.beta(np.maximum(rates * size, 1e-9), np.maximum((1 - rates) * size, 1e-9))


def _old_rule(sums: Floats) -> NDArray[np.bool_]:
    """The rule before: a confidence sequence of the last day's labels, at every look."""
    n, right = sums
    mean = right / np.maximum(n, 1)
    plain = mean * (1 - mean)
    variance = np.where(plain > 0, plain + 1 / (n + 1) ** 2, 1 / (n + 1))
    half = multiplier(n, 0.05) * np.sqrt(variance / np.maximum(n, 1))
    return np.asarray((n >= RULE.minimum) & (mean + half < RULE.below))


def run(effort: Effort) -> list[Row]:
    """False alarms at the limit, then the delay below it."""
    rows = []
    for number, cell in enumerate(effort.cells(CELLS, quick=1)):
        runs = effort.runs_for_level(300, 0.05)
        ours, old = looked_at(cell, runs, YEAR, effort.random(40, number))
        about = f"{cell.name}, at the limit for a year of hourly looks: fires"
        rows.append(level(about, int((ours >= 0).sum()), runs, 0.05, claim="10"))
        before = exact_rate(int((old >= 0).sum()), runs)
        rows.append(Row("the rule before on the same", "", before, claim="10"))
    return rows if effort.quick else [*rows, *_delays(effort)]


def _delays(effort: Effort) -> list[Row]:
    rows = []
    for number, cell in enumerate((CELLS[1], CELLS[2], CELLS[5])):
        for start, drop in ((0.93, -0.05), (0.95, -0.1), (0.95, -0.2)):
            random = effort.random(60, number, round(-100 * drop))
            found = looked_at(
                cell, effort.runs(100), 40 * DAY, random, start=start, drop=(10 * DAY, drop)
            )
            told = "; the rule before ".join(_delay(first, 10 * DAY) for first in found)
            name = f"{cell.name}, {start:.2f} → {start + drop:.2f}, limit {LIMIT}: delay"
            rows.append(Row(name, "", told, claim="10"))
    return rows


def _delay(first: NDArray[Any], since: int) -> str:
    late = first[first >= since] - since + 1
    median = f"median {np.median(late):.0f} h" if len(late) else "never found"
    early = int(((first >= 0) & (first < since)).sum())
    return f"{median}, {len(late)} of {len(first)} found, {early} fired before"


PART = Part(
    "Performance triggers",
    f"Labels of every hour, looked at every hour; the limit is {LIMIT}, and the detector is "
    "declared one false alarm in twenty years, so at most 5% in a year. Devices differ for ever, "
    "or have bad hours, or both: the correlation of two labels of one device is in brackets. "
    "The accuracy of all devices together is exactly at the limit, no device above ten times the "
    "median of the hour. The rule before looked at an anytime-valid interval of the last day's "
    "labels.",
    run,
    quick=True,
)
