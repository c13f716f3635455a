"""Evaluates the rules of every model, fires them, and replays history against them.

The rules are pure (``conditions``, ``latching``, ``replay``); here they meet the database. A model
is looked at once a reporting window: sooner there is nothing new.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from cloud_hub.database.documents import Document, as_document
from cloud_hub.errors import Conflict, NotFound, Unauthenticated
from cloud_hub.policy.service import digest
from cloud_hub.registry.per_model import for_each
from cloud_hub.text.spelling import did_you_mean, listed
from cloud_hub.triggers.conditions import open_day
from cloud_hub.triggers.evidence import Evidence, HandEvidence
from cloud_hub.triggers.facts import Call, Facts, StartedRun
from cloud_hub.triggers.latching import Outcome, counted, evaluate, is_latched, state_after_firing
from cloud_hub.triggers.replay import Replay, step_of
from cloud_hub.triggers.spread_replay import ReplayOrder, replayed
from cloud_hub.triggers.store import EvaluationRecord, Firing, TriggerStore

if TYPE_CHECKING:
    from cloud_hub.database.audit import Audit
    from cloud_hub.engine.engine import Engine
    from cloud_hub.plans.service import Plans
    from cloud_hub.policy.schema.sections import Policy, TriggerRule
    from cloud_hub.registry.service import Registry
    from cloud_hub.triggers.history import Histories

log = logging.getLogger(__name__)

LONGEST_WAIT: Final = 60.0
"""Seconds between two looks at a model, however long its windows are."""

YEAR: Final = 366 * 86_400.0
"""Seconds ahead in which rare days are looked for."""

ACTOR: Final = "hub"

OnFire = Callable[[Firing], None]
"""Starts what a firing asks for; called until it returns."""

RunTimes = Callable[[str], Sequence[StartedRun]]
"""Returns when triggers started runs of a model, and the kinds of their conditions."""


@dataclass(frozen=True)
class RuleStatus:
    """A rule with its evidence as it stands, and the outcome that an evaluation would have now."""

    trigger: str
    kind: str
    outcome: Outcome
    reason: str
    latched: bool
    fired_at: float | None
    evidence: Evidence


@dataclass(frozen=True)
class DryRun:
    """Firings that rules would have had between ``since`` and ``until`` (Unix seconds), looked at
    every ``step`` seconds.
    """

    since: float
    until: float
    step: float
    rules: tuple[Replay, ...]


class Triggers:
    """Triggers of all models."""

    def __init__(
        self,
        audit: Audit,
        registry: Registry,
        plans: Plans,
        histories: Histories,
        store: TriggerStore,
        engine: Engine,
        *,
        on_fire: OnFire,
        run_times: RunTimes,
    ) -> None:
        self._audit = audit
        self._registry = registry
        self._plans = plans
        self._histories = histories
        self._store = store
        self.on_fire = on_fire
        self._run_times = run_times
        self._looked: dict[str, float] = {}
        self._engine = engine

    def compute_with(self, engine: Engine) -> None:
        """Have replays computed by another engine from now on."""
        self._engine = engine

    def tick(self, now: float) -> list[Firing]:
        """Evaluate every rule of every model that serves and is due; return the firings, handled.

        Raises:
            ExceptionGroup: some models failed; the others had their turn, and firings were handled.
        """
        try:
            for_each(self._registry.models(), lambda model: self._evaluate_if_due(model, now))
        finally:  # a model that fails must not keep the firings of others waiting
            firings = self._handle()
        return firings

    def _evaluate_if_due(self, model: str, now: float) -> None:
        policy = self._registry.policy(model)
        wait = min(policy.reporting.window_seconds, LONGEST_WAIT)
        # Not before the last look: a clock that was ahead would put it off by as much.
        if policy.rules and not 0 <= now - self._looked.get(model, 0.0) < wait:
            self._looked[model] = now  # before it: a rule that fails is not evaluated every tick
            with self._store.alone():
                self._evaluate(model, policy, now)

    def status(self, model: str, now: float) -> list[RuleStatus]:
        """Return every rule with its evidence, and the outcome that it would have at ``now``."""
        policy = self._registry.policy(model)
        facts = self._facts(model, now)
        if facts is None:
            return []
        rows, started = [], self._run_times(model)
        for rule in policy.rules:
            state = self._store.state(model, rule.name)
            decision = evaluate(rule, facts, state, policy.budget, counted(rule, started))
            rows.append(
                RuleStatus(
                    trigger=rule.name,
                    kind=rule.when.kind,
                    outcome=decision.outcome,
                    reason=decision.reason,
                    latched=is_latched(rule, state, facts.serving.version),
                    fired_at=state.fired_at,
                    evidence=decision.verdict.evidence,
                )
            )
        return rows

    def firings(self, model: str | None = None) -> list[Firing]:
        """Return the firings of one model or of all, oldest first."""
        return self._store.firings(model)

    def evaluations(self, model: str, trigger: str | None, limit: int) -> list[EvaluationRecord]:
        """Return the newest evaluations, oldest first; neighbours with one outcome are one row.

        Args:
            model: name of the model.
            trigger: name of a rule; ``None`` for all of them.
            limit: number of rows at most.

        Raises:
            NotFound: no rule of that name now, and no evaluation of an earlier one.
        """
        records = self._store.evaluations(model, trigger, limit)
        if trigger is not None and not records:
            self._rule(model, trigger)
        return records

    def rearm(self, model: str, trigger: str, *, actor: str) -> None:
        """Let a rule that is latched fire again.

        Args:
            model: name of the model.
            trigger: name of the rule.
            actor: the person, for the audit log.

        Raises:
            NotFound: no such rule.
            Conflict: it is not latched.
        """
        rule = self._rule(model, trigger)
        plan = self._plans.current(model)
        with self._store.alone():
            state = self._store.state(model, trigger)
            if plan is None or not is_latched(rule, state, plan.serving.version):
                raise Conflict(f"{model}: trigger {trigger!r} is armed")
            self._store.put_state(model, trigger, replace(state, rearmed=True, held_since=None))
        self._audit.record(actor, "trigger re-armed", model, {"trigger": trigger})

    def fire(self, model: str, trigger: str, *, actor: str, reason: str) -> Firing:
        """Fire a rule by hand, whatever its evidence, latch and budget say.

        Args:
            model: name of the model.
            trigger: name of the rule.
            actor: the person.
            reason: shown as the evidence of the firing.

        Returns:
            The firing as it is stored.

        Raises:
            NotFound: no such rule, or nothing serves.
        """
        rule = self._rule(model, trigger)
        now = time.time()
        facts = self._facts(model, now)
        if facts is None:
            raise NotFound(f"{model}: nothing serves yet; promote a version first")
        firing = _firing(rule, facts, model, actor, HandEvidence(actor, reason))
        with self._store.alone():
            before = self._store.state(model, trigger)
            self._store.add_firing(firing, state_after_firing(now, facts.serving.version, before))
        self._handle()
        return [f for f in self._store.firings(model) if f.trigger == trigger][-1]

    def new_hook(self, model: str, trigger: str, *, actor: str) -> str:
        """Make a new token for a webhook; the one before is void.

        Args:
            model: name of the model.
            trigger: name of a rule with a webhook in its condition.
            actor: the person, for the audit log.

        Raises:
            NotFound: no such rule.
            Conflict: its condition has no webhook.
        """
        rule = self._rule(model, trigger)
        if not any(leaf.webhook for leaf in rule.when.leaves()):
            raise Conflict(f"{model}: trigger {trigger!r} has no webhook in its condition")
        self._audit.record(actor, "webhook token", model, {"trigger": trigger})
        return self._store.new_hook(model, trigger)

    def call(self, model: str, trigger: str, token: str, payload: Document) -> int:
        """Take a call of another system.

        Args:
            model: name of the model.
            trigger: name of the rule.
            token: the rule's, from :meth:`new_hook`.
            payload: body of the call; shown as evidence.

        Returns:
            Number of calls since the last firing.

        Raises:
            Unauthenticated: not the rule's token, or no such rule.
        """
        # One answer for a wrong token and an unknown rule: the caller learns no names.
        if not self._store.may_call(model, trigger, token):
            raise Unauthenticated("webhook: wrong token; edge-hub triggers hook makes a new one")
        with self._store.alone():
            state = self._store.state(model, trigger)
            call = Call(time.time(), state.call.count + 1 if state.call else 1, payload)
            self._store.put_state(model, trigger, replace(state, call=call))
        self._looked.pop(model, None)  # the next tick looks at once, not a window later
        return call.count

    def dry_run(
        self, model: str, *, since: float, until: float, policy: Policy | None = None
    ) -> DryRun:
        """Return when each rule of a policy would have fired.

        A label counts from the end of the window of its prediction on: when it really arrived is
        not stored, so rules over labels may be shown to fire earlier than they could have.

        Args:
            model: name of the model.
            since: begin, Unix seconds.
            until: end, Unix seconds.
            policy: the rules to try; default: the policy in force.

        Raises:
            NotFound: nothing served yet.
            EngineUnavailable: the hub computes elsewhere, and that cannot be reached.
        """
        if self._plans.current(model) is None:
            raise NotFound(f"{model}: nothing serves yet; promote a version first")
        policy = policy or self._registry.policy(model)
        window = policy.reporting.window_seconds  # a label is available at its end, not before
        history = self._histories.load(
            model, since=since, lag=window, by=_groups_of(policy), lookback=_lookback_of(policy),
            days=policy.calendar.occurrences(since, until + YEAR),
        )  # fmt: skip
        step = step_of(since, until, window)
        order = ReplayOrder(tuple(policy.rules), history, policy.budget, since, until, step)
        return DryRun(since, until, step, tuple(replayed(self._engine, order)))

    def _evaluate(self, model: str, policy: Policy, now: float) -> None:
        facts = self._facts(model, now)
        if facts is None:
            return  # nothing serves yet
        policy_digest = digest(self._registry.policy_text(model))
        started = self._run_times(model)
        for rule in policy.rules:
            state = self._store.state(model, rule.name)
            decision = evaluate(rule, facts, state, policy.budget, counted(rule, started))
            evidence = decision.verdict.evidence
            fires = decision.outcome == "fired"
            firing = _firing(rule, facts, model, ACTOR, evidence) if fires else None
            version = facts.serving.version
            self._store.record(
                model,
                rule.name,
                decision,
                version=version,
                policy=policy_digest,
                now=now,
                firing=firing,
            )

    def _handle(self) -> list[Firing]:
        """Ask for the runs of firings, also of those that a hub stored before it died."""
        with self._store.alone():
            # By id as text: for_each names what failed.
            waiting = {str(firing.id): firing for firing in self._store.unhandled()}
            for_each(waiting, lambda id_: self._handle_one(waiting[id_]))
        return list(waiting.values())

    def _handle_one(self, firing: Firing) -> None:
        detail = {
            "trigger": firing.trigger,
            "kind": firing.kind,
            "version": firing.version,
            "evidence": firing.evidence,
        }
        self.on_fire(firing)
        self._audit.record(firing.actor, "trigger fired", firing.model, detail)
        # Marked last: a hub that dies before asks for the run again, which joins the active one.
        self._store.mark_handled(firing)
        log.info(
            "%s: trigger %s (%s) fired for version %s, by %s",
            *(firing.model, firing.trigger, firing.kind, firing.version, firing.actor),
        )

    def _facts(self, model: str, now: float) -> Facts | None:
        policy = self._registry.policy(model)
        by, lookback = _groups_of(policy), _lookback_of(policy)
        days = policy.calendar.occurrences(now, now + YEAR)
        return self._histories.load(model, since=now, by=by, lookback=lookback, days=days).at(now)

    def _rule(self, model: str, trigger: str) -> TriggerRule:
        rules = {rule.name: rule for rule in self._registry.policy(model).triggers}
        if trigger not in rules:
            near = did_you_mean(trigger, list(rules))
            existing = f"{near}its policy has {listed(sorted(rules)) or 'none'}"
            raise NotFound(f"{model}: has no trigger {trigger!r}; {existing}")
        return rules[trigger]


def _groups_of(policy: Policy) -> set[str]:
    """Return the columns and attributes whose groups some rule looks at."""
    leaves = [leaf for rule in policy.rules for leaf in rule.when.leaves()]
    return {leaf.performance.by for leaf in leaves if leaf.performance and leaf.performance.by}


def _lookback_of(policy: Policy) -> float:
    """Return the longest time that a rule looks back on labels, in seconds; 0 if none does."""
    leaves = [leaf for rule in policy.rules for leaf in rule.when.leaves()]
    rules = [leaf.performance for leaf in leaves if leaf.performance]
    # Of mean errors all windows are loaded anyway, and no batches.
    return max((rule.lookback_seconds for rule in rules if rule.below is not None), default=0.0)


def _firing(rule: TriggerRule, facts: Facts, model: str, actor: str, evidence: Evidence) -> Firing:
    """``since`` is where the data that the rule looked at begins: newer rows count as fresh."""
    leaves = list(rule.when.leaves())
    today = [day for leaf in leaves if leaf.day and (day := open_day(leaf.day, facts))]
    lookbacks = [leaf.performance.lookback_seconds for leaf in leaves if leaf.performance]
    begins = [facts.now - max(lookbacks)] if lookbacks else []
    if any(leaf.drift for leaf in leaves):
        begins += [alarm.raised_at for alarm in facts.alarms]
    return Firing(
        model=model,
        trigger=rule.name,
        kind=rule.when.kind,
        version=facts.serving.version,
        at=facts.now,
        actor=actor,
        evidence=as_document(evidence),
        mode=rule.mode,
        # Of a rare day all rows count each time: the version of an hour ago saw few of them.
        since=today[0].begin
        if today
        else max(facts.serving.published_at, min(begins, default=0.0)),
    )
