"""Replays history through the rules that judge the present. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from cloud_hub.database.documents import Document
from cloud_hub.policy.schema.sections import BudgetPolicy, TriggerRule
from cloud_hub.triggers.evidence import Evidence
from cloud_hub.triggers.facts import ServingHistory, StartedRun, TriggerState
from cloud_hub.triggers.latching import counted, evaluate

MOMENTS: Final = 2_000
"""Most moments that a dry run looks at."""


@dataclass(frozen=True)
class Moment:
    """Moment at which a rule would have fired, Unix seconds; its evidence is a document where it
    was found on another machine.
    """

    at: float
    version: str
    evidence: Evidence | Document


@dataclass(frozen=True)
class Replay:
    """One rule over a stretch of time: its firings, and how often it had each outcome."""

    trigger: str
    firings: tuple[Moment, ...] = ()
    outcomes: Mapping[str, int] = field(default_factory=dict)


def step_of(since: float, until: float, window: float) -> float:
    """Return the seconds between two looks: a window, longer if there would be too many.

    Args:
        since: begin, Unix seconds.
        until: end, Unix seconds.
        window: length of a reporting window in seconds.
    """
    return max(window, (until - since) / MOMENTS, 1.0)


def replay(
    rules: Sequence[TriggerRule],
    history: ServingHistory,
    budget: BudgetPolicy,
    *,
    since: float,
    until: float,
    step: float,
) -> list[Replay]:
    """Look at every rule at each ``step`` between ``since`` and ``until``.

    Every firing counts as a run of the budget, over all rules, as it would have. Rules begin
    armed; the versions are those that really served, so another version re-arms them when it did.

    Args:
        rules: of a policy.
        history: must reach back to ``since``.
        budget: runs that triggers may start in seven days.
        since: first moment, Unix seconds.
        until: last moment, Unix seconds.
        step: seconds between two moments.
    """
    states = {rule.name: TriggerState() for rule in rules}
    firings: dict[str, list[Moment]] = {rule.name: [] for rule in rules}
    outcomes: dict[str, dict[str, int]] = {rule.name: {} for rule in rules}
    runs: list[StartedRun] = []
    for i in range(int((until - since) / step) + 1):  # i * step: sums of steps would drift
        facts = history.at(since + i * step)
        if facts is None:
            continue
        for rule in rules:
            decision = evaluate(rule, facts, states[rule.name], budget, counted(rule, runs))
            states[rule.name] = decision.state
            counts = outcomes[rule.name]
            counts[decision.outcome] = counts.get(decision.outcome, 0) + 1
            if decision.outcome == "fired":
                # Counts against the budget of every rule after it.
                runs.append(StartedRun(facts.now, rule.when.kind))
                moment = Moment(facts.now, facts.serving.version, decision.verdict.evidence)
                firings[rule.name].append(moment)
    return [Replay(r.name, tuple(firings[r.name]), outcomes[r.name]) for r in rules]
