"""Does a condition hold? Pure functions of the condition and the facts.

The evidence of a verdict is what a person checks it by: every figure that it was decided on.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cronsim import CronSim

from cloud_hub.policy.conditions import Condition, DriftRule, PerformanceRule, VolumeRule
from cloud_hub.statistics.drift import model_drift, summary
from cloud_hub.statistics.sequential import Moments, mean_interval
from cloud_hub.triggers.facts import Counts, Facts, Histograms, State

ALPHA = 0.05


@dataclass(frozen=True)
class Verdict:
    """Whether a condition holds, and the figures that it was decided on."""

    fired: bool
    evidence: dict[str, Any] = field(default_factory=dict)


def judge(condition: Condition, facts: Facts, state: State = State()) -> Verdict:
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
        return Verdict(False, {"waits_for": "a person"})
    return _judge_several(condition, facts, state)


def _judge_several(condition: Condition, facts: Facts, state: State) -> Verdict:
    parts = condition.all or condition.any or ()
    verdicts = [judge(part, facts, state) for part in parts]
    held = [verdict.fired for verdict in verdicts]
    evidence = [
        {"condition": part.kind, "holds": verdict.fired, **verdict.evidence}
        for part, verdict in zip(parts, verdicts, strict=True)
    ]
    return Verdict(all(held) if condition.all else any(held), {condition.kind: evidence})


def judge_interval(every: float, facts: Facts, state: State) -> Verdict:
    """``every``: so long since the version began to serve, or since the last firing."""
    due = _anchor(facts, state) + every
    return Verdict(facts.now >= due, {"every_seconds": every, "due": _utc(due)})


def judge_cron(line: str, facts: Facts, state: State) -> Verdict:
    """``cron``: its time (UTC) came since the version began to serve, or since the last firing."""
    anchor = datetime.datetime.fromtimestamp(_anchor(facts, state), datetime.UTC)
    due = next(CronSim(line, anchor)).timestamp()
    return Verdict(facts.now >= due, {"cron": line, "due": _utc(due)})


def judge_call(state: State) -> Verdict:
    """``webhook``: somebody called since the last firing."""
    if state.call is None:
        return Verdict(False, {"calls": 0})
    call = state.call
    return Verdict(True, {"calls": call.count, "at": _utc(call.at), "said": dict(call.said)})


def judge_performance(rule: PerformanceRule, facts: Facts) -> Verdict:
    """``performance``: accuracy is surely below the limit, however often one looks."""
    chosen = [w for w in facts.labels if w.start >= facts.now - rule.lookback_seconds]
    labelled, correct = sum(w.labelled for w in chosen), sum(w.correct for w in chosen)
    low, high = mean_interval(Moments.of_successes(correct, labelled), ALPHA)
    evidence = {
        "labelled": labelled,
        "accuracy": round(correct / labelled, 4) if labelled else None,
        "upper_bound": round(min(1.0, high), 4),
        "lower_bound": round(max(0.0, low), 4),
        "below": rule.below,
        "minimum": rule.minimum,
    }
    return Verdict(labelled >= rule.minimum and high < rule.below, evidence)


def judge_volume(rule: VolumeRule, facts: Facts) -> Verdict:
    """``volume``: enough new labelled rows compared with the training data."""
    rows = facts.serving.training_rows
    needed = max(1, round(rule.growth * rows))
    evidence = {"new_rows": facts.new_rows, "training_rows": rows, "needed": needed}
    return Verdict(facts.new_rows >= needed, evidence)


def judge_drift(rule: DriftRule, facts: Facts) -> Verdict:
    """``drift``: the two newest windows, of enough observations each, both drifted.

    Two in a row, so that one odd window does not retrain a model.
    """
    chosen = [w for w in facts.counts if w.start >= facts.now - rule.lookback_seconds]
    windows = pooled_windows(chosen, rule.minimum)
    if len(windows) < 2:
        return Verdict(False, {"windows": len(windows), "needed": 2})
    serving = facts.serving
    reference = {**serving.features, **(serving.outputs if rule.outputs else {})}
    judged = [model_drift(reference, window) for window in windows[-2:]]
    both = all(any(feature.drifted for feature in features) for features in judged)
    return Verdict(both, summary(judged[-1]))


def pooled_windows(windows: Sequence[Counts], minimum: int) -> list[Histograms]:
    """Neighbouring windows added up until each holds ``minimum`` observations."""
    pooled: list[Histograms] = []
    current: list[Counts] = []
    for window in windows:
        current.append(window)
        if sum(each.observations for each in current) >= minimum:
            pooled.append(_added(current))
            current = []
    return pooled


def _added(windows: Sequence[Counts]) -> Mapping[str, list[int]]:
    names = windows[0].histograms
    return {
        name: [sum(bins) for bins in zip(*(w.histograms[name] for w in windows), strict=True)]
        for name in names
    }


def _anchor(facts: Facts, state: State) -> float:
    return max(facts.since, state.fired_at or 0.0)


def _utc(at: float) -> str:
    return datetime.datetime.fromtimestamp(at, datetime.UTC).isoformat(timespec="seconds")
