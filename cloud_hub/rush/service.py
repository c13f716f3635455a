"""Takes versions of a rare day back when it is over.

Each step is one of :mod:`cloud_hub.rush.decision`, and stands in the database: a hub that is killed
at any moment, or was off when the day ended, does the rest when it runs again; one whose clock
cannot be believed waits, for it knows no day. A person may say before that a version stays
(:meth:`Rush.keep`), and what a person decides while versions are compared stands.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from sqlalchemy import Engine

from cloud_hub.calendar.occurrence import Occurrence
from cloud_hub.database.documents import as_documents
from cloud_hub.database.engine import transaction
from cloud_hub.errors import Conflict, HubFault
from cloud_hub.registry.per_model import for_each
from cloud_hub.rush.decision import NextStep, Trial, next_step, wins
from cloud_hub.rush.store import Outcome, RushMark, RushStore
from edge_sdk.errors import EdgeError

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
        mark, why = self._store.get(model, version), f"kept by {actor}: {reason}"
        if mark.outcome is None:
            self._decide(mark, "kept", why, actor, (), time.time())
            mark = self._store.get(model, version)
        if mark.outcome != "kept":
            raise Conflict(
                f"{model} {version}: the {mark.title} is over and it does not serve any more "
                f"({mark.outcome}); promote it with edge-hub promote"
            )
        return mark

    def marks(self, model: str) -> dict[str, RushMark]:
        """Return the marks of a model's versions, by version."""
        return {mark.version: mark for mark in self._store.marks(model)}

    def _step(self, model: str, now: float) -> None:
        plan = self._plans.current(model)
        if plan is None:
            return
        todo = self._next(model, plan, now)
        if todo.step in ("rest", "wait"):
            return
        self._registry.repository.check_clock()
        if todo.step == "stop" and plan.experiment is not None:
            reason = f"the {todo.marks[0].title} is over, for which it was trained"
            self._experiments.stop(plan.experiment.id, actor=ACTOR, reason=reason)
        elif todo.step == "compare":
            self._go_back_or_stay(todo.marks[0], plan, now)
        elif todo.step == "close":
            self._close(todo.marks, now)

    def _close(self, marks: Sequence[RushMark], now: float) -> None:
        """Decide about versions of a day that is over and that do not serve."""
        versions = {record.version: record for record in self._registry.versions(marks[0].model)}
        for mark in marks:
            record = versions.get(mark.version)
            if record is None:  # the hub was killed, or refused it, before it was published
                self._store.drop(mark)
                continue
            with transaction(self._engine):
                reason = f"did not serve when the {mark.title} was over"
                self._store.decide(mark, "unused", reason, now=now)
                if record.status == "retired":  # it served, and edge-hub rollback passes it over
                    self._registry.set_status(mark.model, mark.version, "rolled_back")

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

    def _go_back_or_stay(self, mark: RushMark, seen: Plan, now: float) -> None:
        before = self._before(mark)
        if before is None:
            reason = f"the {mark.title} is over; no version of before is left to go back to"
            self._decide(mark, "kept", reason, ACTOR, (), now)
            return
        mark = replace(mark, before=before)
        checks, (won, why) = self._compared(mark, now)
        reason, evidence = f"the {mark.title} is over; {why}", as_documents(checks)
        if self._plans.current(mark.model) != seen:
            return  # a person acted meanwhile: the next tick looks at what is now
        if won:
            self._decide(mark, "kept", reason, ACTOR, evidence, now)
            return
        reference = self._plans.reference(mark.model, before)
        # In one transaction, or a hub that is killed here would compare a version that is gone.
        with transaction(self._engine):
            # Decided first: what a person has kept meanwhile stays as it is.
            if self._decide(mark, "went_back", reason, ACTOR, evidence, now):
                self._plans.go_back(seen, reference, actor=ACTOR, reason=reason, evidence=evidence)

    def _compared(self, mark: RushMark, now: float) -> tuple[Sequence[Check], tuple[bool, str]]:
        """Return the comparison on normal data, and whether the version wins it and why."""
        try:
            checks = self._compare(mark, now)
        except (HubFault, EdgeError) as error:
            return (), (False, f"it could not be compared: {error}")
        return checks, wins(checks)

    def _before(self, mark: RushMark) -> str | None:
        """Return the version to go back to; ``None`` if none is left.

        The one of before, unless a person has rolled that back since or its files are gone; then
        what served before that, and was not made for a rare day.
        """
        statuses = {r.version: r.status for r in self._registry.versions(mark.model)}
        of_rush = {m.version for m in self._store.marks(mark.model) if m.outcome != "kept"}
        served = [release.version for release in self._plans.served(mark.model)]
        # The one of before may be of an earlier rush, if a person let that serve again.
        others = [version for version in served if version not in of_rush]
        for version in (mark.before, *others):
            is_left = statuses.get(version, "rolled_back") != "rolled_back"
            if is_left and self._is_whole(mark.model, version):
                return version
        return None

    def _is_whole(self, model: str, version: str) -> bool:
        try:
            self._registry.release(model, version)
        except (HubFault, EdgeError) as error:
            log.warning("%s %s: cannot serve again; %s", model, version, error)
            return False
        return True

    def _decide(
        self,
        mark: RushMark,
        outcome: Outcome,
        reason: str,
        actor: str,
        checks: object,
        now: float,
    ) -> bool:
        """Note what became of a version; return False if somebody has done so meanwhile."""
        with transaction(self._engine):
            if not self._store.decide(mark, outcome, reason, checks=checks, now=now):
                return False
            detail = {"version": mark.version, "before": mark.before, "reason": reason}
            self._audit.record(actor, f"rush {outcome}", mark.model, detail)
        log.info("%s %s: %s, %s", mark.model, mark.version, outcome, reason)
        return True


def _trial(plan: Plan | None) -> Trial | None:
    if plan is None or plan.experiment is None:
        return None
    arms = frozenset(arm.release.version for arm in plan.experiment.arms)
    return Trial(plan.experiment.id, arms)
