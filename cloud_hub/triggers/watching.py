"""Feeds the detector of a ``performance`` condition with the labels that came since. Pure.

Every batch is taken once, in the order in which batches came, so that evidence is a process that
one can look at as often as one likes; a look at which nothing is new changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from cloud_hub.policy.schema.conditions import Condition, PerformanceRule
from cloud_hub.statistics.detectors import accuracy
from cloud_hub.triggers.facts import AccuracyWatch, Facts, LabelBatch, TriggerState

LONGEST: Final = 1_000.0
"""Of this part of the time between false alarms is the longest that one batch adds."""

MOST: Final = 100.0
"""Times what an alarm needs: evidence does not grow further, so that it is soon gone once accuracy
is back above the limit."""


def key_of(rule: PerformanceRule) -> str:
    """Return the name of a condition's detector: another limit or group is another detector."""
    return f"{rule.by or 'all'} below {rule.least_accuracy:g}"


def watch(rule: PerformanceRule, facts: Facts, before: AccuracyWatch | None) -> AccuracyWatch:
    """Return the detector after the labels that are new to it.

    Args:
        rule: with the limit.
        facts: everything that was known at ``facts.now``.
        before: the detector at the look before, if there was one.
    """
    earliest = facts.now - rule.lookback_seconds
    if before is None or before.version != facts.serving.version:
        before = AccuracyWatch(facts.serving.version, -1, max(facts.since, earliest), {})
    groups = facts.batches.get(rule.by or "", {})
    new = {
        name: [b for b in batches if b.order > before.order and b.start >= earliest]
        for name, batches in groups.items()
    }
    newest = max((b.order for batches in new.values() for b in batches), default=None)
    if newest is None:
        return before
    # A bet begins with the time since the last labels. However long that was, it must be far from
    # an alarm by itself, or a clock that jumps would be one.
    longest = min(rule.lookback_seconds, rule.false_alarm_every_seconds / LONGEST)
    seconds = min(max(0.0, facts.now - before.looked_at), longest)
    evidence = dict(before.evidence)
    for name, batches in new.items():
        earlier = evidence.get(name, accuracy.NONE)
        most = MOST * rule.false_alarm_every_seconds * len(groups)
        evidence[name] = tuple(
            min(each, most) for each in _fed(earlier, seconds, batches, rule.least_accuracy)
        )
    return AccuracyWatch(before.version, newest, facts.now, evidence)


def _fed(
    evidence: Sequence[float], seconds: float, batches: Sequence[LabelBatch], limit: float
) -> tuple[float, ...]:
    """Return the evidence after batches, window by window."""
    windows: dict[float, dict[str, tuple[int, int]]] = {}
    for batch in batches:
        devices = windows.setdefault(batch.start, {})
        labelled, correct = devices.get(batch.device, (0, 0))
        devices[batch.device] = (labelled + batch.labelled, correct + batch.correct)
    for _, devices in sorted(windows.items()):
        evidence = accuracy.add(evidence, seconds / len(windows), list(devices.values()), limit)
    return tuple(evidence)


def watched(condition: Condition, facts: Facts, state: TriggerState) -> TriggerState:
    """Return the state of a rule after all its detectors have seen what is new."""
    leaves = [leaf.performance for leaf in condition.leaves() if leaf.performance is not None]
    # The detector of mean errors keeps nothing: it is fed anew with all errors at each look.
    rules = [rule for rule in leaves if rule.below is not None]
    watches = {key_of(rule): watch(rule, facts, state.watches.get(key_of(rule))) for rule in rules}
    return replace(state, watches=watches)
