"""Takes versions of a rare day back when it is over.

Each step is one of :mod:`cloud_hub.rush.decision`, and stands in the database: a hub that is killed
at any moment, or was off when the day ended, does the rest when it runs again. A person may say
before or afterwards that a version stays (:meth:`Rush.keep`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import Engine

from cloud_hub.calendar.occurrence import Occurrence
from cloud_hub.database.documents import as_documents
from cloud_hub.database.engine import transaction
from cloud_hub.errors import Conflict
from cloud_hub.registry.per_model import for_each
from cloud_hub.rush.decision import NextStep, Trial, next_step, wins
from cloud_hub.rush.store import Outcome, RushMark, RushStore

if TYPE_CHECKING:
    from cloud_hub.database.audit import Audit
    from cloud_hub.experiments.service import Experiments
    from cloud_hub.plans.service import Plans
    from cloud_hub.registry.service import Registry
    from cloud_hub.runs.gate import Check
    from edge_sdk.contract.plan import Plan

log = logging.getLogger(__name__)

ACTOR: Final = "hub"
DAY: Final = 86_400.0

Compare = Callable[[RushMark, float], Sequence["Check"]]
"""Compares a version of a rush with the one before it on normal data, at a time."""

Busy = Callable[[str], bool]
"""Says whether a run of a model is about to publish, or tries what it published."""


@dataclass(frozen=True)
class CalendarStatus:
    """The calendar of a model: days that are ``open`` and those that come, and the versions that
    were trained on some, newest first. ``waits_for`` is the experiment that keeps a version of a
    day that is over from going back.
    """

    model: str
    time_zone: str
    open: tuple[Occurrence, ...]
    next: tuple[Occurrence, ...]
    versions: tuple[RushMark, ...]
    waits_for: str | None


class Rush:
    """Versions of rare days of all models."""

    def __init__(
        self,
        engine: Engine,
        audit: Audit,
        registry: Registry,
        plans: Plans,
        experiments: Experiments,
        store: RushStore,
        *,
        compare: Compare,
        busy: Busy,
    ) -> None:
        self._engine = engine
        self._audit = audit
        self._registry = registry
        self._plans = plans
        self._experiments = experiments
        self._store = store
        self._compare = compare
        self._busy = busy

    def tick(self, now: float) -> None:
        """Do the next step of every model with versions about which nothing is decided."""
        for_each(self._store.models(), lambda model: self._step(model, now))

    def status(self, model: str, *, now: float, days: float = 400.0) -> CalendarStatus:
        """Return the calendar of a model.

        Args:
            model: name of the model.
            now: Unix seconds.
            days: how far ahead.
        """
        calendar = self._registry.policy(model).calendar
        found = calendar.occurrences(now, now + days * DAY)
        plan = self._plans.current(model)
        trial = _trial(plan)
        waits = plan is not None and self._next(model, plan, now).step == "wait"
        return CalendarStatus(
            model,
            calendar.time_zone,
            tuple(each for each in found if now in each),
            tuple(each for each in found if now not in each),
            tuple(reversed(self._store.marks(model))),
            trial.id if waits and trial is not None else None,
        )

    def keep(self, model: str, version: str, *, actor: str, reason: str) -> RushMark:
        """Let a version of a rush serve on, whatever the comparison would say.

        Args:
            model: name of the model.
            version: of a day.
            actor: the person.
            reason: for the audit log.

        Raises:
            NotFound: it was not trained on a rare day.
            Conflict: it went back already; promote it instead.
        """
        mark = self._store.get(model, version)
        if mark.outcome == "kept":
            return mark
        if mark.outcome is not None:
            raise Conflict(
                f"{model} {version}: the {mark.title} is over and it does not serve any more "
                f"({mark.outcome}); promote it with edge-hub promote"
            )
        self._decide(mark, "kept", f"kept by {actor}: {reason}", actor, (), time.time())
        return self._store.get(model, version)

    def _step(self, model: str, now: float) -> None:
        plan = self._plans.current(model)
        if plan is None:
            return
        todo = self._next(model, plan, now)
        if todo.step == "stop" and plan.experiment is not None:
            reason = f"the {todo.marks[0].title} is over, for which it was trained"
            self._experiments.stop(plan.experiment.id, actor=ACTOR, reason=reason)
        elif todo.step == "compare":
            self._go_back_or_stay(todo.marks[0], now)
        elif todo.step == "close":
            for mark in todo.marks:
                reason = f"did not serve when the {mark.title} was over"
                self._store.decide(mark, "unused", reason, now=now)

    def _next(self, model: str, plan: Plan, now: float) -> NextStep:
        calendar = self._registry.policy(model).calendar
        return next_step(
            self._store.marks(model, undecided=True),
            serving=plan.serving.version,
            trial=_trial(plan),
            open_days={each.day for each in calendar.occurrences(now, now + 1) if now in each},
            busy=self._busy(model),
            now=now,
        )

    def _go_back_or_stay(self, mark: RushMark, now: float) -> None:
        checks = self._compare(mark, now)
        won, why = wins(checks)
        evidence = as_documents(checks)
        if won:
            self._decide(mark, "kept", f"the {mark.title} is over; {why}", ACTOR, evidence, now)
            return
        reason = f"the {mark.title} is over; {why}"
        # In one transaction, or a hub that is killed here would compare a version that is gone.
        with transaction(self._engine):
            self._plans.promote(
                mark.model, mark.before, actor=ACTOR, reason=reason, evidence=evidence
            )
            self._decide(mark, "went_back", reason, ACTOR, evidence, now)

    def _decide(
        self,
        mark: RushMark,
        outcome: Outcome,
        reason: str,
        actor: str,
        checks: object,
        now: float,
    ) -> None:
        with transaction(self._engine):
            self._store.decide(mark, outcome, reason, checks=checks, now=now)
            detail = {"version": mark.version, "before": mark.before, "reason": reason}
            self._audit.record(actor, f"rush {outcome}", mark.model, detail)
        log.info("%s %s: %s, %s", mark.model, mark.version, outcome, reason)


def _trial(plan: Plan | None) -> Trial | None:
    if plan is None or plan.experiment is None:
        return None
    arms = frozenset(arm.release.version for arm in plan.experiment.arms)
    return Trial(plan.experiment.id, arms)
