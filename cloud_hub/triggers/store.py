"""The tables of triggers: states, evaluations (bounded), firings."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from typing import Any, Final

from sqlalchemy import Connection, Engine, delete, insert, select, update

from cloud_hub.database.documents import Document, as_document
from cloud_hub.database.engine import transaction
from cloud_hub.database.locks import exclusive
from cloud_hub.fleet.secret_digest import digest
from cloud_hub.triggers.facts import TriggerState
from cloud_hub.triggers.latching import TriggerDecision
from cloud_hub.triggers.tables import evaluations, firings, states
from edge_sdk.contract.codec import from_plain

STORED: Final = 500
"""Evaluations that are stored of each rule; neighbours with one outcome are one row."""


@dataclass(frozen=True)
class Firing:
    """A rule that fired, or was fired by hand.

    ``version`` served at ``at`` (Unix seconds); rows from ``since`` on count as fresh for the run;
    ``mode`` replaces the policy's. ``id`` is 0 until it is stored, ``handled`` says that its run
    was asked for.
    """

    model: str
    trigger: str
    kind: str
    version: str
    at: float
    actor: str
    evidence: Document
    mode: str | None
    since: float
    id: int = 0
    handled: bool = False


@dataclass(frozen=True)
class EvaluationRecord:
    """Evaluations of a rule in a row that had one outcome: ``times`` of them from ``first_at`` to
    ``last_at`` (Unix seconds), with the newest reason and evidence. ``policy`` is the digest of the
    policy in force.
    """

    id: int
    model: str
    trigger: str
    version: str
    policy: str
    first_at: float
    last_at: float
    times: int
    outcome: str
    reason: str
    evidence: Document


class TriggerStore:
    """States, evaluations and firings of the rules of all models."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def alone(self) -> AbstractContextManager[None]:
        """Return a context that one thread of all workers enters at a time.

        Calls come while the loop evaluates.
        """
        return exclusive(self._engine, "triggers")

    def state(self, model: str, trigger: str) -> TriggerState:
        """Return the state of a rule; a new one is armed."""
        query = select(states.c.state).where(*_named(states, model, trigger))
        with self._engine.connect() as db:
            stored = db.execute(query).scalar()
        return from_plain(TriggerState, stored or {}, "state")

    def put_state(self, model: str, trigger: str, state: TriggerState) -> None:
        """Store the state of a rule.

        Args:
            model: name of the model.
            trigger: name of the rule.
            state: replaces the one that is stored.
        """
        with transaction(self._engine) as db:
            _put(db, model, trigger, state=asdict(state))

    def record(
        self,
        model: str,
        trigger: str,
        decision: TriggerDecision,
        *,
        version: str,
        policy: str,
        now: float,
        firing: Firing | None,
    ) -> None:
        """Store an evaluation, the state after it, and its firing, all or nothing.

        The oldest evaluations are dropped.

        Args:
            model: name of the model.
            trigger: name of the rule.
            decision: outcome, evidence and new state.
            version: the version that serves.
            policy: digest of the policy in force.
            now: time of the evaluation, Unix seconds.
            firing: what is to be handled, if the rule fired.
        """
        same = {"version": version, "policy": policy, "outcome": decision.outcome}
        latest = {"reason": decision.reason, "evidence": as_document(decision.verdict.evidence)}
        # One transaction: a hub that dies here either fired and knows it, or will evaluate again.
        with transaction(self._engine) as db:
            _put(db, model, trigger, state=asdict(decision.state))
            if not _count_again(db, model, trigger, same, last_at=now, **latest):
                row = {"model": model, "trigger": trigger, "times": 1, **same, **latest}
                db.execute(insert(evaluations).values(**row, first_at=now, last_at=now))
                _drop_oldest(db, model, trigger)
            if firing is not None:
                _add_firing(db, firing)

    def evaluations(self, model: str, trigger: str | None, limit: int) -> list[EvaluationRecord]:
        """Return the newest evaluations, oldest first.

        Args:
            model: name of the model.
            trigger: name of a rule; ``None`` for all of them.
            limit: number of rows at most.
        """
        query = select(evaluations).where(evaluations.c.model == model)
        if trigger is not None:
            query = query.where(evaluations.c.trigger == trigger)
        with self._engine.connect() as db:
            rows = db.execute(query.order_by(evaluations.c.id.desc()).limit(limit)).mappings()
            return [EvaluationRecord(**row) for row in rows][::-1]

    def add_firing(self, firing: Firing, state: TriggerState) -> None:
        """Store a firing by hand, and the state after it, all or nothing."""
        with transaction(self._engine) as db:
            _put(db, firing.model, firing.trigger, state=asdict(state))
            _add_firing(db, firing)

    def mark_handled(self, firing: Firing) -> None:
        """Note that the run of a firing was asked for."""
        with transaction(self._engine) as db:
            db.execute(update(firings).where(firings.c.id == firing.id).values(handled=True))

    def firings(self, model: str | None = None) -> list[Firing]:
        """Return the firings of one model or of all, oldest first."""
        query = select(firings).order_by(firings.c.id)
        if model is not None:
            query = query.where(firings.c.model == model)
        with self._engine.connect() as db:
            return [Firing(**row) for row in db.execute(query).mappings()]

    def unhandled(self) -> list[Firing]:
        """Return firings whose run is still to be asked for, oldest first."""
        query = select(firings).where(firings.c.handled.is_(False)).order_by(firings.c.id)
        with self._engine.connect() as db:
            return [Firing(**row) for row in db.execute(query).mappings()]

    def new_hook(self, model: str, trigger: str) -> str:
        """Make a new token with which another system may call a rule; the one before is void."""
        token = secrets.token_urlsafe(32)
        with transaction(self._engine) as db:
            _put(db, model, trigger, hook=digest(token))
        return token

    def may_call(self, model: str, trigger: str, token: str) -> bool:
        """Check the token of a call.

        Args:
            model: name of the model.
            trigger: name of the rule.
            token: as the caller sent it.

        Returns:
            Whether it is the rule's; false where it has none.
        """
        query = select(states.c.hook).where(*_named(states, model, trigger))
        with self._engine.connect() as db:
            stored = db.execute(query).scalar()
        return stored is not None and secrets.compare_digest(stored, digest(token))


