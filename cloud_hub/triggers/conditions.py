"""Does a condition hold? Pure functions of the condition and the facts.

The evidence of a verdict is what a person checks it by: every figure that it was decided on.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from cronsim import CronSim

from cloud_hub.policy.schema.conditions import Condition, DriftRule, PerformanceRule, VolumeRule
from cloud_hub.statistics.sequential import SampleMoments, mean_interval
from cloud_hub.triggers.facts import Facts, LabelCounts, OpenAlarm, TriggerState

ALPHA: Final = 0.05
SHOWN: Final = 5
"""Alarms that evidence names."""


@dataclass(frozen=True)
class ConditionVerdict:
    """Whether a condition holds, and the figures that it was decided on."""

    fired: bool
    evidence: dict[str, Any] = field(default_factory=dict)


def judge(
    condition: Condition, facts: Facts, state: TriggerState = TriggerState()
) -> ConditionVerdict:
    """Judge any condition; ``state`` tells when its rule fired last, and who called it."""
    if condition.performance is not None:
        return judge_performance(condition.performance, facts)
    if condition.volume is not None:
        return judge_volume(condition.volume, facts)
    if condition.drift is not None:
        return judge_drift(condition.drift, facts)
    if condition.cron is not None:
        return judge_cron(condition.cron, facts, state)
    if condition.every_seconds is not None:
        return judge_interval(condition.every_seconds, facts, state)
    if condition.webhook is not None:
        return judge_call(state)
    if condition.manual is not None:
        return ConditionVerdict(False, {"waits_for": "a person"})
    return _judge_several(condition, facts, state)


def _judge_several(condition: Condition, facts: Facts, state: TriggerState) -> ConditionVerdict:
    parts = condition.all or condition.any or ()
    verdicts = [judge(part, facts, state) for part in parts]
    held = [verdict.fired for verdict in verdicts]
    evidence = [
        {"condition": part.kind, "holds": verdict.fired, **verdict.evidence}
        for part, verdict in zip(parts, verdicts, strict=True)
    ]
    return ConditionVerdict(all(held) if condition.all else any(held), {condition.kind: evidence})


def judge_interval(every: float, facts: Facts, state: TriggerState) -> ConditionVerdict:
    """``every``: so long since the version began to serve, or since the last firing."""
    due = _anchor(facts, state) + every
    return ConditionVerdict(facts.now >= due, {"every_seconds": every, "due": _utc(due)})


def judge_cron(line: str, facts: Facts, state: TriggerState) -> ConditionVerdict:
    """``cron``: its time (UTC) came since the version began to serve, or since the last firing."""
    anchor = datetime.datetime.fromtimestamp(_anchor(facts, state), datetime.UTC)
    due = next(CronSim(line, anchor)).timestamp()
    return ConditionVerdict(facts.now >= due, {"cron": line, "due": _utc(due)})


def judge_call(state: TriggerState) -> ConditionVerdict:
    """``webhook``: somebody called since the last firing."""
    if state.call is None:
        return ConditionVerdict(False, {"calls": 0})
    call = state.call
    return ConditionVerdict(
        True, {"calls": call.count, "at": _utc(call.at), "said": dict(call.said)}
    )


def judge_performance(rule: PerformanceRule, facts: Facts) -> ConditionVerdict:
    """``performance``: accuracy is surely below the limit, however often one looks."""
    limits = {"below": rule.below, "minimum": rule.minimum}
    if rule.by is None:
        figures, surely = _accuracy(rule, facts, facts.labels, ALPHA)
        return ConditionVerdict(surely, {**figures, **limits})
    groups = facts.groups.get(rule.by, {})
    judged = {
        name: _accuracy(rule, facts, windows, ALPHA / len(groups))
        for name, windows in groups.items()
    }
    worst = sorted(judged.items(), key=lambda each: (-each[1][1], each[1][0]["upper_bound"]))
    told = [{"group": name, **figures} for name, (figures, _) in worst[:SHOWN]]
    evidence = {"by": rule.by, "groups": told, **limits}
    if not groups:
        evidence["note"] = "no labels: neither a column that the release declares nor an attribute?"
    return ConditionVerdict(any(surely for _, surely in judged.values()), evidence)


def _accuracy(
    rule: PerformanceRule, facts: Facts, windows: Sequence[LabelCounts], alpha: float
) -> tuple[dict[str, Any], bool]:
    """The accuracy of some labels, and whether it is surely below the limit."""
    chosen = [w for w in windows if w.start >= facts.now - rule.lookback_seconds]
    labelled, correct = sum(w.labelled for w in chosen), sum(w.correct for w in chosen)
    low, high = mean_interval(SampleMoments.of_successes(correct, labelled), alpha)
    figures = {
        "labelled": labelled,
        "accuracy": round(correct / labelled, 4) if labelled else None,
        "upper_bound": round(min(1.0, high), 4),
        "lower_bound": round(max(0.0, low), 4),
    }
    return figures, labelled >= rule.minimum and high < rule.below


def judge_volume(rule: VolumeRule, facts: Facts) -> ConditionVerdict:
    """``volume``: enough new labelled rows compared with the training data."""
    rows = facts.serving.training_rows
    needed = max(1, round(rule.growth * rows))
    evidence = {"new_rows": facts.new_rows, "training_rows": rows, "needed": needed}
    return ConditionVerdict(facts.new_rows >= needed, evidence)


def judge_drift(rule: DriftRule, facts: Facts) -> ConditionVerdict:
    """``drift``: monitoring raised enough alarms that nobody has answered."""
    found = [alarm for alarm in facts.alarms if alarm.kind in rule.kinds]
    evidence = {
        "alarms": len(found),
        "needed": rule.signals,
        "worst": [
            {"signal": alarm.signal, "raised": _utc(alarm.raised_at), **alarm.evidence}
            for alarm in sorted(found, key=_effect, reverse=True)[:SHOWN]
        ],
    }
    return ConditionVerdict(len(found) >= rule.signals, evidence)


def _effect(alarm: OpenAlarm) -> float:
    return float(alarm.evidence.get("effect", 0.0))


def _anchor(facts: Facts, state: TriggerState) -> float:
    return max(facts.since, state.fired_at or 0.0)


def _utc(at: float) -> str:
    return datetime.datetime.fromtimestamp(at, datetime.UTC).isoformat(timespec="seconds")
