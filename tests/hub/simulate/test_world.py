"""Stories of whole fleets: what gates, triggers and plans make of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from cloud_hub.errors import Invalid
from cloud_hub.experiments.verdict.spec import parse_experiment
from cloud_hub.policy.schema.parse import parse_policy
from cloud_hub.simulate.outcome import Simulated
from cloud_hub.simulate.repeat import repeat, shares
from cloud_hub.simulate.scenario import DAY
from cloud_hub.simulate.world import simulate
from tests.hub.simulate.scenarios import canary, fleet

NOTHING = parse_policy("")
BAD_IN_US = """
- {version: '1.0'}
- {version: '1.1', released: 1d, cohorts: {us: {accuracy: 0.5}}}
"""


def happened(done: Simulated) -> list[tuple[str, str]]:
    return [(event.what, event.where) for event in done.events]


def test_a_good_candidate_is_promoted_region_by_region() -> None:
    done = simulate(fleet(), NOTHING, canary(), seed=1)
    assert [what for what, _ in happened(done)] == ["started", "passed", "promoted"]
    assert done.end == "promoted at 30% of region=us"
    assert done.series[-1] == (3 * DAY, (0, 60))
    assert done.harm["1.1"].device_hours == 0
    assert sum(done.exposed["1.1"].values()) == 60


def test_a_candidate_that_is_bad_in_one_region_stops_there_and_goes_back() -> None:
    done = simulate(fleet(versions=BAD_IN_US), NOTHING, canary(), seed=1)
    assert happened(done)[-1] == ("aborted", "30% of region=us")
    assert done.end == "aborted at 30% of region=us"
    assert done.series[-1][1] == (60, 0)
    harm, exposed = done.harm["1.1"], done.exposed["1.1"]
    assert exposed["us"] >= 3
    assert 0 < harm.device_hours <= 24 * exposed["us"]
    # 45 points of 50 requests an hour.
    assert harm.failures == pytest.approx(harm.device_hours * 50 * 0.45, rel=0.01)


def test_the_same_seed_tells_the_same_story_and_another_one_another() -> None:
    scenario = fleet(versions=BAD_IN_US, duration="30h")
    one, again, other = (simulate(scenario, NOTHING, canary(), seed=s) for s in (1, 1, 2))
    assert one == again
    assert one.events != other.events


def test_a_version_that_devices_cannot_activate_is_taken_back() -> None:
    versions = "\n- {version: '1.0'}\n- {version: '1.1', released: 1d, install_failures: 0.9}\n"
    done = simulate(fleet(versions=versions, duration="36h"), NOTHING, canary())
    assert done.end == "aborted at 30% of region=eu"
    assert "failed on" in done.events[-1].reason


def test_devices_that_lie_about_a_good_candidate_do_not_decide_alone() -> None:
    scenario = fleet(hostile="{share: 0.04, says: wrong, times: 50}", devices="50")
    done = simulate(scenario, NOTHING, canary(), seed=3)
    assert "aborted" not in dict(happened(done))


RETRAINS = parse_policy("""
model: fleet
train: {entry: 'pipeline:train', mode: stateful, minimum_samples: 0}
triggers:
- name: worse
  when: {performance: {below: 0.85, minimum: 200, lookback: 1d, false_alarm_every: 100d}}
- name: shifted
  when: {drift: {}}
experiment: {steps: [0.5, 1.0], soak: 2h, margin: 0.1}
""")
DRIFTS = """
- {version: '1.0', changes: [{at: 1d, over: 6h, accuracy: -0.4}]}
"""


def test_a_drift_fires_a_trigger_whose_run_makes_a_version_that_is_tried() -> None:
    done = simulate(fleet(versions=DRIFTS), RETRAINS, seed=1)
    what = [word for word, _ in happened(done)]
    assert what[:4] == ["fired", "run", "released", "started"]
    assert DAY < done.events[0].at < 2 * DAY
    assert what[-1] == "promoted"
    assert done.versions == ("1.0", "1.1")
    assert done.series[-1][1] == (0, 60)
    assert done.unknown == ("rule shifted: distributions of features are not drawn",)


def test_without_a_drift_nothing_fires() -> None:
    done = simulate(fleet(versions="\n- {version: '1.0'}\n"), RETRAINS, seed=1)
    assert done.events == ()
    assert done.end == "no experiment"


def test_load_is_the_arithmetic_of_the_fleet() -> None:
    scenario = fleet(
        versions="\n- {version: '1.0'}\n", duration="2d", poll="10m",
        online="{share: 1.0, night: 0.5}", devices="600",
    )  # fmt: skip
    load = simulate(scenario, NOTHING).load
    assert load.polls_peak == pytest.approx(1.0)  # 600 devices / 600 s
    assert load.polls == pytest.approx((16 + 8 * 0.5) / 24, rel=0.03)
    assert load.reports == pytest.approx(600 / 7_200, rel=0.05)  # late ones come, too
    assert load.reports_peak > 1.2 * load.reports
    assert load.storm == pytest.approx(600 / 60)
    assert load.downloads == 0


def test_a_person_approves_what_won() -> None:
    spec = replace(canary(), approval=True)
    waits = simulate(fleet(duration="36h"), NOTHING, spec, seed=1)
    assert waits.end.startswith("waiting")
    done = simulate(fleet(duration="40h", approval="3h"), NOTHING, spec, seed=1)
    assert done.events[-1].reason == "by a person"
    assert done.end.startswith("promoted")


def test_what_the_scenario_does_not_say_is_refused() -> None:
    shadow = parse_experiment("model: fleet\nstrategy: shadow\ncandidate: '1.1'\n")
    for spec, expected in (
        (shadow, "expected a canary or an A/B/n test by device"),
        (replace(canary(), candidate="9.9"), "say how good they truly are"),
        (replace(canary(), model="other"), "the experiment is of other"),
    ):
        with pytest.raises(Invalid, match=expected):
            simulate(fleet(), NOTHING, spec)
    never = fleet(versions="\n- {version: '1.0'}\n- {version: '1.1'}\n")
    with pytest.raises(Invalid, match="released: 1d"):
        simulate(never, NOTHING, canary())


def test_repeats_give_shares_with_intervals() -> None:
    scenario = fleet(versions=BAD_IN_US, duration="30h", devices="30")
    told: list[float] = []
    done = repeat("canary", scenario, NOTHING, canary(), seed=5, times=3, progress=told.append)
    assert sum(end.count for end in done.ends) == 3
    assert told[-1] == 1
    assert done.first.seed == 5
    [half, other] = shares(Counter({"a": 5, "b": 5}))
    assert (half.low, half.high) == pytest.approx((0.2366, 0.7634), abs=1e-4)  # Wilson (1927)
    assert other.share == 0.5
