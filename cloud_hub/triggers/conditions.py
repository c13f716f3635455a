"""Judges conditions: pure functions of the condition and the facts.

The evidence of a verdict is what a person checks it by: every figure that it was decided on.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cronsim import CronSim

from cloud_hub.calendar.occurrence import Occurrence
from cloud_hub.policy.schema.conditions import (
    Condition,
    DayRule,
    DriftRule,
    PerformanceRule,
    VolumeRule,
)
from cloud_hub.statistics.detectors import accuracy
from cloud_hub.triggers.evidence import (
    AccuracyFigures,
    AlarmSummary,
    CallEvidence,
    CombinedEvidence,
    CronEvidence,
    DayEvidence,
    DriftEvidence,
    Evidence,
    GroupAccuracy,
    GroupedPerformanceEvidence,
    IntervalEvidence,
    ManualEvidence,
    PartEvidence,
    PerformanceEvidence,
    VolumeEvidence,
)
from cloud_hub.triggers.facts import Facts, LabelCounts, OpenAlarm, TriggerState
from cloud_hub.triggers.mean_error import judge_mean_error
from cloud_hub.triggers.watching import key_of, watch

SHOWN: Final = 5
"""Alarms and groups that evidence names."""


@dataclass(frozen=True)
class ConditionVerdict:
    """Verdict on a condition, and the figures that it was decided on."""

    fired: bool
    evidence: Evidence


def judge(
    condition: Condition, facts: Facts, state: TriggerState = TriggerState()
) -> ConditionVerdict:
    """Judge a condition of any kind.

    Args:
        condition: one part of a rule, or several combined.
        facts: everything that was known at ``facts.now``.
        state: when its rule fired last, and who called it since.
    """
    if condition.performance is not None:
        return judge_performance(condition.performance, facts, state)
    if condition.volume is not None:
        return judge_volume(condition.volume, facts)
    if condition.drift is not None:
        return judge_drift(condition.drift, facts)
    if condition.cron is not None:
        return judge_cron(condition.cron, facts, state)
    if condition.every_seconds is not None:
        return judge_interval(condition.every_seconds, facts, state)
    if condition.day is not None:
        return judge_day(condition.day, facts, state)
    if condition.webhook is not None:
        return judge_call(state)
    if condition.manual is not None:
        return ConditionVerdict(False, ManualEvidence())
    return _judge_several(condition, facts, state)


def _judge_several(condition: Condition, facts: Facts, state: TriggerState) -> ConditionVerdict:
    parts = condition.all or condition.any or ()
    verdicts = [judge(part, facts, state) for part in parts]
    held = [verdict.fired for verdict in verdicts]
    shown = tuple(
        PartEvidence(part.kind, verdict.fired, verdict.evidence)
        for part, verdict in zip(parts, verdicts, strict=True)
    )
    if condition.all:
        return ConditionVerdict(all(held), CombinedEvidence("all", shown))
    return ConditionVerdict(any(held), CombinedEvidence("any", shown))


def judge_interval(every: float, facts: Facts, state: TriggerState) -> ConditionVerdict:
    """Judge ``every``: time since the version began to serve, or since the last firing.

    Args:
        every: seconds between two firings.
        facts: everything that was known at ``facts.now``.
        state: when the rule fired last.
    """
    due = _anchor(facts, state) + every
    return ConditionVerdict(facts.now >= due, IntervalEvidence(every, _utc(due)))


def judge_cron(line: str, facts: Facts, state: TriggerState) -> ConditionVerdict:
    """Judge ``cron``: its time came since the version began to serve, or since the last firing.

    Args:
        line: cron line, in UTC.
        facts: everything that was known at ``facts.now``.
        state: when the rule fired last.
    """
    anchor = datetime.datetime.fromtimestamp(_anchor(facts, state), datetime.UTC)
    # The next time after the anchor, not after now: a hub that was down does not miss its hour.
    due = next(CronSim(line, anchor)).timestamp()
    return ConditionVerdict(facts.now >= due, CronEvidence(line, _utc(due)))


def judge_day(rule: DayRule, facts: Facts, state: TriggerState) -> ConditionVerdict:
    """Judge ``day``: it is open, and the rule has not fired on it for a while.

    Args:
        rule: the day, and the time between two firings.
        facts: everything that was known at ``facts.now``.
        state: when the rule fired last.
    """
    day = open_day(rule, facts)
    if day is None:
        begins = [each.begin for each in facts.days if each.day == rule.name]
        comes = _utc(min(begins)) if begins else None
        return ConditionVerdict(False, DayEvidence(rule.name, comes=comes))
    # Since the last firing and not since the serving version, or a promotion would put it off.
    due = max(day.begin, (state.fired_at or 0.0) + rule.every_seconds)
    evidence = DayEvidence(rule.name, day.date, _utc(day.end), _utc(due))
    return ConditionVerdict(facts.now >= due, evidence)


def open_day(rule: DayRule, facts: Facts) -> Occurrence | None:
    """Return the occurrence of a rule's day that is open, if one is."""
    return next((d for d in facts.days if d.day == rule.name and facts.now in d), None)


