"""Evaluating the rules of every model, firing them, and saying what would have fired.

The rules are pure (``rules``, ``deciding``, ``replay``); here they meet the database. A model is
looked at once a reporting window: sooner there is nothing new.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import Any, Final

from cloud_hub.database.audit import Audit
from cloud_hub.errors import Conflict, Forbidden, NotFound
from cloud_hub.plans.service import Plans
from cloud_hub.policy.schema import Policy, TriggerRule
from cloud_hub.policy.service import digest
from cloud_hub.registry.per_model import for_each
from cloud_hub.registry.service import Registry
from cloud_hub.text.spelling import did_you_mean, listed
from cloud_hub.triggers.facts import Call, Facts
from cloud_hub.triggers.history import Histories
from cloud_hub.triggers.latching import evaluate, fired, latched
from cloud_hub.triggers.replay import replay, step_of
from cloud_hub.triggers.store import Firing, TriggerStore

LONGEST_WAIT: Final = 60.0
"""Seconds between two looks at a model, however long its windows are."""

ACTOR: Final = "hub"

OnFire = Callable[[Firing], None]
"""Starts what a firing asks for; called until it returns."""

RunTimes = Callable[[str], Sequence[float]]
"""When triggers started runs of a model."""


class Triggers:
    """Triggers of all models."""

    def __init__(
        self,
        audit: Audit,
        registry: Registry,
        plans: Plans,
        histories: Histories,
        memory: TriggerStore,
        *,
        on_fire: OnFire,
        run_times: RunTimes,
    ) -> None:
        self._audit = audit
        self._registry = registry
        self._plans = plans
        self._histories = histories
        self._memory = memory
        self.on_fire = on_fire
        self._run_times = run_times
        self._lock = threading.Lock()  # calls and hands come while the loop evaluates
        self._looked: dict[str, float] = {}

    def tick(self, now: float) -> list[Firing]:
        """Evaluate every rule of every model that serves and is due; the firings, handled."""
        try:
            for_each(self._registry.models(), lambda model: self._evaluate_if_due(model, now))
        finally:
            fired = self._handle()
        return fired

    def _evaluate_if_due(self, model: str, now: float) -> None:
        policy = self._registry.policy(model)
        wait = min(policy.reporting.window_seconds, LONGEST_WAIT)
        if policy.triggers and now - self._looked.get(model, 0.0) >= wait:
            self._looked[model] = now
            with self._lock:
                self._evaluate(model, policy, now)

    def status(self, model: str, now: float) -> list[dict[str, Any]]:
        """Every rule with its evidence and what would come of it now."""
        policy = self._registry.policy(model)
        facts = self._facts(model, now)
        if facts is None:
            return []
        rows = []
        for rule in policy.triggers:
            state = self._memory.state(model, rule.name)
            decision = evaluate(rule, facts, state, policy.budget, self._run_times(model))
            rows.append({
                "trigger": rule.name,
                "kind": rule.when.kind,
                "outcome": decision.outcome,
                "reason": decision.reason,
                "latched": latched(rule, state, facts.serving.version),
                "fired_at": state.fired_at,
                "evidence": decision.verdict.evidence,
            })  # fmt: skip
        return rows

    def firings(self, model: str | None = None) -> list[Firing]:
        """What fired, oldest first."""
        return self._memory.firings(model)

    def evaluations(self, model: str, trigger: str | None, limit: int) -> list[dict[str, Any]]:
        """The newest evaluations, oldest first; neighbours with one outcome are one row.

        Raises:
            NotFound: no rule of that name, and none that there was.
        """
        found = self._memory.evaluations(model, trigger, limit)
        if trigger is not None and not found:
            self._rule(model, trigger)
        return found

    def rearm(self, model: str, trigger: str, *, actor: str) -> None:
        """Let a rule that is latched fire again; raises NotFound, Conflict."""
        rule = self._rule(model, trigger)
        plan = self._plans.current(model)
        with self._lock:
            state = self._memory.state(model, trigger)
            if plan is None or not latched(rule, state, plan.serving.version):
                raise Conflict(f"{model}: trigger {trigger!r} is armed")
            self._memory.remember(model, trigger, replace(state, rearmed=True, held_since=None))
        self._audit.record(actor, "trigger re-armed", model, {"trigger": trigger})

    def fire(self, model: str, trigger: str, *, actor: str, reason: str) -> Firing:
        """Fire a rule by hand, whatever its evidence, latch and budget say.

        Raises:
            NotFound: no such rule, or nothing serves.
        """
        rule = self._rule(model, trigger)
        now = time.time()
        facts = self._facts(model, now)
        if facts is None:
            raise NotFound(f"{model}: nothing serves yet; promote a version first")
        firing = _firing(rule, facts, model, actor, {"by": actor, "reason": reason})
        with self._lock:
            self._memory.fired(firing, fired(now, facts.serving.version))
        self._handle()
        mine = [f for f in self._memory.firings(model) if f["trigger"] == trigger]
        return mine[-1]

    def new_hook(self, model: str, trigger: str, *, actor: str) -> str:
        """A new token for a webhook; the one before is void. Raises NotFound, Conflict."""
        rule = self._rule(model, trigger)
        if not any(leaf.webhook for leaf in rule.when.leaves()):
            raise Conflict(f"{model}: trigger {trigger!r} has no webhook in its condition")
        self._audit.record(actor, "webhook token", model, {"trigger": trigger})
        return self._memory.new_hook(model, trigger)

    def call(self, model: str, trigger: str, token: str, said: dict[str, Any]) -> int:
        """Take a call of another system; how many there are since the last firing.

        Raises:
            Forbidden: not the rule's token, or no such rule.
        """
        if not self._memory.may_call(model, trigger, token):
            raise Forbidden("webhook: wrong token; edge-hub triggers hook makes a new one")
        with self._lock:
            state = self._memory.state(model, trigger)
            call = Call(time.time(), state.call.count + 1 if state.call else 1, said)
            self._memory.remember(model, trigger, replace(state, call=call))
        self._looked.pop(model, None)
        return call.count

    def dry_run(
        self, model: str, *, since: float, until: float, policy: Policy | None = None
    ) -> dict[str, Any]:
        """When each rule of ``policy`` (default: the one in force) would have fired.

        A label counts from the end of the window of its prediction on; when it really came is not
        kept, so rules over labels may be said to fire earlier than they could have.

        Raises:
            NotFound: nothing served yet.
        """
        if self._plans.current(model) is None:
            raise NotFound(f"{model}: nothing serves yet; promote a version first")
        policy = policy or self._registry.policy(model)
        window = policy.reporting.window_seconds
        by = _groups_of(policy)
        history = self._histories.load(model, since=since, lag=window, by=by)
        step = step_of(since, until, window)
        found = replay(policy.triggers, history, policy.budget, since=since, until=until, step=step)
        return {"since": since, "until": until, "step": step, "rules": [asdict(r) for r in found]}

    def _evaluate(self, model: str, policy: Policy, now: float) -> None:
        facts = self._facts(model, now)
        if facts is None:
            return
        text = digest(self._registry.policy_text(model))
        for rule in policy.triggers:
            state = self._memory.state(model, rule.name)
            decision = evaluate(rule, facts, state, policy.budget, self._run_times(model))
            evidence = decision.verdict.evidence
            fires = decision.outcome == "fired"
            firing = _firing(rule, facts, model, ACTOR, evidence) if fires else None
            version = facts.serving.version
            self._memory.record(
                model, rule.name, decision, version=version, policy=text, now=now, firing=firing
            )

    def _handle(self) -> list[Firing]:
        """Do what firings ask for; what the hub's death left undone is done now."""
        with self._lock:
            waiting = {str(firing["id"]): firing for firing in self._memory.unhandled()}
            for_each(waiting, lambda id_: self._handle_one(waiting[id_]))
        return list(waiting.values())

    def _handle_one(self, firing: Firing) -> None:
        named = {name: firing[name] for name in ("trigger", "kind", "version", "evidence")}
        self.on_fire(firing)
        self._audit.record(firing["actor"], "trigger fired", firing["model"], named)
        self._memory.handled(firing)

    def _facts(self, model: str, now: float) -> Facts | None:
        by = _groups_of(self._registry.policy(model))
        return self._histories.load(model, since=now, by=by).at(now)

    def _rule(self, model: str, trigger: str) -> TriggerRule:
        rules = {rule.name: rule for rule in self._registry.policy(model).triggers}
        if trigger not in rules:
            near = did_you_mean(trigger, list(rules))
            there = f"{near}its policy has {listed(sorted(rules)) or 'none'}"
            raise NotFound(f"{model}: has no trigger {trigger!r}; {there}")
        return rules[trigger]


def _groups_of(policy: Policy) -> set[str]:
    """The columns and attributes whose groups some rule looks at."""
    leaves = [leaf for rule in policy.triggers for leaf in rule.when.leaves()]
    return {leaf.performance.by for leaf in leaves if leaf.performance and leaf.performance.by}


def _firing(
    rule: TriggerRule, facts: Facts, model: str, actor: str, evidence: dict[str, Any]
) -> Firing:
    """``since`` is when what the rule looked at began: newer rows count as fresh."""
    looked = [leaf.performance.lookback_seconds for leaf in rule.when.leaves() if leaf.performance]
    begins = [facts.now - max(looked)] if looked else []
    if any(leaf.drift for leaf in rule.when.leaves()):
        begins += [alarm.raised_at for alarm in facts.alarms]
    return {
        "model": model,
        "trigger": rule.name,
        "kind": rule.when.kind,
        "version": facts.serving.version,
        "at": facts.now,
        "actor": actor,
        "evidence": evidence,
        "mode": rule.mode,
        "since": max(facts.serving.published_at, min(begins, default=0.0)),
    }
