"""The tables of triggers: states, evaluations (bounded), firings."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from sqlalchemy import Connection, Engine, delete, insert, select, update

from cloud_hub.triggers.facts import TriggerState
from cloud_hub.triggers.latching import TriggerDecision
from cloud_hub.triggers.tables import evaluations, firings, states
from edge_sdk.contract.codec import from_plain

KEPT: Final = 500
"""Evaluations that are kept of each rule; neighbours with one outcome are one row."""

Firing = dict[str, Any]


class TriggerStore:
    """What is known of the rules of all models."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def state(self, model: str, trigger: str) -> TriggerState:
        """The state of a rule; a new one is armed."""
        query = select(states.c.state).where(*_named(states, model, trigger))
        with self._engine.connect() as db:
            found = db.execute(query).scalar()
        return from_plain(TriggerState, found or {}, "state")

    def remember(self, model: str, trigger: str, state: TriggerState) -> None:
        """Keep a state."""
        with self._engine.begin() as db:
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
        """Keep an evaluation, the state after it, and what it fired, all or nothing; the oldest
        evaluations are dropped.
        """
        same = {"version": version, "policy": policy, "outcome": decision.outcome}
        said = {"reason": decision.reason, "evidence": decision.verdict.evidence}
        with self._engine.begin() as db:
            _put(db, model, trigger, state=asdict(decision.state))
            if not _again(db, model, trigger, same, last_at=now, **said):
                row = {"model": model, "trigger": trigger, "times": 1, **same, **said}
                db.execute(insert(evaluations).values(**row, first_at=now, last_at=now))
                _drop_oldest(db, model, trigger)
            if firing is not None:
                db.execute(insert(firings).values(**firing))

    def evaluations(self, model: str, trigger: str | None, limit: int) -> list[dict[str, Any]]:
        """The newest evaluations, oldest first."""
        query = select(evaluations).where(evaluations.c.model == model)
        if trigger is not None:
            query = query.where(evaluations.c.trigger == trigger)
        with self._engine.connect() as db:
            rows = db.execute(query.order_by(evaluations.c.id.desc()).limit(limit)).mappings()
            return [dict(row) for row in rows][::-1]

    def fired(self, firing: Firing, state: TriggerState) -> None:
        """Keep a firing by hand, and the state after it."""
        with self._engine.begin() as db:
            _put(db, firing["model"], firing["trigger"], state=asdict(state))
            db.execute(insert(firings).values(**firing))

    def handled(self, firing: Firing) -> None:
        """Note that what a firing asks for was asked for."""
        with self._engine.begin() as db:
            db.execute(update(firings).where(firings.c.id == firing["id"]).values(handled=True))

    def firings(self, model: str | None = None) -> list[Firing]:
        """What fired, oldest first."""
        query = select(firings).order_by(firings.c.id)
        if model is not None:
            query = query.where(firings.c.model == model)
        with self._engine.connect() as db:
            return [dict(row) for row in db.execute(query).mappings()]

    def unhandled(self) -> list[Firing]:
        """Firings whose consequences are still to come, oldest first."""
        query = select(firings).where(firings.c.handled.is_(False)).order_by(firings.c.id)
        with self._engine.connect() as db:
            return [dict(row) for row in db.execute(query).mappings()]

    def new_hook(self, model: str, trigger: str) -> str:
        """A new token with which another system may call a rule; the one before is void."""
        token = secrets.token_urlsafe(32)
        with self._engine.begin() as db:
            _put(db, model, trigger, hook=_hashed(token))
        return token

    def may_call(self, model: str, trigger: str, token: str) -> bool:
        """Whether ``token`` is the rule's."""
        query = select(states.c.hook).where(*_named(states, model, trigger))
        with self._engine.connect() as db:
            kept = db.execute(query).scalar()
        return kept is not None and secrets.compare_digest(kept, _hashed(token))


def _named(table: Any, model: str, trigger: str) -> tuple[Any, Any]:
    return table.c.model == model, table.c.trigger == trigger


def _again(
    db: Connection, model: str, trigger: str, same: Mapping[str, Any], **latest: Any
) -> bool:
    """Count one more evaluation on the newest row, if that says the ``same``."""
    where = _named(evaluations, model, trigger)
    newest = select(evaluations).where(*where).order_by(evaluations.c.id.desc()).limit(1)
    last = db.execute(newest).mappings().first()
    if last is None or any(last[name] != value for name, value in same.items()):
        return False
    change = update(evaluations).where(evaluations.c.id == last["id"])
    db.execute(change.values(times=last["times"] + 1, **latest))
    return True


def _drop_oldest(db: Connection, model: str, trigger: str) -> None:
    kept = select(evaluations.c.id).where(*_named(evaluations, model, trigger))
    oldest = db.execute(kept.order_by(evaluations.c.id.desc()).offset(KEPT).limit(1)).scalar()
    if oldest is not None:
        where = (*_named(evaluations, model, trigger), evaluations.c.id <= oldest)
        db.execute(delete(evaluations).where(*where))


def _put(db: Connection, model: str, trigger: str, **values: Any) -> None:
    change = update(states).where(*_named(states, model, trigger)).values(**values)
    if not db.execute(change).rowcount:
        row: Mapping[str, Any] = {"model": model, "trigger": trigger, "state": {}, **values}
        db.execute(insert(states).values(**row))


def _hashed(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
