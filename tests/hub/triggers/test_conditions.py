"""Triggers, the pure part: conditions, firing, and the replay of history."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud_hub.database.documents import as_document
from cloud_hub.policy.schema import (
    BudgetPolicy,
    Condition,
    DriftRule,
    PerformanceRule,
    TriggerRule,
    VolumeRule,
)
from cloud_hub.statistics.detectors import accuracy
from cloud_hub.triggers import conditions
from cloud_hub.triggers.facts import (
    Call,
    Facts,
    LabelBatch,
    LabelCounts,
    OpenAlarm,
    ServingHistory,
    TriggerState,
    VersionFacts,
)
from cloud_hub.triggers.latching import WEEK, evaluate
from cloud_hub.triggers.replay import Replay, replay, step_of
from edge_sdk.contract.codec import from_plain

DAY = 86_400.0
MONDAY = 1_767_571_200.0  # 2026-01-05 00:00 UTC
SERVING = VersionFacts("1.0", 0.0, 1_000)


def labels(labelled: int, correct: int, start: float = 0.0) -> tuple[LabelCounts, ...]:
    return (LabelCounts(start, labelled, correct, start),)


def batches(windows: tuple[LabelCounts, ...]) -> tuple[LabelBatch, ...]:
    """The same labels by device: 40 of them, as far as there are labels for so many."""
    each = []
    for w in windows:
        devices = max(1, min(40, w.labelled))
        cuts = [(w.labelled * i // devices, w.correct * i // devices) for i in range(devices + 1)]
        for device, (a, b) in enumerate(pairwise(cuts)):
            counts = (b[0] - a[0], b[1] - a[1])
            order = int(w.start)
            each.append(LabelBatch(order, w.start, f"d-{device}", *counts, w.available_at))
    return tuple(each)


def facts(now: float = DAY, **more: Any) -> Facts:
    told = {"": {"": batches(more.get("labels", ()))}}
    for by, groups in more.get("groups", {}).items():
        told[by] = {name: batches(windows) for name, windows in groups.items()}
    return Facts(**{"now": now, "since": 0.0, "serving": SERVING, "batches": told, **more})


BAD = facts(labels=labels(1_000, 700))
POOR = Condition(performance=PerformanceRule(0.9, 100))


def test_an_interval_is_due_at_its_age_and_not_before() -> None:
    every = Condition(every_seconds=100.0)
    assert not conditions.judge(every, facts(99)).fired
    assert conditions.judge(every, facts(100)).fired
    assert not conditions.judge(every, facts(100), TriggerState(fired_at=50.0)).fired


def test_a_cron_line_is_due_once_each_time_it_comes() -> None:
    weekly = Condition(cron="0 3 * * mon")
    three = MONDAY + 3 * 3_600
    began = {"since": MONDAY}
    assert not conditions.judge(weekly, facts(three - 1, **began)).fired
    found = conditions.judge(weekly, facts(three + 1, **began))
    assert (found.fired, found.evidence.due) == (True, "2026-01-05T03:00:00+00:00")
    assert not conditions.judge(
        weekly, facts(three + 1, **began), TriggerState(fired_at=three)
    ).fired
    assert conditions.judge(
        weekly, facts(three + WEEK, **began), TriggerState(fired_at=three)
    ).fired


def test_a_webhook_holds_from_a_call_until_it_fired() -> None:
    hook = Condition(webhook=True)
    assert not conditions.judge(hook, facts()).fired
    found = conditions.judge(hook, facts(), TriggerState(call=Call(5.0, 2, {"commit": "abc"})))
    assert found.fired
    assert found.evidence.said == {"commit": "abc"}


def test_a_manual_rule_never_fires_by_itself() -> None:
    assert not conditions.judge(Condition(manual=True), facts(1e12)).fired


@pytest.mark.parametrize(
    ("labelled", "correct", "fires"),
    [(1_000, 800, True), (1_000, 895, False), (1_000, 950, False), (50, 10, False), (0, 0, False)],
)
def test_performance_fires_only_when_accuracy_is_surely_below(
    labelled: int, correct: int, fires: bool
) -> None:
    verdict = conditions.judge(POOR, facts(labels=labels(labelled, correct)))
    assert verdict.fired is fires
    assert verdict.evidence.labelled == labelled


def test_performance_looks_back_and_no_further() -> None:
    short = Condition(performance=PerformanceRule(0.9, 100, lookback_seconds=10))
    old = facts(100, labels=labels(1_000, 500, start=80))
    assert not conditions.judge(short, old).fired
    assert conditions.judge(short, facts(90, labels=labels(1_000, 500, start=80))).fired


def test_labels_are_taken_once_however_often_one_looks() -> None:
    once = evaluate(rule(), facts(labels=labels(200, 178)), TriggerState(), BudgetPolicy())
    assert once.outcome == "quiet"
    state = once.state
    for _ in range(50):
        state = evaluate(rule(), facts(labels=labels(200, 178)), state, BudgetPolicy()).state
    assert state == once.state
    (watch,) = state.watches.values()
    assert (
        0 < accuracy.strength(watch.evidence[""]) < PerformanceRule(0.9).false_alarm_every_seconds
    )


def test_a_state_with_its_detectors_is_stored_and_read_again() -> None:
    state = evaluate(rule(), facts(labels=labels(200, 178)), TriggerState(), BudgetPolicy()).state
    stored = json.loads(json.dumps(asdict(state)))
    assert from_plain(TriggerState, stored, "state") == state


JUMPS = {"a century ahead": 3_155_760_000.0, "back to the year 1970": 0.0}


@pytest.mark.parametrize("case", JUMPS)
def test_a_clock_that_jumps_is_no_evidence(case: str) -> None:
    state = evaluate(rule(), facts(labels=labels(200, 190)), TriggerState(), BudgetPolicy()).state
    now = JUMPS[case]
    one_more = facts(now, labels=labels(200, 190, start=max(1.0, now - 5)))
    assert evaluate(rule(), one_more, state, BudgetPolicy()).outcome == "quiet"


def test_labels_that_hang_together_in_one_device_count_once() -> None:
    """A thousand labels of one device in one window are one batch, however bad."""
    one = (LabelBatch(0, 0.0, "d-1", 1_000, 100, 0.0),)
    single = facts(labels=labels(1_000, 100), batches={"": {"": one}})
    assert not conditions.judge(POOR, single).fired
    assert conditions.judge(POOR, facts(labels=labels(1_000, 100))).fired


def test_what_is_reached_by_chance_is_as_rare_for_many_groups_together() -> None:
    groups = {"sex": {name: labels(1_000, 700) for name in "abcde"}}
    by = Condition(performance=PerformanceRule(0.9, 100, by="sex"))
    (first, *_) = conditions.judge(by, facts(groups=groups)).evidence.groups
    assert first.fires_at_seconds == 5 * PerformanceRule(0.9).false_alarm_every_seconds


def test_performance_by_group_is_that_of_the_worst_one() -> None:
    groups = {"sex": {"f": labels(1_000, 700), "m": labels(9_000, 8_700), "x": labels(50, 5)}}
    all_ = labels(10_050, 9_405)
    by = Condition(performance=PerformanceRule(0.9, 100, by="sex"))
    verdict = conditions.judge(by, facts(labels=all_, groups=groups))
    assert verdict.fired
    assert [group.group for group in verdict.evidence.groups] == ["f", "x", "m"]
    assert not conditions.judge(POOR, facts(labels=all_, groups=groups)).fired
    few = {"sex": {**groups["sex"], "f": labels(99, 1)}}
    assert not conditions.judge(by, facts(labels=all_, groups=few)).fired


def test_performance_by_what_nobody_has_never_fires_and_says_so() -> None:
    by = Condition(performance=PerformanceRule(0.9, 100, by="sx"))
    verdict = conditions.judge(by, facts(labels=labels(1_000, 1)))
    assert not verdict.fired
    assert "no labels" in verdict.evidence.note


def test_volume_counts_against_the_training_rows() -> None:
    five = Condition(volume=VolumeRule(0.05))
    assert not conditions.judge(five, facts(new_rows=49)).fired
    assert conditions.judge(five, facts(new_rows=50)).fired


ALARMS = (
    OpenAlarm("drift:f1", "drift", 10.0, evidence={"effect": 0.2, "ks": 0.2}),
    OpenAlarm("drift:f2", "drift", 20.0, acknowledged_at=40.0, evidence={"effect": 0.4}),
    OpenAlarm("fairness:region", "fairness", 30.0),
)


@pytest.mark.parametrize(
    ("rule", "now", "fires"),
    [
        (DriftRule(), 9.0, False),
        (DriftRule(), 10.0, True),
        (DriftRule(signals=2), 19.0, False),
        (DriftRule(signals=2), 20.0, True),
        (DriftRule(signals=2), 40.0, False),
        (DriftRule(kinds=("domain", "concept")), 50.0, False),
        (DriftRule(kinds=("fairness",)), 29.0, False),
        (DriftRule(kinds=("fairness",)), 30.0, True),
    ],
)
def test_drift_fires_on_alarms_that_are_open(rule: DriftRule, now: float, fires: bool) -> None:
    known = ServingHistory(((0.0, "1.0"),), {"1.0": replace(SERVING, alarms=ALARMS)}).at(now)
    assert known is not None
    assert conditions.judge(Condition(drift=rule), known).fired is fires


def test_the_evidence_of_drift_names_the_worst_alarms_first() -> None:
    found = as_document(
        conditions.judge(Condition(drift=DriftRule()), facts(alarms=ALARMS)).evidence
    )
    assert [alarm["signal"] for alarm in found["worst"]] == ["drift:f2", "drift:f1"]
    assert found["worst"][1]["ks"] == 0.2


def test_all_and_any_combine_and_show_the_evidence_of_every_part() -> None:
    parts = (POOR, Condition(volume=VolumeRule(0.05)))
    both, either = Condition(all=parts), Condition(any=parts)
    nested = Condition(any=(Condition(all=parts), Condition(every_seconds=2 * DAY)))
    assert [conditions.judge(c, BAD).fired for c in (both, either, nested)] == [False, True, False]
    enough = replace(BAD, new_rows=60)
    assert all(conditions.judge(c, enough).fired for c in (both, either, nested))
    shown = as_document(conditions.judge(both, BAD).evidence)["all"]
    assert [(part["condition"], part["holds"]) for part in shown] == [
        ("performance", True),
        ("volume", False),
    ]


def rule(when: Condition = POOR, **more: Any) -> TriggerRule:
    return TriggerRule("r", when, **{"cooldown_seconds": 0.0, **more})


FIRED = TriggerState(fired_at=DAY - 60, fired_version="1.0")
ELSE = TriggerState(fired_at=DAY - 60, fired_version="0.9")
HINDERED: dict[str, tuple[TriggerRule, TriggerState, list[float], str]] = {
    "nothing in the way": (rule(), TriggerState(), [], "fired"),
    "it fired for this version": (rule(), FIRED, [], "latched"),
    "it was re-armed": (rule(), replace(FIRED, rearmed=True), [], "fired"),
    "it fired for another version": (rule(), ELSE, [], "fired"),
    "an event is never latched": (rule(Condition(every_seconds=30.0)), FIRED, [], "fired"),
    "the cool-down": (rule(cooldown_seconds=61), ELSE, [], "cooling"),
    "after the cool-down": (rule(cooldown_seconds=60), ELSE, [], "fired"),
    "a re-armed rule rests too": (
        rule(cooldown_seconds=61), replace(FIRED, rearmed=True), [], "cooling",
    ),
    "too early": (rule(not_before_seconds=DAY + 1), TriggerState(), [], "too_early"),
    "few labels": (rule(minimum_labels=1_001), TriggerState(), [], "few_labels"),
    "enough labels": (rule(minimum_labels=1_000), TriggerState(), [], "fired"),
    "it has just begun to hold": (rule(hold_seconds=60), TriggerState(), [], "holding"),
    "it holds long enough": (rule(hold_seconds=60), TriggerState(held_since=DAY - 60), [], "fired"),
    "the week's runs are used up": (rule(), TriggerState(), [DAY - 2, DAY - 1], "over_budget"),
    "the runs are of another week": (rule(), TriggerState(), [DAY - WEEK, DAY - 1], "fired"),
}  # fmt: skip


@pytest.mark.parametrize("case", HINDERED)
def test_a_condition_that_holds(case: str) -> None:
    what, state, runs, outcome = HINDERED[case]
    decision = evaluate(what, BAD, state, BudgetPolicy(2), runs)
    assert decision.outcome == outcome
    if outcome == "fired":
        found = replace(decision.state, watches={})
        assert found == TriggerState(fired_at=DAY, fired_version="1.0")
    else:
        assert decision.reason


def test_a_condition_that_breaks_off_begins_to_hold_anew() -> None:
    state = TriggerState(held_since=5.0)
    assert evaluate(rule(), facts(), state, BudgetPolicy()).state.held_since is None


def test_a_call_is_used_up_by_the_firing_and_not_before() -> None:
    called = TriggerState(call=Call(1.0, 1, {}))
    hook = rule(Condition(webhook=True), not_before_seconds=2 * DAY)
    waits = evaluate(hook, facts(), called, BudgetPolicy())
    assert (waits.outcome, waits.state.call) == ("too_early", called.call)
    done = evaluate(hook, facts(2 * DAY), waits.state, BudgetPolicy())
    assert (done.outcome, done.state.call) == ("fired", None)


# --- history -----------------------------------------------------------------


def history(
    days: int = 30, drops: float = 10 * DAY, promoted: float | None = None
) -> ServingHistory:
    """A model that gets worse at ``drops``; at ``promoted`` a good 2.0 follows."""
    ends = promoted or days * DAY
    hours = [hour * 3_600.0 for hour in range(days * 24)]
    first = VersionFacts(
        "1.0",
        0.0,
        1_000,
        labels=tuple(
            LabelCounts(h, 50, 48 if h < drops else 30, h + 3_600) for h in hours if h < ends
        ),
    )
    second = VersionFacts(
        "2.0", ends, 2_000,
        labels=tuple(LabelCounts(h, 50, 48, h + 3_600) for h in hours if h >= ends),
    )  # fmt: skip
    served = ((0.0, "1.0"), (ends, "2.0")) if promoted else ((0.0, "1.0"),)
    versions = {version.version: _told(version) for version in (first, second)}
    return ServingHistory(served, versions, sampled=[(hour, 1) for hour in hours])


def _told(version: VersionFacts) -> VersionFacts:
    """The same labels as they came: of one device, hour by hour."""
    came = tuple(
        LabelBatch(int(w.start), w.start, "d-1", w.labelled, w.correct, w.available_at)
        for w in version.labels
    )
    return replace(version, batches={"": {"": came}})


def run(
    found: ServingHistory, *what: TriggerRule, budget: int = 100, since: float = 0.0
) -> list[Replay]:
    step = step_of(since, 30 * DAY, 3_600)
    return replay(what, found, BudgetPolicy(budget), since=since, until=30 * DAY, step=step)


def test_nothing_is_known_before_anything_serves_nor_before_it_came() -> None:
    found = replace(history(), serving=((100.0, "1.0"),))
    assert found.at(99) is None
    early = found.at(3_599)
    assert early is not None
    assert early.labelled == 0
    later = found.at(7_200)
    assert later is not None
    assert later.labelled == 100


def test_a_replay_says_when_each_rule_would_have_fired() -> None:
    performance, every = run(
        history(promoted=15 * DAY),
        rule(),
        replace(rule(Condition(every_seconds=7 * DAY)), name="e"),
    )
    (drop,) = performance.firings
    assert 10 * DAY < drop.at < 11 * DAY
    assert drop.evidence.accuracy < 0.9
    assert drop.evidence.evidence_seconds >= drop.evidence.fires_at_seconds
    assert [moment.at / DAY for moment in every.firings] == [7, 14, 22, 29]
    assert performance.outcomes["latched"] > 24


def test_a_replay_re_arms_when_another_version_serves_and_keeps_the_budget() -> None:
    again = history(promoted=15 * DAY)
    bad = replace(
        again.versions["2.0"],
        labels=tuple(replace(w, correct=30) for w in again.versions["2.0"].labels),
    )
    worse = replace(again, versions={**again.versions, "2.0": _told(bad)})
    (found,) = run(worse, rule())
    assert [moment.version for moment in found.firings] == ["1.0", "2.0"]
    daily = rule(Condition(every_seconds=DAY))
    (found,) = run(worse, daily, budget=2)
    assert len(found.firings) == 9  # two in each of four weeks, and one more
    assert found.outcomes["over_budget"] > 0


def test_a_replay_of_a_part_begins_armed() -> None:
    (found,) = run(history(), rule(), since=20 * DAY)
    assert found.firings[0].at == 20 * DAY


def test_long_replays_look_less_often_but_never_more_often_than_windows() -> None:
    assert step_of(0, 30 * DAY, 300) == 30 * DAY / 2_000
    assert step_of(0, DAY, 300) == 300
    assert step_of(0, 10, 0.5) == 1


@settings(max_examples=60)
@given(
    st.floats(1, 29),
    st.integers(0, 48),
    st.integers(0, 5),
    st.integers(1, 4),
    st.booleans(),
)
def test_whatever_happens_cool_down_budget_and_latch_hold(
    drops: float, cooldown: int, hold: int, budget: int, lasting: bool
) -> None:
    when = POOR if lasting else Condition(every_seconds=2 * DAY)
    what = rule(when, cooldown_seconds=cooldown * 3_600.0, hold_seconds=hold * 3_600.0)
    (found,) = run(history(drops=drops * DAY), what, budget=budget)
    times = [moment.at for moment in found.firings]
    assert all(b - a >= cooldown * 3_600 for a, b in pairwise(times))
    assert all(sum(t - WEEK < u <= t for u in times) <= budget for t in times)
    if lasting:
        assert len(times) <= 1
        assert all(t >= drops * DAY + hold * 3_600 for t in times)
