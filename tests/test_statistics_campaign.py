"""The campaign of ``make statistics``, shortened: every part runs, and no claim is far off."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binom

from benchmarks.statistics import canaries
from benchmarks.statistics.__main__ import PARTS, main
from benchmarks.statistics.claims import CLAIMS
from benchmarks.statistics.part import (
    QUICK,
    Effort,
    Part,
    clopper_pearson,
    level,
    median_within,
    most_hits,
    power,
    sensitivity,
    wilson,
)
from benchmarks.statistics.plugged.deciders import DECIDERS
from benchmarks.statistics.plugged.detectors import DETECTORS, ON_ERRORS
from benchmarks.statistics.plugged.protocol import named
from benchmarks.statistics.plugged.streams import CHANGE, Arms, Errors, Values
from benchmarks.statistics.report import claims_table, rows_of, sections
from benchmarks.statistics.rows import change_detectors, deciders
from cloud_hub.statistics.samples import Sample


@pytest.mark.parametrize("name", [name for name in PARTS if name in (
    "false-winners", "power", "energy", "assignment",
)])  # fmt: skip
def test_a_part_meets_its_goals_as_far_as_few_runs_can_tell(name: str) -> None:
    """A rate of few runs misses its goal only if the goal is outside of its interval."""
    rows = PARTS[name].run(QUICK)
    assert rows
    for row in rows:
        assert not row.refuted, row
        if row.met is False and "median" not in row.goal:
            assert "runs)" in row.result, row
            bounds = [float(part.rstrip("%")) for part in _interval(row.result)]
            goal = float(row.goal.strip("≤≥ %")) * (1 if "%" in row.goal else 100)
            assert bounds[0] <= goal <= bounds[1], row


def test_a_canary_that_fails_often_is_taken_back_in_time_and_a_healthy_one_is_not() -> None:
    """The hardest cells take a minute: ``make statistics-quick`` has them."""
    assert PARTS["canaries"].quick
    row = canaries._sick(QUICK, *canaries.SICK[0])
    assert not row.refuted, row
    assert not canaries._try(canaries.Fleet(200, 20, 400), 1.0, 20, 1).taken_back


def _interval(found: str) -> tuple[str, str]:
    low, _, high = found[found.index("(") + 1 : found.rindex(",")].partition(" to ")
    return low, high


def test_the_interval_of_a_share_is_wilsons() -> None:
    assert wilson(5, 100) == pytest.approx((0.0215, 0.1118), abs=1e-3)
    assert wilson(0, 10)[0] == 0


def test_the_campaign_writes_its_table(tmp_path: Path) -> None:
    assert main(["--quick", "--only", "assignment", "--out", str(tmp_path)]) == 0
    text = (tmp_path / "STATISTICS.md").read_text()
    assert "3 of 3 goals are met" in text
    assert "| golden vectors | 5 | 5 | met |" in text


@pytest.mark.parametrize("nominal", [0.05, 0.025, 0.01, 0.001])
def test_a_quick_cell_tells_twice_the_nominal_level_from_it(nominal: float) -> None:
    runs = QUICK.runs_for_level(100, nominal)
    most = most_hits(runs, nominal)
    assert binom.sf(most, runs, nominal) <= 0.01
    assert binom.sf(most, runs, 2 * nominal) == pytest.approx(sensitivity(runs, nominal))
    assert sensitivity(runs, nominal) >= 0.9
    assert not level("x", most, runs, nominal).refuted
    assert level("x", most + 1, runs, nominal).refuted


def test_a_cell_of_power_is_refuted_only_by_what_chance_does_not_explain() -> None:
    assert power("x", 85, 100, 0.9).met is False
    assert not power("x", 85, 100, 0.9).refuted
    assert power("x", 75, 100, 0.9).refuted


def test_a_median_is_refuted_by_what_chance_does_not_explain() -> None:
    values = [float(value) for value in range(1, 100)]
    assert median_within("x", values, 50, "").met
    assert median_within("x", values, 45, "").met is False
    assert not median_within("x", values, 45, "").refuted
    assert median_within("x", [*values[:-1], float("inf")], 30, "").refuted


def test_exact_intervals_are_those_of_clopper_and_pearson() -> None:
    assert clopper_pearson(5, 100) == pytest.approx((0.01643, 0.11283), abs=1e-5)
    assert clopper_pearson(0, 10) == pytest.approx((0, 0.30850), abs=1e-5)
    assert clopper_pearson(10, 10) == pytest.approx((0.69150, 1), abs=1e-5)


def test_a_seed_and_a_key_give_the_same_numbers_again_and_other_seeds_others() -> None:
    draws = {Effort(seed=seed).random(1, key).random() for seed in (1, 2) for key in (3, 4)}
    assert len(draws) == 4
    assert Effort(seed=1).random(1, 3).random() in draws


def test_every_claim_is_on_the_page_with_what_was_measured_and_what_was_missed() -> None:
    rows = [
        level("many devices", 3, 100, 0.05, claim="1"),
        level("few devices", 20, 100, 0.05, claim="1"),
        power("sick ones", 95, 100, 0.9, claim="1"),
    ]
    lines = {line.split(" | ")[0]: line for line in claims_table(rows).splitlines()[2:]}
    assert [*lines] == [f"| {claim.number}" for claim in CLAIMS]
    assert "2 of 3 met; **missed**: few devices: 20.00%" in lines["| 1"]
    assert "at most: many devices" in lines["| 1"]
    assert "at least: sick ones: 95.00%" in lines["| 1"]
    assert "not measured" in lines["| 2"]


def test_rows_name_claims_that_there_are_and_a_page_is_read_back(tmp_path: Path) -> None:
    assert main(["--quick", "--only", "cohorts", "--out", str(tmp_path)]) == 0
    [section] = sections((tmp_path / "STATISTICS.md").read_text()).values()
    found = rows_of(section)
    assert len(found) == 7
    assert {row.claim for row in found} <= {claim.number for claim in CLAIMS}
    assert all(row.met for row in found)


def test_a_refuted_goal_fails_the_campaign(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = Part("Bad", "All runs alarm.", lambda effort: [level("alarms", 50, 50, 0.05)], quick=True)
    monkeypatch.setitem(PARTS, "bad", bad)
    assert main(["--quick", "--only", "bad"]) == 1
    assert "bad: alarms: 100.00%" in capsys.readouterr().err


def always(reference: np.ndarray, windows: np.ndarray) -> np.ndarray:
    """A detector that somebody plugs in."""
    return np.ones(len(windows), dtype=bool)


def never_decides(control: Sample, candidate: Sample) -> np.ndarray:
    """A decider that somebody plugs in."""
    return np.zeros(len(control.n), dtype=int)


def test_a_detector_and_a_decider_of_others_stand_beside_ours() -> None:
    mine = replace(QUICK, plugged=(f"{__name__}:always",))
    found = {row.measured: row.result for row in change_detectors.run(mine)}
    name = f"40 devices alike, 50 rows each: {__name__}:always: windows with an alarm"
    assert found[name].startswith("100.00%")
    mine = replace(QUICK, plugged=(f"{__name__}:never_decides",))
    rows = {row.measured: row.result for row in deciders.run(mine)}
    [alarm] = [result for name, result in rows.items() if "9 and 1" in name and "never" in name]
    assert alarm.startswith("0.00%")


@pytest.mark.parametrize("name", ["nowhere:detect", "math:nothing", "math:pi", "math"])
def test_what_cannot_be_plugged_in_is_refused(name: str) -> None:
    with pytest.raises(SystemExit, match="--plug: expected"):
        named([name])


@pytest.mark.parametrize("name", [*DETECTORS, *ON_ERRORS])
def test_detectors_see_a_change_that_nobody_can_miss(name: str) -> None:
    random = np.random.default_rng(1)
    if name in DETECTORS:
        stream = Values("moved", 40, 50, moved=1.0, shift=3.0)
        alarms = DETECTORS[name](*stream.draw(random))
        assert alarms[CHANGE:].all()
    else:
        alarms = ON_ERRORS[name](*Errors("all wrong", 0.9).draw(random))
        assert alarms[105:110].any()


@pytest.mark.parametrize("name", DECIDERS)
def test_deciders_see_a_difference_that_nobody_can_miss(name: str) -> None:
    arms = Arms("far better", 50, 50, 0.01, gain=-0.6).draw(np.random.default_rng(1))
    assert DECIDERS[name](*arms)[-1] == -1
