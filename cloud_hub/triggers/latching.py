"""From a verdict to a firing: hold, latch, cool-down, budget. Pure.

Legal order of a rule's life: quiet → holding → fired → latched → (re-armed by hand, or another
version serves) → quiet; also if the first one serves again later, as after a rare day. Rules over
events (cron, interval, webhook) are never latched: each event is new.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from cloud_hub.policy.schema.sections import BudgetPolicy, TriggerRule
from cloud_hub.triggers.conditions import ConditionVerdict, judge, open_day
from cloud_hub.triggers.facts import Facts, StartedRun, TriggerState
from cloud_hub.triggers.watching import watched

WEEK: Final = 7 * 86_400.0
Outcome = Literal[
    "quiet", "latched", "too_early", "few_labels", "holding", "cooling", "over_budget", "fired"
]


@dataclass(frozen=True)
class TriggerDecision:
    """One evaluation of a rule: its verdict, the outcome and its reason, the state after it."""

    outcome: Outcome
    reason: str
    verdict: ConditionVerdict
    state: TriggerState


def evaluate(
    rule: TriggerRule,
    facts: Facts,
    state: TriggerState,
    budget: BudgetPolicy,
    runs: Sequence[float] = (),
) -> TriggerDecision:
    """Evaluate a rule.

    Args:
        rule: condition, and what keeps it from firing.
        facts: everything that was known at ``facts.now``.
        state: after the evaluation before.
        budget: runs that triggers may start in seven days.
        runs: times at which triggers started runs before that count against this rule (see
            :func:`counted`), Unix seconds.
    """
    state = watched(rule.when, facts, _as_of(state, facts.now, facts.serving.version))
    verdict = judge(rule.when, facts, state)
    if not verdict.fired:
        return TriggerDecision("quiet", "", verdict, replace(state, held_since=None))
    # The clock of ``hold`` runs from the first evaluation at which the condition held.
    since = facts.now if state.held_since is None else state.held_since
    held = replace(state, held_since=since)
    outcome, reason = _hindered(rule, facts, held, budget, runs)
    if outcome == "fired":
        return TriggerDecision(
            "fired", "", verdict, state_after_firing(facts.now, facts.serving.version, state)
        )
    return TriggerDecision(outcome, reason, verdict, held)


def counted(rule: TriggerRule, started: Sequence[StartedRun]) -> list[float]:
    """Return the times of the runs that count against a rule: those of a rare day and all others
    do not use up each other's.

    Args:
        rule: of a day, or any other.
        started: by triggers.
    """
    of_day = rule.when.day is not None
    return [run.at for run in started if (run.kind == "day") == of_day]


def state_after_firing(now: float, version: str, before: TriggerState) -> TriggerState:
    """Return the state of a rule that fired.

    Args:
        now: Unix seconds.
        version: the version that serves.
        before: state until then; its detectors go on.
    """
    return TriggerState(fired_at=now, fired_version=version, watches=before.watches)


def is_latched(rule: TriggerRule, state: TriggerState, version: str) -> bool:
    """Return whether a rule fired for a version already and nobody armed it again.

    Args:
        rule: with its condition; only those that last are latched.
        state: after its last evaluation.
        version: the version that serves.
    """
    return rule.when.lasts() and state.fired_version == version and not state.rearmed


def _as_of(state: TriggerState, now: float, version: str) -> TriggerState:
    """Forget for which version a rule fired once another one serves, and times still to come: a
    clock that was ahead for a while would keep a rule from firing for as long.
    """
    if state.fired_version != version:
        state = replace(state, fired_version=None)
    if (state.fired_at or 0.0) > now:
        state = replace(state, fired_at=None)
    return replace(state, held_since=None) if (state.held_since or 0.0) > now else state


def _hindered(
    rule: TriggerRule,
    facts: Facts,
    state: TriggerState,
    budget: BudgetPolicy,
    runs: Sequence[float],
) -> tuple[Outcome, str]:
    """Return the first thing that keeps a rule from firing; ``fired`` if nothing does."""
    now, version = facts.now, facts.serving.version
    served, labels = now - facts.since, facts.labelled
    # A rule that never fired has rested for ever.
    rested = now - (state.fired_at if state.fired_at is not None else -WEEK * 1_000)
    held = now - (state.held_since if state.held_since is not None else now)
    # In this order: a person reads the reason, and the one that lasts longest helps most.
    if is_latched(rule, state, version):
        return "latched", f"fired for {version} already; re-arm it, or let another version serve"
    if served < rule.not_before_seconds:
        return "too_early", f"{version} serves for {served:.0f} of {rule.not_before_seconds:.0f} s"
    if labels < rule.minimum_labels:
        return "few_labels", f"{labels} of {rule.minimum_labels} labels"
    if held < rule.hold_seconds:
        return "holding", f"holds for {held:.0f} of {rule.hold_seconds:.0f} s"
    if rested < rule.cooldown_seconds:
        return "cooling", f"fired {rested:.0f} s ago, rests for {rule.cooldown_seconds:.0f} s"
    spent = _over_budget(rule, facts, budget, runs)
    return ("over_budget", spent) if spent else ("fired", "")


def _over_budget(
    rule: TriggerRule, facts: Facts, budget: BudgetPolicy, runs: Sequence[float]
) -> str:
    """Say that no run is left to a rule; empty if one is."""
    day = open_day(rule.when.day, facts) if rule.when.day is not None else None
    if rule.when.day is not None and day is not None:
        recent = sum(day.begin <= at <= facts.now for at in runs)
        most, when = rule.when.day.runs, f"on the {day.title}"
    else:
        recent = sum(facts.now - WEEK < at <= facts.now for at in runs)
        most, when = budget.runs_per_week, "in seven days"
    return f"{recent} runs {when}, {most} are allowed" if recent >= most else ""
