"""Rates that rose, where devices differ or rows come in runs: known answers, error rates."""

from __future__ import annotations

import numpy as np
import pytest

from cloud_hub.statistics.detectors.rates import Occurrences, more_often, rise_p, windows_effect
from cloud_hub.statistics.detectors.two_samples import MANY, RandomSigns

RANDOM = np.random.default_rng


def counted(hits: list[float], rows: list[float]) -> Occurrences:
    return Occurrences(np.array(hits, float), np.array(rows, float))


def test_one_device_is_tested_exactly() -> None:
    assert rise_p((5, 1_000), counted([30], [1_000])) == more_often((5, 1_000), 30, 1_000)


@pytest.mark.parametrize("devices", [2, 5, 13, MANY, 60])
def test_a_rise_on_every_device_is_found_and_one_device_alone_is_not(devices: int) -> None:
    random = RANDOM(devices)
    signs = RandomSigns(devices, 999, 1)
    rows = np.full(devices, 1_000.0)
    everywhere = random.binomial(1_000, 0.2, devices).astype(float)
    assert rise_p((50, 1_000), Occurrences(everywhere, rows), signs=signs) < 0.05
    alone = np.where(np.arange(devices) == 0, 900.0, 50.0)
    assert rise_p((50, 1_000), Occurrences(alone, rows), signs=signs) > 0.05


BAD = {
    "no rows": ((5, 100), [0, 0], [0, 0]),
    "no training": ((0, 0), [5, 5], [50, 50]),
    "no device": ((5, 100), [], []),
    "never before and never now": ((0, 100), [0, 0], [50, 50]),
}


@pytest.mark.parametrize("case", BAD)
def test_nothing_to_compare_is_no_rise(case: str) -> None:
    reference, hits, rows = BAD[case]
    assert rise_p(reference, counted(hits, rows)) == pytest.approx(1.0)


def test_devices_without_rows_are_left_out() -> None:
    rows = np.where(np.arange(20) < 5, 0.0, 500.0)
    hits = rows * 0.2
    signs = RandomSigns(20, 999, 1)
    assert rise_p((10, 500), Occurrences(hits, rows), signs=signs) < 0.01


def test_one_device_with_nearly_all_rows_decides_nothing() -> None:
    assert rise_p((50, 1_000), counted([9_000, 5, 5], [10_000, 100, 100])) > 0.05


def test_what_earlier_windows_vary_by_takes_rows_away() -> None:
    even = counted([50] * 10, [1_000] * 10)
    runs = counted([0, 0, 0, 200, 0, 0, 300, 0, 0, 0], [1_000] * 10)
    assert windows_effect(even) == 1.0
    assert windows_effect(runs) > 50
    assert windows_effect(counted([0] * 10, [100] * 10)) == 1.0
    assert windows_effect(counted([5], [100])) == 1.0
    rise = counted([90], [1_000])
    assert rise_p((500, 10_000), rise, past=even) < 0.001
    assert rise_p((500, 10_000), rise, past=runs) > 0.05
