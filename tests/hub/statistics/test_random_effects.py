"""Devices that differ: their variance, what their past says, and how seldom chance wins."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.statistics.fleets import Unlike, trials
from cloud_hub.statistics.clustered import compare, mean_against
from cloud_hub.statistics.power import (
    chance_of,
    days_until,
    expected,
    smallest_effect,
    variance_of,
)
from cloud_hub.statistics.random_effects import between, fit, own_of
from cloud_hub.statistics.samples import Sample
from cloud_hub.statistics.sequential import interval, tuning

LOOKS = np.unique(np.round(np.geomspace(2, 1_000, 15)))


def everybody(n: int) -> list[np.ndarray]:
    return [np.ones(n, dtype=bool)]


def test_the_variance_between_devices_is_paule_and_mandels() -> None:
    """The defining equation, and without errors the plain sample variance."""
    mean, known = np.array([0.1, 0.5, 0.4, 0.9, 0.2]), np.array([0.01, 0.02, 0.005, 0.03, 0.01])
    found = float(between(mean, known, everybody(5), np.array(4.0)))
    weight = 1 / (known + found)
    middle = np.sum(weight * mean) / np.sum(weight)
    assert np.sum(weight * (mean - middle) ** 2) == pytest.approx(4)
    exact = between(mean, np.zeros(5), everybody(5), np.array(4.0))
    assert float(exact) == pytest.approx(mean.var(ddof=1))


def test_devices_that_differ_by_no_more_than_chance_do_not_differ() -> None:
    mean = np.array([0.50, 0.51, 0.49])
    assert float(between(mean, np.full(3, 0.01), everybody(3), np.array(2.0))) == 0


def test_the_larger_a_devices_part_of_the_traffic_the_less_it_gains_by_it() -> None:
    known = np.array([1e-9, 0.001, 0.001, 0.001])
    mean = np.array([0.9, 0.5, 0.6, 0.4])
    weighted = float(fit(mean, known, everybody(4)).mean[0])
    assert weighted == pytest.approx(mean.mean(), abs=0.01)


def test_a_past_is_believed_as_far_as_it_is_reliable() -> None:
    random = np.random.default_rng(0)
    true = random.normal(0, 0.1, 400)
    known = np.where(np.arange(400) < 200, 0.0001, 0.04)
    own = own_of(true + random.normal(0, np.sqrt(known)), known)
    sure, unsure = own.effect[:200], own.effect[200:]
    assert np.corrcoef(sure, true[:200])[0, 1] > 0.98
    assert unsure.std() < 0.6 * true.std()
    assert own.unknown[300] == pytest.approx(0.01 * 0.8, rel=0.25)
    assert own.unknown[0] < 0.0002


def test_a_device_without_a_past_is_taken_as_it_is() -> None:
    own = own_of(np.array([0.2, 0.8, 0.5, np.nan]), np.array([0.001, 0.001, 0.001, np.inf]))
    assert own.effect[3] == 0
    assert own.unknown[3] == pytest.approx(0.09, rel=0.1)


def test_the_slope_is_learned_where_devices_have_changed() -> None:
    random = np.random.default_rng(1)
    past = random.normal(0, 0.1, 300)
    known = np.full(300, 1e-4)
    own = own_of(past, known)
    for persists in (1.0, 0.3):
        now = persists * past + random.normal(0, 0.1 * math.sqrt(1 - persists**2), 300)
        found = fit(now + random.normal(0, 0.01, 300), known, everybody(300), own)
        assert float(found.slope) == pytest.approx(persists, abs=0.08)


def errors(fleet: Unlike, runs: int, effect: float = 0.0) -> tuple[float, float]:
    """Shares of runs with a difference either way, and with one of 0.02 ruled out, at any look."""
    batch = trials(np.random.default_rng(5), fleet, runs, LOOKS, effect)
    contrast = batch.contrast()
    low, high = interval(contrast, 0.05, tuning(contrast))
    enough = np.minimum(*(np.sum(batch.n * a, axis=-1) for a in (batch.inside, ~batch.inside)))
    passes = (low >= -0.02) & (enough >= 100)
    wins = (low > 0) | (high < 0)
    return float(np.any(wins, axis=1).mean()), float(np.any(passes, axis=1).mean())


CELLS = [
    Unlike(99, 1, 0.01, 1.5),
    Unlike(98, 2, 0.1),
    Unlike(95, 5, 0.3, 1.5),
    Unlike(9, 1, 0.3),
    Unlike(2, 2, 0.1, 1.5),
    Unlike(1, 1, 0.3),
    Unlike(10, 10, 0.1, 1.5),
    Unlike(20, 20, 0.1, largest=0.3),
    Unlike(95, 5, 0.1, 1.5, past=300),
    Unlike(9, 1, 0.1, past=300),
    Unlike(40, 10, 0.1, past=300, moved=0.5),
]


@pytest.mark.parametrize("fleet", CELLS, ids=lambda fleet: fleet.name)
def test_few_and_unlike_devices_win_nothing_by_chance(fleet: Unlike) -> None:
    """With 300 runs a true level of 10% would show in all but one of 300 cases."""
    wins, _ = errors(fleet, 300)
    assert wins <= 0.05
    _, passes = errors(replace(fleet), 300, -0.04)
    assert passes <= 0.025


def test_of_one_device_on_each_arm_nothing_is_said() -> None:
    batch = trials(np.random.default_rng(0), Unlike(1, 1, 0.3, past=500), 5, LOOKS)
    assert not batch.contrast().n.any()


def test_their_own_past_makes_unlike_devices_alike() -> None:
    blind, seeing = (
        trials(np.random.default_rng(3), Unlike(950, 50, 0.1, past=past), 1, np.array([5_000.0]))
        for past in (0, 5_000)
    )
    before, after = (math.sqrt(float(t.contrast().variance[0, 0])) for t in (blind, seeing))
    assert after < before / 10


BAD = {
    "a reward that is no number": (np.nan, 1.0),
    "rewards that are all alike": (5.0, 0.0),
    "rewards without end": (np.inf, 1.0),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_sums_are_no_data(case: str) -> None:
    value, spread = BAD[case]
    random = np.random.default_rng(0)
    outcomes = random.normal(5, spread, (6, 100)) if spread else np.full((6, 100), 5.0)
    total, squares = outcomes.sum(axis=1), (outcomes**2).sum(axis=1)
    total[0] = value * 100
    with np.errstate(all="ignore"):
        arms = [
            Sample(np.full(6, 100.0) * inside, total * inside, squares * inside)
            for inside in (np.arange(6) < 3, np.arange(6) >= 3)
        ]
        results = [compare(*arms, scale=0.0), mean_against(arms[0], 0.0, scale=0.0)]
    for result in results:
        assert float(result.n) == 0
        assert float(result.estimate) == 0


def test_weights_of_a_billion_are_no_certainty() -> None:
    n = np.array([1e9, 100.0, 100.0, 0.0, 0.0, 0.0])
    rates = np.array([0.9, 0.7, 0.8, 0.75, 0.85, 0.8])
    result = compare(
        Sample.of_successes(n * rates, n),
        Sample.of_successes(np.roll(n, 3) * rates, np.roll(n, 3)),
    )
    low, high = interval(result, 0.05, tuning(result))
    assert low < -0.2 < 0.2 < high


def week(devices: int, correlation: float, each: int = 350) -> tuple[Sample, Sample]:
    random = np.random.default_rng(0)
    own = Unlike(devices - 1, 1, correlation).own(random, 1)[0]
    halves = [random.poisson(each, devices) for _ in range(2)]
    first, second = (
        Sample.of_successes(random.binomial(n, own).astype(float), n.astype(float)) for n in halves
    )
    return first, second


def test_what_a_fleet_can_find_follows_from_its_own_week() -> None:
    known = variance_of(*week(100, 0.1), 7.0)
    assert known.before == pytest.approx(0.016, rel=0.5)
    assert known.device.mean() < known.before / 20
    options = {"alpha": 0.05, "power": 0.8, "usual": 5_000.0}
    soon, late = (smallest_effect(expected(known, 95, 5, days), **options) for days in (1.0, 60.0))
    assert late < soon < 0.2
    days = days_until(2 * late, known, 95, 5, **options)
    assert days is not None
    after = chance_of(2 * late, expected(known, 95, 5, days), alpha=0.05, usual=5_000)
    assert after == pytest.approx(0.8, abs=0.02)
    assert days_until(late / 3, known, 95, 5, **options) is None


def test_two_devices_can_find_nothing() -> None:
    known = variance_of(*week(2, 0.1), 7.0)
    assert smallest_effect(expected(known, 1, 1, 1e6), alpha=0.05, power=0.8, usual=5e3) == math.inf
    assert days_until(0.5, known, 1, 1, alpha=0.05, power=0.8, usual=5_000) is None


def test_without_a_past_devices_are_as_unlike_as_they_seem() -> None:
    first, second = week(50, 0.1)
    none = Sample(*(0.0 * field for field in vars(first).values()))
    known = variance_of(none, second, 7.0)
    assert known.device.mean() == pytest.approx(known.before)
    assert known.slopes == 0
