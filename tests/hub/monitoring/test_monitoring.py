"""Monitoring in a real hub: windows evaluated once, alarms latched, figures kept."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cloud_hub.cli.monitoring import history_text, status_text
from cloud_hub.data.dataset import Dataset
from cloud_hub.database.documents import as_document, as_documents
from cloud_hub.errors import Conflict, Invalid, NotFound
from cloud_hub.hub import Hub
from cloud_hub.monitoring.findings import FleetWindow, References, evaluate
from cloud_hub.monitoring.watching import pools
from cloud_hub.policy.schema import parse_policy
from cloud_hub.policy.schema.retention import Retention
from cloud_hub.statistics.detectors.seasonal import Usual
from cloud_hub.telemetry import retention
from cloud_hub.telemetry.fleet_windows import Closed
from edge_sdk.contract.messages import FeedbackReport
from edge_sdk.contract.profile import FeatureProfile, ReferenceProfile
from edge_sdk.contract.window import Window
from edge_sdk.telemetry.histograms import histogram
from tests.edge.builders import profile as reference_profile
from tests.edge.builders import rows
from tests.hub.telemetry.reporting_fleet import BEGIN, WINDOW, Simulated

POLICY = b"""
monitoring:
  outputs: false
  groups: [region]
"""


@pytest.fixture
def fleet(serving: Hub) -> Simulated:
    serving.policies.apply("demo", POLICY.decode(), actor="test")
    return Simulated(serving)


def run(fleet: Simulated, windows: range, **how: Any) -> list[str]:
    """Report and evaluate window by window; the signals that were raised."""
    raised = []
    for number in windows:
        fleet.window(number, **how)
        raised += [a.signal for a in fleet.hub.monitoring.tick(fleet.after(number))]
    return raised


def test_a_fleet_as_at_training_raises_nothing_and_its_figures_are_kept(fleet: Simulated) -> None:
    assert run(fleet, range(4)) == []
    figures = fleet.hub.monitoring.history("demo", signal="drift:f1")
    assert [row.start for row in figures] == [BEGIN + WINDOW * i for i in range(4)]
    assert all(row.figures["n"] == 1_600 for row in figures)


def test_a_feature_that_moved_in_two_windows_in_a_row_is_an_alarm_with_its_evidence(
    fleet: Simulated,
) -> None:
    assert run(fleet, range(1)) == []
    assert run(fleet, range(1, 2), shift=0.8) == []
    assert run(fleet, range(2, 3), shift=0.8) == ["drift:f1"]
    (alarm,) = fleet.hub.monitoring.alarms("demo")
    assert (alarm.kind, alarm.version, alarm.start) == ("drift", "1.0", BEGIN + 2 * WINDOW)
    assert alarm.evidence["ks"] > 0.2
    moved = alarm.evidence["moved"]
    assert moved["mean_after"] - moved["mean_before"] > 0.5
    assert "no held-out rows" in alarm.evidence["output"]["note"]


def test_one_odd_window_is_no_alarm(fleet: Simulated) -> None:
    assert run(fleet, range(1), shift=0.8) == []
    assert run(fleet, range(1, 2)) == []
    assert run(fleet, range(2, 3), shift=0.8) == []


def test_an_alarm_stays_until_it_is_acknowledged_and_may_then_come_again(fleet: Simulated) -> None:
    run(fleet, range(2), shift=0.8)
    assert run(fleet, range(2, 5)) == []
    assert [a.signal for a in fleet.hub.monitoring.alarms("demo")] == ["drift:f1"]
    assert run(fleet, range(5, 8), shift=0.8) == []
    seen = fleet.hub.monitoring.alarms("demo", since=fleet.after(7))
    assert [a.signal for a in seen] == ["drift:f1"]
    assert fleet.hub.monitoring.alarms("demo", since=fleet.after(7) + 1) == []
    fleet.hub.monitoring.acknowledge("demo", "drift:f1", actor="anna")
    assert fleet.hub.monitoring.alarms("demo") == []
    assert run(fleet, range(8, 9), shift=0.8) == ["drift:f1"]
    everything = fleet.hub.monitoring.alarms("demo", open_only=False)
    assert [a.acknowledged_by for a in everything] == ["anna", None]


def test_alarms_are_logged_when_they_are_raised_and_cleared(
    fleet: Simulated, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="cloud_hub.monitoring")
    run(fleet, range(3), shift=0.8)
    fleet.hub.monitoring.acknowledge("demo", "drift:f1", actor="anna")
    assert [record.getMessage() for record in caplog.records] == [
        "demo 1.0: alarm raised, drift:f1",
        "demo 1.0: alarm cleared, drift:f1, by anna",
    ]


def test_what_was_rebased_is_normal_and_a_return_is_the_drift(fleet: Simulated) -> None:
    run(fleet, range(2), shift=0.8)
    fleet.hub.monitoring.acknowledge("demo", "drift:f1", actor="anna", rebase=True)
    assert run(fleet, range(2, 5), shift=0.8) == []
    assert run(fleet, range(5, 7)) == ["drift:f1"]
    moved = fleet.hub.monitoring.alarms("demo")[0].evidence["moved"]
    assert moved["mean_before"] - moved["mean_after"] > 0.5


def test_held_out_rows_tell_how_the_feature_moved_the_answers(fleet: Simulated) -> None:
    file = io.BytesIO()
    np.savez(file, X=rows(2_000, seed=11), y=np.zeros(2_000, np.int64))
    fleet.hub.datasets.add("demo", "holdout", Dataset.from_bytes(file.getvalue()), actor="test")
    run(fleet, range(2), shift=0.8)
    told = fleet.hub.monitoring.alarms("demo")[0].evidence["output"]
    (part,) = told["parts"]
    assert (told["output"], part["name"]) == ("confidence", "f1")
    assert part["supported"] > 0.95
    assert abs(part["moved"]) > 0.002


def test_missing_values_are_followed_to_the_cohort_that_sends_them(fleet: Simulated) -> None:
    raised = run(fleet, range(2), missing=0.2, region="us")
    assert "domain:f2:missing" in raised
    (alarm,) = (a for a in fleet.hub.monitoring.alarms("demo") if a.kind == "domain")
    worst, other = alarm.evidence["cohorts"]
    assert (worst["attribute"], worst["value"], worst["alarming"]) == ("region", "us", True)
    assert (other["value"], other["rate"]) == ("eu", 0.0) if other else True


def test_windows_with_few_observations_are_added_to_the_next(serving: Hub) -> None:
    fleet = Simulated(serving, devices=2, rows=100)
    run(fleet, range(2))
    assert serving.monitoring.history("demo") == []
    run(fleet, range(2, 5))
    (row,) = serving.monitoring.history("demo", signal="drift:f0")
    assert (row.start, row.end) == (BEGIN, BEGIN + 3 * WINDOW)


def test_each_window_is_evaluated_once_and_late_reports_start_no_second_look(
    fleet: Simulated,
) -> None:
    run(fleet, range(2))
    fleet.window(0)
    fleet.hub.monitoring.tick(fleet.after(1) + 120)
    assert len(fleet.hub.monitoring.history("demo", signal="drift:f1")) == 2


def test_a_window_waits_for_its_grace(fleet: Simulated) -> None:
    fleet.window(0)
    fleet.hub.monitoring.tick(BEGIN + WINDOW + 30)
    assert fleet.hub.monitoring.history("demo") == []


def test_errors_that_rose_are_an_alarm_with_the_window_in_which_they_rose(
    fleet: Simulated,
) -> None:
    # The demo release promises no score, so its first labels are the base rate.
    assert run(fleet, range(4), errors=0.1) == []
    raised = run(fleet, range(4, 6), errors=0.25)
    assert raised[0] == "concept:errors"
    (alarm,) = (a for a in fleet.hub.monitoring.alarms("demo") if a.kind == "concept")
    assert alarm.evidence["risen_since"] == BEGIN + 4 * WINDOW
    assert alarm.evidence["coverage"] == 1.0
    fleet.hub.monitoring.acknowledge("demo", "concept:errors", actor="anna", rebase=True)
    assert run(fleet, range(6, 9), errors=0.12) == []


def test_labels_count_for_the_window_of_their_prediction_once_enough_came(
    fleet: Simulated,
) -> None:
    fleet.window(0, errors=None)
    fleet.hub.monitoring.tick(fleet.after(0))
    assert fleet.hub.monitoring.history("demo", signal="concept:errors") == []
    where = Window("demo", "1.0", BEGIN, BEGIN + WINDOW)
    for device in fleet.names:
        fleet.send(device, FeedbackReport(where, 60, 50, 60, 50))
    fleet.window(1)
    fleet.hub.monitoring.tick(fleet.after(1))
    (row,) = fleet.hub.monitoring.history("demo", signal="concept:errors")
    assert (row.start, row.figures["labelled"]) == (BEGIN, 960)


def test_groups_of_devices_are_compared(fleet: Simulated) -> None:
    where = Window("demo", "1.0", BEGIN, BEGIN + WINDOW)
    fleet.window(0)
    for i, device in enumerate(fleet.names):
        right = 95 if i % 2 else 60
        fleet.send(device, FeedbackReport(where, 100, right, 100, right))
    raised = fleet.hub.monitoring.tick(fleet.after(0))
    assert "fairness:region" in [a.signal for a in raised]
    (alarm,) = (a for a in raised if a.kind == "fairness")
    assert (alarm.evidence["best"], alarm.evidence["worst"]) == ("us", "eu")
    assert len(alarm.evidence["groups"]) == 2


def test_another_version_begins_without_alarms(fleet: Simulated, tmp_path: Any) -> None:
    from tests.edge.builders import make_release

    run(fleet, range(2), shift=0.8)
    release = make_release(tmp_path / "next", version="1.1", seed=1)
    fleet.hub.registry.publish(release, actor="test", gated=True)
    fleet.hub.plans.promote("demo", "1.1", actor="test", reason="better")
    assert fleet.hub.monitoring.alarms("demo") == []
    assert fleet.hub.monitoring.status("demo").version == "1.1"


REFUSED = {
    "a signal without an alarm": ("drift:f3", False, NotFound, "no open alarm"),
    "a rebase of a promise": ("domain:f2:missing", True, Conflict, "only drift and concept"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_an_answer_that_means_nothing_is_refused(fleet: Simulated, case: str) -> None:
    signal, rebase, error, said = REFUSED[case]
    run(fleet, range(2), missing=0.3)
    with pytest.raises(error, match=said):
        fleet.hub.monitoring.acknowledge("demo", signal, actor="anna", rebase=rebase)


def test_a_model_that_serves_nothing_has_no_status(inner: Hub) -> None:
    with pytest.raises(NotFound, match="nothing serves"):
        inner.monitoring.status("demo")
    assert inner.monitoring.alarms("demo") == []


def test_the_state_reads_as_text(fleet: Simulated) -> None:
    assert "no window" in status_text(as_document(fleet.hub.monitoring.status("demo")))
    run(fleet, range(2), shift=0.8, errors=0.1)
    text = status_text(as_document(fleet.hub.monitoring.status("demo")))
    assert "1 open alarm" in text
    raised = next(line for line in text.splitlines() if line.startswith("  drift:f1 since "))
    assert "ks=0." in raised
    assert "moved=mean_before:" in raised
    assert "    output note=no held-out rows" in text
    assert "{" not in text  # figures for people, not a program's
    assert "! drift:f1" in text
    history = history_text(as_documents(fleet.hub.monitoring.history("demo", signal="drift:f1")))
    assert len(history.splitlines()) == 2


def test_the_policies_that_the_docs_show_are_some() -> None:
    text = (Path(__file__).parents[3] / "docs" / "MONITORING.md").read_text()
    blocks = [block.partition("```")[0] for block in text.split("```yaml\n")[1:]]
    bound, whole = map(parse_policy, blocks)
    assert bound.reporting.right_within == 2.5
    assert (whole.monitoring.reference, whole.monitoring.groups) == ("season", ("region",))


POLICIES = {
    "few observations": ("minimum: 20", "minimum: expected at least 100"),
    "no coverage": ("label_coverage: 0", "label_coverage: expected above 0"),
    "a detector that cries wolf": ("mean_run: 10", "mean_run: expected at least 1000"),
    "another reference": ("reference: moon", "expected one of"),
}


@pytest.mark.parametrize("case", POLICIES)
def test_a_policy_that_cannot_be_watched_by_is_refused(case: str) -> None:
    text, said = POLICIES[case]
    with pytest.raises(Invalid, match=said):
        parse_policy(f"monitoring:\n  {text}\n")


def test_a_hub_that_was_down_catches_up_without_a_break_for_the_others(
    fleet: Simulated, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cloud_hub.monitoring.watching.AT_ONCE", 2)
    for number in range(3):
        fleet.window(number)
    fleet.hub.monitoring.tick(fleet.after(5))
    assert len(fleet.hub.monitoring.history("demo", signal="drift:f0")) == 2
    fleet.hub.monitoring.tick(fleet.after(7))
    assert len(fleet.hub.monitoring.history("demo", signal="drift:f0")) == 3


def test_a_drift_is_followed_to_the_cohort_that_moved(fleet: Simulated) -> None:
    raised = run(fleet, range(2), shift=1.0, region="us")
    assert raised == ["drift:f1"]
    worst, other = fleet.hub.monitoring.alarms("demo")[0].evidence["cohorts"]
    assert (worst["attribute"], worst["value"], worst["n"]) == ("region", "us", 800)
    assert worst["ks"] > 0.3 > 0.1 > other["ks"]


WEEK = 7 * 86_400 // WINDOW


@pytest.mark.parametrize(("shift", "expected"), [(0.8, []), (0.0, ["drift:f1"])])
def test_with_a_season_a_window_is_held_against_the_same_hour_of_earlier_weeks(
    serving: Hub, shift: float, expected: list[str]
) -> None:
    policy = POLICY.decode() + "  reference: season\n"
    serving.policies.apply("demo", policy, actor="test")
    fleet = Simulated(serving)
    for number in range(4):
        fleet.window(number, shift=0.8)  # at this hour that is usual
    retention.clean(serving.engine, "demo", fleet.after(WEEK), Retention())
    raised = run(fleet, range(WEEK, WEEK + 2), shift=shift)
    assert [signal for signal in raised if signal.startswith("drift")] == expected


def test_without_enough_of_a_season_only_what_is_unusual_alarms() -> None:
    profile = reference_profile()
    random = np.random.default_rng(0)
    x = random.standard_normal(4_000) + 0.4
    counts = np.array([histogram(profile.features[1], x)])
    window = FleetWindow(0, 60, ("d1",), {"f1": counts})
    only = replace(profile, features=(profile.features[1],), outputs=())
    for mean, alarming in ((0.01, True), (0.6, False)):
        usually = {"drift:f1": Usual(mean, 0.01, 9)}
        found = evaluate(window, References(only, usual=usually), outputs=True)[0]
        assert (found.signal, found.alarming) == ("drift:f1", alarming)


def test_categories_that_moved_are_told_by_their_shares() -> None:
    town = FeatureProfile("town", (50, 50, 0, 0), None, ("Bern", "Oslo"))
    counts = np.array([[900, 100, 0, 0]])
    window = FleetWindow(0, 60, ("d1",), {"town": counts})
    found = evaluate(window, References(ReferenceProfile(100, (town,))), outputs=True)[0]
    assert (found.signal, found.alarming) == ("drift:town", True)
    assert found.figures.moved.shares_changed["Bern"] == pytest.approx(0.4)


@pytest.mark.parametrize(("unsure", "alarming"), [(500, False), (530, False), (700, True)])
def test_an_estimated_accuracy_alarms_once_it_surely_dropped_by_two_points(
    unsure: int, alarming: bool
) -> None:
    sure = FeatureProfile(
        "confidence", (50_000, 50_000, 0, 0), (0.5, 0.8, 1.0), None, (30_000, 48_000)
    )
    profile = ReferenceProfile(100_000, (), (sure,))
    counts = np.array([[1_000 * unsure, 1_000 * (1_000 - unsure), 0, 0]])
    window = FleetWindow(0, 60, ("d1",), {"confidence": counts})
    found = {f.signal: f for f in evaluate(window, References(profile), outputs=False)}
    estimate = found["estimate:accuracy"]
    assert estimate.alarming is alarming
    assert "blind to concept drift" in estimate.figures.note


def test_a_model_without_named_features_is_watched_for_what_it_has() -> None:
    window = FleetWindow(0, 60, ("d1",), {})
    assert evaluate(window, References(ReferenceProfile(10, ())), outputs=True) == []


def test_pools_are_of_neighbours_and_what_is_left_waits() -> None:
    windows = [Closed(i * 60, i * 60 + 60, n) for i, n in enumerate([600, 300, 300, 100])]
    assert list(pools(windows, 500)) == [(0, 60), (60, 180)]
