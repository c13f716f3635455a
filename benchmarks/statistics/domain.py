"""Values that training never saw: false alarms where devices differ, and what is still found."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.statistics.part import Effort, Part, Row, exact_rate, generator, level
from cloud_hub.statistics.detectors.domain import domain_shifts

FEATURES: Final = 20
TRAINING: Final = 10_000
WINDOW: Final = 20_000
FLEETS: Final = (2, 3, 5, 10, 20, 100)
KINDS: Final = ((0.05, 0.05), (0.05, 0.2), (0.2, 0.1))
"""Mean rate of what is missing, and correlation within a device (beta distributed rates)."""

Histograms = dict[str, NDArray[np.int64]]


def run(effort: Effort) -> list[Row]:
    """Devices that differ, with equal and with heavy-tailed traffic; then a rise everywhere."""
    cells = [(devices, traffic) for devices in FLEETS for traffic in (1.5, 0.0)]
    rows = []
    for devices, traffic in effort.cells(cells, quick=2):
        runs = effort.runs_for_level(100 * len(KINDS), 0.05) // len(KINDS) + 1
        rows += _null(devices, traffic, runs)
    return rows if effort.quick else [*rows, *(_rise(d, effort.runs(100)) for d in FLEETS)]


def _null(devices: int, traffic: float, runs: int) -> list[Row]:
    ours = pooled = 0
    for mean, correlation in KINDS:
        for number in range(runs):
            random = generator(71, devices, round(100 * mean), number)
            reference, window = fleet(random, devices, mean, correlation, traffic)
            ours += alarms(reference, window, number)
            pooled += alarms(reference, {n: w.sum(axis=0) for n, w in window.items()}, number)
    total = runs * len(KINDS)
    even = "lognormal(1.5) traffic" if traffic else "equal traffic"
    about = f"{devices} devices whose rates differ, {even}: a window with an alarm"
    return [
        level(about, ours, total, 0.05, claim="7"),
        Row("the exact test of all rows together, on the same", "", exact_rate(pooled, total),
            claim="7"),
    ]  # fmt: skip


def _rise(devices: int, runs: int) -> Row:
    hits = 0
    for number in range(runs):
        reference, window = fleet(
            generator(72, devices, number), devices, 0.05, 0.02, 0.5, rise=0.1
        )
        hits += alarms(reference, window, number)
    return Row(f"{devices} devices, one of {FEATURES} features .05 → .15 everywhere: alarm", "",
               exact_rate(hits, runs), claim="7")  # fmt: skip


def fleet(
    random: np.random.Generator,
    devices: int,
    mean: float,
    correlation: float,
    traffic: float,
    *,
    rise: float = 0.0,
) -> tuple[Histograms, Histograms]:
    """Return histograms [1 + 2] at training, and [devices, 1 + 2] of a window.

    Args:
        random: where they come from.
        devices: how many.
        mean: rate of missing values at training.
        correlation: of the rows of a device.
        traffic: standard deviation of the logarithm of a device's rows.
        rise: added to the first feature's rates.
    """
    size = 1 / correlation - 1
    weight = random.lognormal(0, traffic, devices)
    rows = np.maximum(1, np.round(WINDOW * weight / weight.sum())).astype(np.int64)
    reference, window = {}, {}
    for i in range(FEATURES):
        rates = random.beta(mean * size, (1 - mean) * size, devices) + rise * (i == 0)
        hits = random.binomial(rows, np.minimum(1, rates))
        few = int(random.binomial(TRAINING, mean))
        reference[f"f{i}"] = np.array([TRAINING - few, few, 0])
        window[f"f{i}"] = np.stack([rows - hits, hits, 0 * hits], axis=1)
    return reference, window


def alarms(reference: Histograms, window: Histograms, seed: int) -> bool:
    """Return whether any rate alarms in this window."""
    return any(shift.alarming for shift in domain_shifts(reference, window, seed=seed))


PART = Part(
    "Missing and unseen values",
    f"{FEATURES} features, {WINDOW:,} rows a window over all devices, {TRAINING:,} at training. "
    "Rates of devices are beta distributed about that of training: means .05 and .2, correlations "
    "within a device .05, .1 and .2. An alarm is one in one window; monitoring waits for two.",
    run,
    quick=True,
)