def judge_call(state: TriggerState) -> ConditionVerdict:
    """Judge ``webhook``: another system called since the last firing."""
    if state.call is None:
        return ConditionVerdict(False, CallEvidence(0))
    call = state.call
    return ConditionVerdict(True, CallEvidence(call.count, _utc(call.at), dict(call.said)))


def judge_performance(rule: PerformanceRule, facts: Facts, state: TriggerState) -> ConditionVerdict:
    """Judge ``performance``: evidence that accuracy is below the limit has become rare enough.

    With ``mae_above`` instead, that the mean error is above it.

    Args:
        rule: with the limit, and the mean time to a false alarm.
        facts: everything that was known at ``facts.now``.
        state: with the evidence so far; what is new in ``facts`` is added to it.
    """
    if rule.mae_above is not None:
        return ConditionVerdict(*judge_mean_error(rule, rule.mae_above, facts))
    evidence = watch(rule, facts, state.watches.get(key_of(rule))).evidence
    if rule.by is None:
        figures, below = _accuracy(rule, facts, facts.labels, evidence.get("", accuracy.NONE), 1)
        return ConditionVerdict(
            below,
            PerformanceEvidence(**vars(figures), below=rule.least_accuracy, minimum=rule.minimum),
        )
    groups = facts.groups.get(rule.by, {})
    judged = {
        name: _accuracy(rule, facts, windows, evidence.get(name, accuracy.NONE), len(groups))
        for name, windows in groups.items()
    }
    worst = sorted(judged.items(), key=lambda each: (-each[1][1], -each[1][0].evidence_seconds))
    note = "no labels: neither a column that the release declares nor an attribute?"
    shown = GroupedPerformanceEvidence(
        by=rule.by,
        groups=tuple(
            GroupAccuracy(**vars(figures), group=name) for name, (figures, _) in worst[:SHOWN]
        ),
        below=rule.least_accuracy,
        minimum=rule.minimum,
        note=None if groups else note,
    )
    return ConditionVerdict(any(below for _, below in judged.values()), shown)


def _accuracy(
    rule: PerformanceRule,
    facts: Facts,
    windows: Sequence[LabelCounts],
    evidence: Sequence[float],
    groups: int,
) -> tuple[AccuracyFigures, bool]:
    """The accuracy on some labels, and whether it is surely below the limit."""
    chosen = [w for w in windows if w.start >= facts.now - rule.lookback_seconds]
    labelled, correct = sum(w.labelled for w in chosen), sum(w.correct for w in chosen)
    # Each group's share: with twenty groups, each may alarm once in twenty times as long.
    fires_at = rule.false_alarm_every_seconds * groups
    strength = accuracy.strength(evidence)
    figures = AccuracyFigures(
        labelled=labelled,
        accuracy=round(correct / labelled, 4) if labelled else None,
        evidence_seconds=float(f"{strength:.4g}"),
        fires_at_seconds=fires_at,
    )
    return figures, labelled >= rule.minimum and strength >= fires_at


def judge_volume(rule: VolumeRule, facts: Facts) -> ConditionVerdict:
    """Judge ``volume``: enough new labelled rows compared with the training data."""
    rows = facts.serving.training_rows
    needed = max(1, round(rule.growth * rows))
    return ConditionVerdict(facts.new_rows >= needed, VolumeEvidence(facts.new_rows, rows, needed))


def judge_drift(rule: DriftRule, facts: Facts) -> ConditionVerdict:
    """Judge ``drift``: monitoring has enough alarms that nobody has answered or expected."""
    alarms = [a for a in facts.alarms if a.kind in rule.kinds and a.expected is None]
    worst = sorted(alarms, key=_effect, reverse=True)[:SHOWN]
    shown = tuple(AlarmSummary(a.signal, _utc(a.raised_at), a.evidence) for a in worst)
    evidence = DriftEvidence(len(alarms), rule.signals, shown)
    return ConditionVerdict(len(alarms) >= rule.signals, evidence)


def _effect(alarm: OpenAlarm) -> float:
    return float(alarm.evidence.get("effect", 0.0))


def _anchor(facts: Facts, state: TriggerState) -> float:
    return max(facts.since, state.fired_at or 0.0)


def _utc(at: float) -> str:
    return datetime.datetime.fromtimestamp(at, datetime.UTC).isoformat(timespec="seconds")