def _named(table: Any, model: str, trigger: str) -> tuple[Any, Any]:
    return table.c.model == model, table.c.trigger == trigger


def _add_firing(db: Connection, firing: Firing) -> None:
    values = {**as_document(firing), "handled": False}
    values.pop("id")  # the database counts
    db.execute(insert(firings).values(**values))


def _count_again(
    db: Connection, model: str, trigger: str, same: Mapping[str, Any], **latest: Any
) -> bool:
    """Count one more evaluation on the newest row, if that has the ``same`` outcome."""
    where = _named(evaluations, model, trigger)
    newest = select(evaluations).where(*where).order_by(evaluations.c.id.desc()).limit(1)
    last = db.execute(newest).mappings().first()
    if last is None or any(last[name] != value for name, value in same.items()):
        return False
    change = update(evaluations).where(evaluations.c.id == last["id"])
    db.execute(change.values(times=last["times"] + 1, **latest))
    return True


def _drop_oldest(db: Connection, model: str, trigger: str) -> None:
    own = select(evaluations.c.id).where(*_named(evaluations, model, trigger))
    oldest = db.execute(own.order_by(evaluations.c.id.desc()).offset(STORED).limit(1)).scalar()
    if oldest is not None:
        where = (*_named(evaluations, model, trigger), evaluations.c.id <= oldest)
        db.execute(delete(evaluations).where(*where))


def _put(db: Connection, model: str, trigger: str, **values: Any) -> None:
    """Update the row of a rule, or insert it."""
    change = update(states).where(*_named(states, model, trigger)).values(**values)
    if not db.execute(change).rowcount:
        row: Mapping[str, Any] = {"model": model, "trigger": trigger, "state": {}, **values}
        db.execute(insert(states).values(**row))
