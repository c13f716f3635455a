"""A short campaign, and what its judge would not let pass."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from tests.campaigns.live_fleet import Result, run, simulated, told


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Result:
    return run(100, tmp_path_factory.mktemp("live"), requests=500)


def test_a_candidate_that_is_bad_in_one_region_stops_there(result: Result) -> None:
    assert result.wrong() == []
    events = [event["event"] for event in result.report["timeline"]]
    assert events == ["started", "passed", "passed", "aborted"]
    assert "region=us" in told(result)


def test_nothing_is_counted_that_no_device_answered(result: Result) -> None:
    counted = sum(row["predictions"] for row in result.report["cohorts"] if row["arm"] != "control")
    assert 0 < counted <= result.requests["1.1"]


def test_the_judge_sees_exposure_elsewhere_and_another_end(result: Result) -> None:
    leaked = replace(result, exposed=Counter({"eu": 3, "us": 2, "asia": 1}))
    assert leaked.wrong() == ["expected nobody else exposed, these were: ['asia']"]
    experiment = {**result.report["experiment"], "status": "promoted"}
    passed = replace(result, report={**result.report, "experiment": experiment})
    assert "expected it taken back, it is promoted" in passed.wrong()[0]


def test_a_simulation_of_the_same_fleet_stops_in_the_same_step(result: Result) -> None:
    done = simulated(100, 500)
    assert result.agrees(done) == []
    assert {name for name, count in done.exposed["1.1"].items() if count} == {"eu", "us"}
    assert result.agrees(replace(done, end="promoted at 50% of everybody"))
