"""Drift of distributions: known answers, error rates over simulated fleets with fixed seeds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import norm

from cloud_hub.statistics.detectors.distances import (
    corrected_psi,
    jensen_shannon,
    ks_distance,
    psi,
    wasserstein,
)
from cloud_hub.statistics.detectors.drift import fleet_drift, model_drift
from cloud_hub.statistics.detectors.two_samples import MANY, RandomSigns, independent, p_value
from cloud_hub.statistics.multiple import discoveries

RANDOM = np.random.default_rng
INNER = norm.ppf(np.linspace(0, 1, 33)[1:-1])


def histograms(values: np.ndarray) -> np.ndarray:
    """[devices, rows] of numbers to [devices, 34] counts over the quantiles of a normal."""
    return np.stack(
        [[*np.bincount(np.searchsorted(INNER, row), minlength=32), 0, 0] for row in values]
    )


def fleet(random: np.random.Generator, devices: int, rows: int, effect: float = 0.3) -> np.ndarray:
    """Standard normal over the fleet; each device has a mean of its own."""
    own = random.standard_normal((devices, 1)) * effect
    noise = random.standard_normal((devices, rows))
    return (own + noise) / np.sqrt(1 + effect**2)


counts = arrays(np.int64, 10, elements=st.integers(0, 500)).filter(lambda a: a[:-2].sum() > 0)


@given(counts, counts)
def test_distances_are_symmetric_within_their_range_and_zero_for_the_same(
    a: np.ndarray, b: np.ndarray
) -> None:
    for distance in (ks_distance, jensen_shannon, wasserstein):
        assert distance(a, b) == pytest.approx(distance(b, a))
        assert -1e-12 <= distance(a, b) <= 1 + 1e-12
        assert distance(a, a) == pytest.approx(0)
    assert psi(a, a) == 0
    assert corrected_psi(a, b) <= psi(a, b)


def test_wasserstein_is_the_way_in_training_ranks() -> None:
    first, last = [100, *[0] * 31, 0, 0], [*[0] * 31, 100, 0, 0]
    half = [*[0] * 15, 100, *[0] * 16, 0, 0]
    assert wasserstein(np.array(first), np.array(last)) == pytest.approx(1)
    assert wasserstein(np.array(first), np.array(half)) == pytest.approx(15 / 31)


def test_discoveries_follow_benjamini_and_hochberg() -> None:
    assert discoveries([0.01, 0.9, 0.03, 0.5], 0.05) == {0}
    assert discoveries([0.01, 0.9, 0.025, 0.5], 0.05) == {0, 2}
    assert discoveries([], 0.05) == set()


@pytest.mark.parametrize(("devices", "effect"), [(1, 0.0), (MANY, 0.3), (40, 0.3), (80, 0.0)])
def test_p_values_of_a_null_fleet_are_no_smaller_than_they_say(devices: int, effect: float) -> None:
    random, result = RANDOM(devices), []
    for seed in range(300):
        reference = histograms(random.standard_normal((1, 5_000)))[0]
        window = histograms(fleet(random, devices, 2_000 // devices, effect))
        signs = RandomSigns(devices, 999, seed) if devices >= MANY else None
        result.append(p_value(reference, window, signs))
    assert np.mean(np.array(result) <= 0.05) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 300)
    assert np.mean(np.array(result) <= 0.005) <= 0.02


@pytest.mark.parametrize("devices", [5, 20])
def test_a_fleet_whose_devices_differ_raises_few_false_alarms_where_pooling_raises_many(
    devices: int,
) -> None:
    random, alarms, pooled = RANDOM(devices), 0, 0
    for seed in range(12):
        reference = {f"f{i}": histograms(random.standard_normal((1, 5_000)))[0] for i in range(50)}
        window = {n: histograms(fleet(random, devices, 2_000 // devices, 0.5)) for n in reference}
        alarms += any(f.drifted for f in fleet_drift(reference, window, seed=seed))
        sums = {n: rows.sum(axis=0) for n, rows in window.items()}
        pooled += any(f.drifted for f in model_drift(reference, sums))
    assert alarms <= 2
    assert pooled >= 6


@pytest.mark.parametrize("devices", [1, 3, 5, 20, 60])
def test_a_shift_of_the_whole_fleet_is_found_and_named_first(devices: int) -> None:
    random = RANDOM(devices)
    reference = {f"f{i}": histograms(random.standard_normal((1, 5_000)))[0] for i in range(10)}
    effect = 0.3 if devices > 5 else 0.0
    rows = (devices, 2_000 // devices, effect)
    window = {name: histograms(fleet(random, *rows)) for name in reference}
    window["f7"] = histograms(fleet(random, *rows) + 0.8)
    result = fleet_drift(reference, window)
    assert (result[0].name, result[0].drifted) == ("f7", True)


def test_a_small_shift_is_told_and_alarms_nobody() -> None:
    random = RANDOM(3)
    reference = {"f": histograms(random.standard_normal((1, 50_000)))[0]}
    result = fleet_drift(reference, {"f": histograms(random.standard_normal((1, 20_000)) + 0.1)})[0]
    assert (result.shifted, result.drifted) == (True, False)


@pytest.mark.parametrize("devices", [2, 5, 30])
def test_devices_that_differ_and_stay_as_they_were_are_no_drift_against_themselves(
    devices: int,
) -> None:
    random = RANDOM(4)
    own = random.standard_normal((devices, 1))
    before, after = (histograms(own + random.standard_normal((devices, 400))) for _ in range(2))
    assert not fleet_drift({"f": before}, {"f": after})[0].shifted
    moved = histograms(own + 0.4 + random.standard_normal((devices, 400)))
    assert fleet_drift({"f": before}, {"f": moved})[0].drifted


def test_devices_without_observations_are_left_out() -> None:
    random = RANDOM(5)
    reference = histograms(random.standard_normal((1, 5_000)))[0]
    window = histograms(fleet(random, 20, 100) + 1)
    window[[2, 11]] = 0
    assert fleet_drift({"f": reference}, {"f": window})[0].drifted
    silent = fleet_drift({"f": reference}, {"f": np.zeros_like(window)})[0]
    assert (silent.p, silent.n) == (1.0, 0)


def test_devices_alike_count_as_so_many_observations_and_devices_that_differ_as_fewer() -> None:
    random = RANDOM(6)
    same = independent(histograms(random.standard_normal((12, 500))).astype(float))
    differ = independent(histograms(fleet(random, 12, 500, 1.0)).astype(float))
    assert differ < 60 < same <= 6_000


def test_the_same_window_gets_the_same_verdict() -> None:
    random = RANDOM(7)
    reference = {"f": histograms(random.standard_normal((1, 5_000)))[0]}
    window = {"f": histograms(fleet(random, 20, 100))}
    assert fleet_drift(reference, window, seed=1) == fleet_drift(reference, window, seed=1)


def test_few_devices_without_a_past_get_no_verdict_and_with_one_are_judged_by_it() -> None:
    random = RANDOM(8)
    reference = {"f": histograms(random.standard_normal((1, 5_000)))[0]}
    moved = {"f": histograms(random.standard_normal((1, 2_000)) + 1)}
    quiet = histograms(random.standard_normal((10, 2_000)))
    restless = histograms(random.standard_normal((10, 2_000)) + random.standard_normal((10, 1)))
    for past, drifted, verdict in ((quiet[:7], False, False), (quiet, True, True)):
        result = fleet_drift(reference, moved, past={"f": past})[0]
        assert (result.drifted, result.verdict) == (drifted, verdict)
    assert not fleet_drift(reference, moved, past={"f": restless})[0].drifted
    assert not fleet_drift(reference, moved, past={})[0].verdict
    many = {"f": histograms(fleet(random, 20, 100) + 1)}
    assert fleet_drift(reference, many, past={})[0].drifted


def test_a_rare_category_that_becomes_five_times_as_frequent_is_a_drift() -> None:
    random = RANDOM(9)
    shares = np.array([0.01, *[0.11] * 9, 0, 0])
    more = np.array([0.05, *[0.95 / 9] * 9, 0, 0])
    reference = {"town": random.multinomial(10_000, shares)}
    window = {"town": random.multinomial(200, [more] * 100)}
    result = fleet_drift(reference, window, categorical=["town"])[0]
    assert result.effect < 0.1 < 5 * result.share
    assert result.drifted
    assert not fleet_drift(reference, window)[0].drifted
    same = {"town": random.multinomial(200, [shares] * 100)}
    assert not fleet_drift(reference, same, categorical=["town"])[0].drifted


def test_one_device_with_most_of_the_rows_counts_for_little() -> None:
    random = RANDOM(10)
    even = independent(histograms(fleet(random, 6, 500, 1.0)).astype(float))
    rows = histograms(fleet(random, 6, 500, 1.0)).astype(float)
    rows[0] *= 30
    assert independent(rows) < even
