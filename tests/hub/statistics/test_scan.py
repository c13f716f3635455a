"""A scan over devices and cohorts: who changed is named, who differs or varies is not."""

from __future__ import annotations

import numpy as np
import pytest

from cloud_hub.statistics.detectors.contrasts import Readings, matters, names, readings
from cloud_hub.statistics.detectors.dependence import WINDOWS
from cloud_hub.statistics.detectors.scan import cohort_changes, device_changes, steadied
from cloud_hub.statistics.multiple import discoveries

RANDOM = np.random.default_rng
EVEN = np.array([100.0] * 10 + [0, 0])


def windows(random: np.random.Generator, shares: np.ndarray, count: int) -> list[Readings]:
    """Windows of 200 rows a device; ``shares`` [devices, 12] of bins."""
    return [
        readings(EVEN, random.multinomial(200, shares), categorical=False) for _ in range(count)
    ]


def fleet(devices: int = 30) -> np.ndarray:
    return np.tile(EVEN / EVEN.sum(), (devices, 1))


def moved(shares: np.ndarray, devices: slice) -> np.ndarray:
    after = shares.copy()
    after[devices] = np.array([0] * 6 + [0.25] * 4 + [0, 0])
    return after


def test_contrasts_are_zero_at_training_and_have_the_variance_that_they_say() -> None:
    found = readings(EVEN, RANDOM(0).multinomial(500, fleet(4_000)), categorical=False)
    assert names(10, None) == ("place", "spread", "missing", "outside")
    assert found.values[:, :2].mean(axis=0) == pytest.approx([0, 0], abs=0.01)
    assert found.values[:, :2].var(axis=0) / found.noise[0, :2] == pytest.approx([1, 1], abs=0.1)


def test_a_share_has_the_same_variance_whatever_it_is() -> None:
    shares = np.array([0.05, 0.35, 0.6, 0, 0])
    found = readings(shares, RANDOM(1).multinomial(300, [shares] * 4_000), categorical=True)
    assert found.values[:, :3].var(axis=0) / found.noise[0, :3] == pytest.approx([1] * 3, abs=0.15)


def test_a_change_matters_if_a_share_doubles_or_a_number_moves() -> None:
    before = np.array([[0.0, 0.0, 0.01, 0.30]])
    after = np.array([[0.3, 0.1, 0.05, 0.33]])
    assert matters(before, after, categorical=False).tolist() == [[True, False, True, False]]
    assert matters(before, after, categorical=True).tolist() == [[True, True, True, False]]


@pytest.mark.parametrize("past", [0, 16])
def test_devices_that_changed_are_told_from_the_others(past: int) -> None:
    random, shares = RANDOM(2), fleet()
    before = windows(random, shares, past)
    now = windows(random, moved(shares, slice(0, 3)), 2)
    changes = device_changes(now, before)
    assert changes.p[:3, 0].max() < 1e-6
    assert changes.p[3:].min() > 1e-5
    assert changes.own.all() == bool(past)


def test_what_all_devices_do_together_is_no_change_of_one() -> None:
    random, shares = RANDOM(3), fleet()
    before = windows(random, shares, 12)
    assert device_changes(windows(random, moved(shares, slice(None)), 2), before).p.min() > 1e-4


def test_one_odd_window_is_no_change() -> None:
    random, shares = RANDOM(4), fleet()
    before = windows(random, shares, 12)
    odd = windows(random, moved(shares, slice(0, 3)), 1)
    assert device_changes([*odd, *windows(random, shares, 1)], before).p[:3, 0].min() > 1e-3


def test_devices_that_always_differed_are_none_that_changed() -> None:
    random = RANDOM(5)
    shares = moved(fleet(), slice(0, 3))
    assert device_changes(windows(random, shares, 2), windows(random, shares, 12)).p.min() > 1e-4


def test_without_a_past_an_odd_device_among_devices_that_differ_gets_no_verdict() -> None:
    random = RANDOM(6)
    tilt = 1 + 0.8 * random.uniform(-1, 1, (30, 1)) * np.linspace(-1, 1, 10)
    shares = np.hstack([tilt / tilt.sum(axis=1, keepdims=True), np.zeros((30, 2))])
    now = windows(random, moved(shares, slice(0, 3)), 2)
    assert device_changes(now, []).p[:3, 0].min() == 1.0


@pytest.mark.parametrize("short", [1, WINDOWS - 1])
def test_too_short_a_past_is_none(short: int) -> None:
    random, shares = RANDOM(7), fleet()
    changes = device_changes(windows(random, shares, 1), windows(random, shares, short))
    assert not changes.own.any()


def test_a_device_that_was_not_there_and_one_without_rows_are_no_trouble() -> None:
    random, shares = RANDOM(8), fleet()
    absent = random.multinomial(200, shares)
    absent[[4, 9]] = 0
    gone = readings(EVEN, absent, categorical=False)
    new = device_changes(windows(random, shares, 2), [gone] * 12)
    assert (new.own[4], new.own[5]) == (False, True)
    assert device_changes([gone, gone], windows(random, shares, 12)).p[4].min() == 1.0
    silent = readings(EVEN, 0 * absent, categorical=False)
    assert device_changes([silent] * 2, [silent] * 12).p.min() == 1.0


def test_a_cohort_is_held_against_what_it_was_to_the_rest() -> None:
    random = RANDOM(9)

    def difference(shift: float) -> Readings:
        values = np.array([[0.3], [-0.3]]) + shift + 0.01 * random.standard_normal((2, 1))
        return Readings(values, np.full((2, 1), 1e-4), values)

    before = [difference(0) for _ in range(12)]
    assert cohort_changes([difference(0)], before).p.min() > 1e-3
    assert cohort_changes([difference(0.2)], before).p.max() < 1e-5
    assert cohort_changes([difference(0.2)], before[:3]).p.min() == 1.0


def test_a_quiet_device_is_taken_to_vary_as_all_and_a_restless_one_as_it_does() -> None:
    variances = np.ones((200, 1))
    variances[0] = 40
    result, freedom = steadied(variances, np.full((200, 1), 15))
    assert (result[0, 0], freedom[0, 0]) == (40, 15)
    assert (result[1:] == variances.mean()).all()
    assert freedom[1, 0] == 3_000
    assert (steadied(variances[:3], np.full((3, 1), 15))[0] == variances[:3]).all()


def test_any_dependence_costs_the_harmonic_sum() -> None:
    p = [0.02, 0.9]
    assert discoveries(p, 0.05) == {0}
    assert discoveries(p, 0.05, any_dependence=True) == set()
    assert discoveries([0.016, 0.9], 0.05, any_dependence=True) == {0}
    assert discoveries([], 0.05, any_dependence=True) == set()
