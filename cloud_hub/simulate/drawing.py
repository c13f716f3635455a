"""Draws of what devices report: sums of a window by device, or of many devices at once.

A device's requests are Poisson about its own rate, errors, labels and wrong answers binomial with
its own chances: given the device these are the sums of single requests that are independent, so a
window needs a few draws and not one for each request.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cloud_hub.simulate.population import Places, Population, Singles
from cloud_hub.simulate.scenario import Scenario, Shift, SimulatedVersion
from cloud_hub.statistics.samples import Floats

MOST_CHANCE: Final = 0.999
"""Largest chance of a device, whatever its factor is."""

NOISE: Final = 0.5
"""Standard deviation of log2 of the time of one answer about its device's mean."""

Counts32 = NDArray[np.int32]


@dataclass(frozen=True)
class TrueRates:
    """Truth about a version at a moment, by cohort: arrays [cohorts].

    ``wrong`` is of the answers, ``errors`` of the requests, ``latency`` log2 of microseconds,
    ``installs`` the share of devices that cannot activate it.
    """

    wrong: Singles
    errors: Singles
    latency: Singles
    installs: Singles


def true_rates(scenario: Scenario, version: SimulatedVersion, seconds: float) -> TrueRates:
    """Return the truth about a version.

    Args:
        scenario: its cohorts.
        version: whose.
        seconds: since the simulation began.
    """
    rows = [_in_cohort(version, cohort.name, seconds) for cohort in scenario.cohorts]
    return TrueRates(*(np.array(column, dtype=np.float32) for column in zip(*rows, strict=True)))


def _in_cohort(version: SimulatedVersion, cohort: str, seconds: float) -> Sequence[float]:
    accuracy, errors, latency, installs = version.of(cohort)
    for change in version.changes:
        if change.cohort in (None, cohort):
            share = reached(change, seconds)
            accuracy += share * change.accuracy
            errors += share * change.error_rate
            latency *= change.latency**share
    wrong = min(max(1 - accuracy, 0.0), 1.0)
    return wrong, min(max(errors, 0.0), 1.0), float(np.log2(latency)), installs


def reached(change: Shift, seconds: float) -> float:
    """Return how much of a change is there, 0 to 1; a season's is between -1 and 1."""
    since = seconds - change.at_seconds
    if since < 0:
        return 0.0
    ramp = min(1.0, since / change.over_seconds) if change.over_seconds else 1.0
    if change.every_seconds is None:
        return ramp
    return ramp * float(np.sin(2 * np.pi * since / change.every_seconds))


@dataclass(frozen=True)
class DrawnWindow:
    """Sums of one window of some devices, arrays [K] in the order of ``index``.

    ``labelled`` and ``wrong`` are of all labels that will ever come.
    """

    index: Places
    requests: Counts32
    errors: Counts32
    labelled: Counts32
    wrong: Counts32


def draw_requests(population: Population, index: Places, hours: float, rng: Any) -> Counts32:
    """Draw how often some devices are asked in a time."""
    return np.asarray(rng.poisson(population.requests[index] * hours), dtype=np.int32)


def draw_window(
    scenario: Scenario,
    population: Population,
    index: Places,
    requests: Counts32,
    rates: TrueRates,
    rng: np.random.Generator,
    *,
    candidate: bool,
) -> DrawnWindow:
    """Draw what becomes of the requests of some devices, which one version answers.

    Args:
        scenario: its labels, and what hostile devices say.
        population: whose devices they are.
        index: their places, [K].
        requests: of each, [K].
        rates: of the version.
        rng: decides.
        candidate: hostile devices lie about it.
    """
    cohort = population.cohort[index]
    failing = np.minimum(rates.errors[cohort] * population.errors[index], MOST_CHANCE)
    chance = np.minimum(rates.wrong[cohort] * population.wrong[index], MOST_CHANCE)
    if candidate and scenario.hostile.share:
        lied = 1.0 if scenario.hostile.says == "wrong" else 0.0
        chance = np.where(population.hostile[index], lied, chance)
    errors = rng.binomial(requests, failing)
    labelled = rng.binomial(requests - errors, scenario.labels.coverage)
    wrong = rng.binomial(labelled, chance)
    return DrawnWindow(
        index, requests, *(each.astype(np.int32) for each in (errors, labelled, wrong))
    )


def draw_latency(
    population: Population,
    index: Places,
    answers: Counts32,
    rates: TrueRates,
    rng: np.random.Generator,
) -> tuple[Floats, Floats]:
    """Draw the sum and the sum of squares of log2 of the times of some devices' answers, [K] each.

    Args:
        population: whose devices they are.
        index: their places, [K].
        answers: of each, [K].
        rates: of the version that answers.
        rng: decides.
    """
    mean = rates.latency[population.cohort[index]] + population.latency[index]
    n = answers.astype(np.float64)
    total = n * mean + NOISE * np.sqrt(n) * rng.standard_normal(len(n))
    about = NOISE**2 * rng.chisquare(np.maximum(n - 1, 1e-9))
    squares = np.divide(total**2, n, out=np.zeros_like(n), where=n > 0) + np.where(n > 1, about, 0)
    return total, squares
