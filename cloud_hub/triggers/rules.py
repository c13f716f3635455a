"""Does a rule fire? Pure functions of the rule, the evidence and the time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cloud_hub.policy import TriggerRule
from cloud_hub.statistics.drift import model_drift, summary
from cloud_hub.statistics.sequential import Moments, mean_interval

ALPHA = 0.05


@dataclass(frozen=True)
class Verdict:
    """Whether a rule fires, and the figures that it was decided on."""

    fired: bool
    evidence: dict[str, Any] = field(default_factory=dict)


def judge_time(rule: TriggerRule, *, published_at: float, now: float) -> Verdict:
    """``time``: the serving version is old enough."""
    age = now - published_at
    evidence = {"age_seconds": round(age), "every_seconds": rule.every_seconds}
    return Verdict(age >= rule.every_seconds > 0, evidence)


def judge_performance(rule: TriggerRule, *, labelled: int, correct: int) -> Verdict:
    """``performance``: accuracy is surely below the limit, however often one looks."""
    low, high = mean_interval(Moments.of_successes(correct, labelled), ALPHA)
    evidence = {
        "labelled": labelled,
        "accuracy": round(correct / labelled, 4) if labelled else None,
        "upper_bound": round(min(1.0, high), 4),
        "lower_bound": round(max(0.0, low), 4),
        "below": rule.below,
    }
    return Verdict(labelled >= rule.minimum and high < rule.below, evidence)


def judge_volume(rule: TriggerRule, *, new_rows: int, training_rows: int) -> Verdict:
    """``volume``: enough new labelled rows compared with the training data."""
    needed = max(1, round(rule.growth * training_rows))
    evidence = {"new_rows": new_rows, "training_rows": training_rows, "needed": needed}
    return Verdict(new_rows >= needed, evidence)


def judge_drift(
    rule: TriggerRule,
    *,
    reference: Mapping[str, Sequence[int]],
    windows: Sequence[Mapping[str, Sequence[int]]],
) -> Verdict:
    """``drift``: the two newest windows, of enough observations each, both drifted.

    Two in a row, so that one odd window does not retrain a model.
    """
    if len(windows) < 2:
        return Verdict(False, {"windows": len(windows), "needed": 2})
    judged = [model_drift(reference, window) for window in windows[-2:]]
    both = all(any(feature.drifted for feature in features) for features in judged)
    return Verdict(both, summary(judged[-1]))


def pooled_windows(
    rows: Sequence[tuple[int, Mapping[str, Sequence[int]], int]], minimum: int
) -> list[dict[str, list[int]]]:
    """Neighbouring windows added up until each holds ``minimum`` observations.

    Args:
        rows: (start, histograms by name, observations), in order of time.
        minimum: observations that a test needs.
    """
    pooled: list[dict[str, list[int]]] = []
    current: dict[str, list[int]] = {}
    have = 0
    for _, histograms, observations in rows:
        for name, counts in histograms.items():
            known = current.get(name)
            current[name] = (
                list(counts)
                if known is None
                else [a + b for a, b in zip(known, counts, strict=True)]
            )
        have += observations
        if have >= minimum:
            pooled.append(current)
            current, have = {}, 0
    return pooled
