"""The detection parts of ``make statistics``, shortened; the peers' environment is not needed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.statistics import domain, drift, errors, groups, reporting, scan
from benchmarks.statistics.__main__ import PARTS
from benchmarks.statistics.part import QUICK, Row
from benchmarks.statistics.report import Measured, sections, to_markdown


def share_of(row: Row) -> float:
    return float(row.result.partition("%")[0]) / 100


def test_null_fleets_rarely_alarm_and_small_shifts_are_significant() -> None:
    alarm, told, _, pooled = drift._null(drift.DIFFERENT, 20)
    assert share_of(alarm) <= 0.05
    assert share_of(told) <= 0.2
    assert share_of(pooled) >= 0.2
    assert share_of(drift._small_shift(drift.Fleet(1, 0.0), 60)) >= 0.7


@pytest.mark.parametrize("phi", [0.9, 0.99])
def test_rows_of_one_device_that_come_in_runs_are_no_drift(phi: float) -> None:
    alarms = independent = 0
    for seed in range(15):
        reference, past, window = drift.correlated(np.random.default_rng(seed), phi, features=20)
        alarms += any(f.drifted for f in drift.fleet_drift(reference, window, past=past))
        independent += any(f.drifted for f in drift.fleet_drift(reference, window))
    assert alarms <= 1
    assert independent >= 4


@pytest.mark.parametrize(("devices", "traffic"), [(2, 0.0), (5, 1.5), (20, 1.5)])
def test_devices_whose_rates_differ_miss_no_values_more_often(devices: int, traffic: float) -> None:
    ours, pooled = domain._null(devices, traffic, 10)
    assert share_of(ours) <= 0.1
    assert share_of(pooled) >= 0.5


@pytest.mark.parametrize("world", scan.WORLDS, ids=lambda world: world.name)
def test_in_no_kind_of_fleet_does_anybody_differ_without_a_change(world: scan.World) -> None:
    assert not any(
        scan.found(world, scan.NOTHING, np.random.default_rng([7, seed])) for seed in range(2)
    )


@pytest.mark.parametrize("change", [scan.SHIFT, scan.RARE, scan.COHORT], ids=lambda c: c.name)
def test_a_tenth_of_the_devices_or_a_rare_category_is_found(change: scan.Change) -> None:
    """In fleets whose devices differ: what was 3% and 1% of the alarms that there should be."""
    row = scan._found(change, scan.WORLDS[0], 2)
    assert share_of(row) == 1


def test_a_risen_error_rate_is_found_soon_and_false_alarms_are_rare() -> None:
    false, *delays = errors._rise(QUICK)
    assert share_of(false) <= 0.05
    assert all(float(row.result.split()[0]) <= 350 for row in delays)


def test_alarms_are_judged_by_the_changes_that_they_follow() -> None:
    row = errors._judged("x", {"a": [10, 120, 130], "b": []}, {"a": [100], "b": [50]})
    assert row.result == "1 of 2 changes, median delay 21, 2 other alarms"


def test_a_window_of_fifty_features_is_small(tmp_path: Path) -> None:
    release, rows = reporting.release_and_rows(tmp_path)
    assert reporting._bytes(release, rows, tmp_path)[0].met


@pytest.mark.parametrize("before", ["", "# T\n\n1 of 2\n\n## Data drift\n\n| kept | 1 | 1 | met |"])
def test_parts_that_were_not_run_keep_what_the_report_said(before: str) -> None:
    rows = [Row("a", "≤ 1", "2", False), Row("b", "", "c")]
    text = to_markdown(PARTS, {"power": Measured(rows, 1.0, 13)}, sections(before))
    assert ("kept" in text) == bool(before)
    assert f"{int(bool(before))} of {1 + bool(before)} goals are met." in text


def test_a_group_that_gets_worse_is_found_by_its_own_errors_and_groups_alike_are_not() -> None:
    alarm, difference, _ = groups._null(QUICK)
    assert (share_of(alarm), share_of(difference)) == (0, 0)
    own, between, everybody = groups._worse(QUICK)
    assert share_of(own) == share_of(between) == 1
    assert share_of(everybody) <= 0.2
    assert own.met
