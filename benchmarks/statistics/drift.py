"""Data drift: how often a fleet as at training raises an alarm, and what shifts are found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from scipy.signal import lfilter
from scipy.stats import norm

from benchmarks.statistics.part import Effort, Part, Row, exact_rate, generator, level
from cloud_hub.statistics.detectors.distances import psi
from cloud_hub.statistics.detectors.drift import FDR, fleet_drift
from cloud_hub.statistics.detectors.two_samples import MANY, RandomSigns, homogeneity, p_value
from cloud_hub.statistics.multiple import discoveries
from cloud_hub.statistics.samples import Floats

FEATURES: Final = 50
TRAINING: Final = 10_000
WINDOW: Final = 2_000
INNER: Final = norm.ppf(np.linspace(0, 1, 33)[1:-1])


@dataclass(frozen=True)
class Fleet:
    """``devices`` whose means differ by ``effect`` standard deviations of one device."""

    devices: int
    effect: float

    def rows(self, random: np.random.Generator, n: int = WINDOW) -> Floats:
        """[devices, rows] of numbers that are standard normal over all such fleets."""
        own = random.standard_normal((self.devices, 1)) * self.effect
        noise = random.standard_normal((self.devices, n // self.devices))
        rows: Floats = (own + noise) / np.sqrt(1 + self.effect**2)
        return rows


FLEETS: Final = (Fleet(1, 0.0), Fleet(5, 0.3), Fleet(40, 0.3), Fleet(200, 0.3))
DIFFERENT: Final = Fleet(40, 0.3)
PHIS: Final = (0.9, 0.99, 0.0)
"""Correlations of neighbouring rows of one device."""

EARLIER: Final = 16
"""Windows before, where one device is watched."""


def binned(values: Floats) -> Floats:
    """[devices, rows] to histograms [devices, 34] over 32 bins of equal mass."""
    devices = len(values)
    bins = np.searchsorted(INNER, values) + 34 * np.arange(devices)[:, None]
    return np.bincount(bins.ravel(), minlength=34 * devices).reshape(devices, 34).astype(float)


def run(effort: Effort) -> list[Row]:
    """Null fleets of several kinds, and shifts."""
    rows = []
    for phi in effort.cells(PHIS, quick=1):
        rows += _runs(phi, effort.runs_for_level(100, 0.05), effort.runs(100))
    if effort.quick:
        return rows
    for fleet in FLEETS:
        rows += _null(fleet, effort.runs_for_level(600 if fleet.devices == 1 else 150, 0.05))
    rows += [_small_shift(Fleet(1, 0.0), effort.runs(1_000), goal=0.85)]
    rows += [_small_shift(Fleet(devices, 0.0), effort.runs(400)) for devices in (MANY, 100)]
    return [*rows, _alarm(0.4, effort.runs(100)), _alarm(0.1, effort.runs(100))]


def _named(random: np.random.Generator, fleet: Fleet) -> tuple[dict[str, Floats], dict[str, Any]]:
    one = Fleet(1, 0.0)
    names = [f"f{i}" for i in range(FEATURES)]
    reference = {name: binned(one.rows(random, TRAINING))[0] for name in names}
    return reference, {name: binned(fleet.rows(random)) for name in names}


def _null(fleet: Fleet, runs: int) -> list[Row]:
    alarms = significant = rule = pooled = 0
    for number in range(runs):
        reference, window = _named(generator(1, fleet.devices, number), fleet)
        features = fleet_drift(reference, window, seed=number)
        alarms += any(f.drifted for f in features)
        significant += any(f.drifted or f.shifted for f in features)
        rule += _any_psi(reference, window)
        pooled += _any_pooled(reference, window)
    differ = f"means {fleet.effect} sd apart" if fleet.effect else "alike"
    who = f"{fleet.devices} devices, {differ}" if fleet.devices > 1 else "one device"
    about = f"null, {FEATURES} features, {who}, n = {WINDOW:,}"
    return [
        level(f"{about}: windows with an alarm", alarms, runs, 0.05),
        Row("anything significant, however small, on the same", "", exact_rate(significant, runs)),
        Row("the rule PSI > 0.1 on the same", "", exact_rate(rule, runs)),
        Row("pooled chi-squared, 5% FDR, on the same", "", exact_rate(pooled, runs)),
    ]


def _any_psi(reference: Mapping[str, Floats], window: Mapping[str, Floats]) -> bool:
    return any(psi(reference[name], window[name].sum(axis=0)) > 0.1 for name in reference)


def _any_pooled(reference: Mapping[str, Floats], window: Mapping[str, Floats]) -> bool:
    p_values = [homogeneity(reference[name], window[name].sum(axis=0)) for name in reference]
    return bool(discoveries(p_values, FDR))


def _runs(phi: float, runs: int, shifted: int) -> list[Row]:
    """One device whose rows come in runs: nothing happens; a feature moves."""
    alarms = independent = 0
    for number in range(runs):
        reference, past, window = correlated(generator(4, round(100 * phi), number), phi)
        alarms += any(f.drifted for f in fleet_drift(reference, window, past=past))
        independent += any(f.drifted for f in fleet_drift(reference, window))
    about = f"one device, rows correlated {phi}, {EARLIER} windows before"
    return [
        level(f"null, {about}: windows with an alarm", alarms, runs, 0.05, claim="8"),
        Row("the same rows taken as independent", "", exact_rate(independent, runs), claim="8"),
        *(_moved(phi, shift, shifted, about) for shift in (0.4, 1.0, 2.0)),
    ]


def _moved(phi: float, shift: float, runs: int, about: str) -> Row:
    hits = 0
    for number in range(runs):
        random = generator(5, round(100 * phi), number)
        reference, past, window = correlated(random, phi, shift)
        drift = fleet_drift(reference, window, past=past)
        hits += any(f.drifted and f.name == "f0" for f in drift)
    what = f"{about}: one of {FEATURES} features shifted by {shift} sd: alarm"
    return Row(what, "", exact_rate(hits, runs), claim="8")


def correlated(
    random: np.random.Generator, phi: float, shift: float = 0.0, features: int = FEATURES
) -> tuple[dict[str, Floats], dict[str, Floats], dict[str, Floats]]:
    """Return training, earlier windows and a window of one device, whose rows are an AR(1).

    Args:
        random: where they come from.
        phi: correlation with the next row.
        shift: of the first feature in the newest window, in standard deviations.
        features: how many.
    """
    noise = random.standard_normal((features, (EARLIER + 1) * WINDOW))
    noise[:, 1:] *= np.sqrt(1 - phi**2)
    values: Floats = lfilter([1.0], [1.0, -phi], noise, axis=1)
    values = values.reshape(features, EARLIER + 1, WINDOW)
    values[0, -1] += shift
    counts = {f"f{i}": binned(each) for i, each in enumerate(values)}
    reference = {name: binned(random.standard_normal((1, TRAINING)))[0] for name in counts}
    past = {name: each[:-1] for name, each in counts.items()}
    return reference, past, {name: each[-1:] for name, each in counts.items()}


def _small_shift(fleet: Fleet, runs: int, goal: float | None = None) -> Row:
    detected = 0
    for number in range(runs):
        random = generator(2, fleet.devices, number)
        reference = binned(Fleet(1, 0.0).rows(random, TRAINING))[0]
        signs = RandomSigns(fleet.devices, 999, number) if fleet.devices >= MANY else None
        detected += p_value(reference, binned(fleet.rows(random) + 0.1), signs) <= 0.05
    who = f"{fleet.devices} devices" if fleet.devices > 1 else "one device"
    name = f"shift of 0.1 sd, n = {WINDOW:,}, one feature, {who}: significant"
    wanted = "" if goal is None else f"≥ {goal:.0%}"
    return Row(
        name, wanted, exact_rate(detected, runs), None if goal is None else detected / runs >= goal
    )


def _alarm(shift: float, runs: int) -> Row:
    """One feature of fifty moved, on a fleet whose devices differ: is it an alarm?"""
    detected = 0
    for number in range(runs):
        random = generator(3, number)
        reference, window = _named(random, DIFFERENT)
        window["f7"] = binned(DIFFERENT.rows(random) + shift)
        alarms = [f.name for f in fleet_drift(reference, window, seed=number) if f.drifted]
        detected += "f7" in alarms
    name = (
        f"shift of {shift} sd in one of {FEATURES}, {DIFFERENT.devices} devices that differ: alarm"
    )
    return Row(name, "", exact_rate(detected, runs))


PART = Part(
    "Data drift",
    "Features are normal, binned into 32 quantiles of 10,000 training rows. An alarm is a feature "
    "that is significant at 5% FDR over all and moved by KS ≥ 0.1 or PSI ≥ 0.1 (less its bias), in "
    "one window; monitoring waits for two. A shift of 0.1 sd is a KS distance of 0.04: it is told "
    "as significant, and by design is no alarm. Rows that come in runs are an AR(1); on so small a "
    "fleet monitoring has no verdict before eight windows.",
    run,
    quick=True,
)
