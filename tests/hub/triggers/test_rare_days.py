"""Rules of rare days: they fire while the day is open, and have a budget of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from cloud_hub.calendar.occurrence import Occurrence
from cloud_hub.policy.schema.parse import parse_policy
from cloud_hub.policy.schema.sections import BudgetPolicy
from cloud_hub.triggers.conditions import judge, judge_drift
from cloud_hub.triggers.facts import (
    Facts,
    OpenAlarm,
    ServingHistory,
    StartedRun,
    TriggerState,
    VersionFacts,
)
from cloud_hub.triggers.latching import TriggerDecision, counted, evaluate
from cloud_hub.triggers.replay import replay

HOUR, DAY = 3_600.0, 86_400.0
TODAY = Occurrence(10 * DAY, 11 * DAY, "sale", "1970-01-11")
SERVING = VersionFacts("1.0", 0.0, 1_000)
POLICY = parse_policy(
    "sharing: {samples: true, per_window: 9}\n"
    "train: {entry: a:b}\n"
    "triggers: [{name: often, when: {every: 1d}}]\n"
    "calendar: {days: [{name: sale, dates: ['1970-01-11'], train_every: 1h, runs: 3}]}\n"
)
OFTEN, RULE = POLICY.rules


def facts(now: float) -> Facts:
    return Facts(now, 0.0, SERVING, days=(TODAY,) if now < TODAY.end else ())


def look(now: float, state: TriggerState, runs: Sequence[float] = ()) -> TriggerDecision:
    return evaluate(RULE, facts(now), state, BudgetPolicy(1), runs)


def test_it_fires_at_the_begin_of_the_day_each_hour_and_not_when_it_is_over() -> None:
    assert RULE.name == "day-sale"
    before = judge(RULE.when, facts(TODAY.begin - 1))
    assert not before.fired
    assert "1970-01-11T00:00:00" in str(before.evidence)
    first = look(TODAY.begin, TriggerState())
    assert first.outcome == "fired"
    assert look(TODAY.begin + HOUR - 1, first.state).outcome == "quiet"
    assert look(TODAY.begin + HOUR, first.state).outcome == "fired"
    assert look(TODAY.end - 1, first.state).outcome == "fired"
    assert look(TODAY.end, first.state).outcome == "quiet"


def test_a_promotion_within_the_hour_does_not_put_the_next_run_off() -> None:
    state = look(TODAY.begin, TriggerState()).state
    promoted = replace(facts(TODAY.begin + HOUR), since=TODAY.begin + 0.9 * HOUR)
    assert evaluate(RULE, promoted, state, BudgetPolicy(), ()).outcome == "fired"


def test_its_runs_are_counted_by_day_and_leave_the_budget_of_others_alone() -> None:
    started = [StartedRun(TODAY.begin - 1, "day"), StartedRun(TODAY.begin - 1, "interval")]
    started += [StartedRun(TODAY.begin + i * HOUR, "day") for i in (0.01, 1, 2)]
    assert counted(OFTEN, started) == [TODAY.begin - 1]
    state = TriggerState(fired_at=TODAY.begin + 2 * HOUR)
    spent = look(TODAY.begin + 3 * HOUR, state, counted(RULE, started))
    assert (spent.outcome, "3 are allowed" in spent.reason) == ("over_budget", True)
    assert look(TODAY.begin + 3 * HOUR, state, counted(RULE, started[:4])).outcome == "fired"


def test_a_dry_run_knows_the_days() -> None:
    history = ServingHistory(((0.0, "1.0"),), {"1.0": SERVING}, days=(TODAY,))
    begin, end = TODAY.begin - DAY, TODAY.end + DAY
    often, sale = replay(POLICY.rules, history, BudgetPolicy(9), since=begin, until=end, step=600.0)
    assert [m.at for m in sale.firings] == [TODAY.begin + i * HOUR for i in range(3)]
    assert sale.outcomes["over_budget"] > 0
    assert len(often.firings) == 4  # each midnight, the last moment among them


def test_expected_alarms_are_no_reason_to_retrain() -> None:
    alarms = (OpenAlarm("drift:a", "drift", 1.0, expected="sale: as on the sale of last year"),)
    known = replace(facts(9.0), alarms=alarms)
    rule = parse_policy("triggers: [{name: d, when: {drift: {}}}]").triggers[0].when.drift
    assert rule is not None
    assert not judge_drift(rule, known).fired
    assert judge_drift(rule, replace(known, alarms=(replace(alarms[0], expected=None),))).fired


def test_a_firing_that_is_still_to_come_does_not_silence_the_day() -> None:
    ahead = TriggerState(fired_at=TODAY.begin + 365 * DAY)  # by a clock that was wrong for a while
    assert look(TODAY.begin + 1, ahead).outcome == "fired"


def test_a_rule_that_fired_on_the_day_is_armed_again_when_the_version_of_before_serves() -> None:
    shared = "sharing: {samples: true, per_window: 9}\n"
    text = "triggers: [{name: grown, when: {volume: {growth: 0.1}}, cooldown: 1h}]"
    (rule,) = parse_policy(shared + text).rules
    grown = Facts(TODAY.begin, 0.0, SERVING, new_rows=200)
    fired = evaluate(rule, grown, TriggerState(), BudgetPolicy())
    assert fired.outcome == "fired"
    assert evaluate(rule, grown, fired.state, BudgetPolicy()).outcome == "latched"
    rush = replace(grown, serving=VersionFacts("2.0", 0.0, 1_000_000))
    between = evaluate(rule, rush, fired.state, BudgetPolicy())
    assert between.outcome == "quiet"
    again = replace(grown, now=TODAY.end)
    assert evaluate(rule, again, between.state, BudgetPolicy()).outcome == "fired"
