"""Access tokens: what people and programs ask with. Only their hashes are stored.

Invariant: a token can do no more, and lasts no longer, than what it was made with.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, Final

from sqlalchemy import Connection, Engine, insert, select, update
from sqlalchemy.exc import SQLAlchemyError

from cloud_hub.api.roles import Person, Role, least
from cloud_hub.database.audit import Audit
from cloud_hub.database.engine import afterwards, transaction
from cloud_hub.errors import Conflict, Forbidden, NotFound
from cloud_hub.fleet.secret_digest import digest
from cloud_hub.people.recent_tokens import RecentTokens
from cloud_hub.people.records import (
    AccessTokenRecord,
    PersonRecord,
    TokenWish,
    checked_models,
    effective,
)
from cloud_hub.people.tables import access_tokens, people

PREFIX: Final = "hub_"
"""Tells people and secret scanners what it is, and the hub at once that it is no other token."""

NOTED_SECONDS: Final = 60.0
"""A token's last use is noted once in so many seconds: each note is a write."""


class AccessTokens:
    """The access tokens of one hub.

    Args:
        engine: of its database.
        audit: where they are noted.
        clock: Unix seconds.

    Attributes:
        seen: tokens that were looked up a moment ago.
    """

    def __init__(
        self, engine: Engine, audit: Audit, clock: Callable[[], float] = time.time
    ) -> None:
        self._engine, self._audit, self._clock = engine, audit, clock
        self.seen = RecentTokens()

    def recent(self, token: str) -> Person | None:
        """Return what :meth:`person` returned at most a second ago, from memory alone."""
        return self.seen.get(digest(token), self._clock()) if token.startswith(PREFIX) else None

    def person(self, token: str) -> Person | None:
        """Return who asks with a token, ``None`` if it lets nobody in."""
        if not token.startswith(PREFIX):
            return None
        t, now, changes, key = access_tokens.c, self._clock(), self.seen.changes, digest(token)
        with self._engine.connect() as db:
            row = db.execute(select(access_tokens).where(t.digest == key)).mappings()
            record = next(map(token_record, row), None)
            owner = None if record is None else person_of(db, record.person)
        if record is None or owner is None:
            return None
        found = effective(owner, record, now)
        if found is None:
            return None
        self.seen.learn(key, found, changes)
        if record.used_at is None or now - record.used_at >= NOTED_SECONDS:
            self._note(record.id, now)
        return found

    def _note(self, id_: str, now: float) -> None:
        # A full disk keeps nobody out who comes to make room.
        with contextlib.suppress(SQLAlchemyError), self._engine.begin() as db:
            db.execute(update(access_tokens).where(access_tokens.c.id == id_).values(used_at=now))

    def make(self, wish: TokenWish, *, by: Person) -> tuple[AccessTokenRecord, str]:
        """Make a token; return its record, and the token itself, which is not stored.

        Args:
            wish: what is wanted.
            by: who makes it; only administrators of all models make those of others.

        Raises:
            NotFound: there is no such person.
            Forbidden: it would do more than who makes it may.
            Conflict: the person is disabled, or has a usable token of that name.
        """
        now, owner = self._clock(), wish.person or by.name
        _check_own(by, owner)
        with transaction(self._engine) as db:
            person = person_of(db, owner)
            if person is None:
                raise NotFound(_unknown(owner))
            if person.disabled_at is not None:
                raise Conflict(f"{owner}: is disabled; edge-hub people enable {owner}")
            self._check_free(db, owner, wish.name, now)
            record = _record(wish, person, by, now)
            token = f"{PREFIX}{secrets.token_urlsafe(32)}"
            row = asdict(record) | {"digest": digest(token)}
            db.execute(insert(access_tokens).values(**row))
            noted = {
                "token": record.id, "name": record.name, "person": owner, "role": record.role,
                "models": record.models, "expires_at": record.expires_at,
            }  # fmt: skip
            self._audit.record(by.name, "access-token", None, noted)
        return record, token

    def _check_free(self, db: Connection, owner: str, name: str, now: float) -> None:
        t = access_tokens.c
        query = select(t.id).where(
            (t.person == owner) & (t.name == name) & t.revoked_at.is_(None) & (t.expires_at > now)
        )
        if (taken := db.execute(query).scalar()) is not None:
            raise Conflict(f"{name}: {owner} has a token of that name, {taken}; revoke it first")

    def list(self, person: str | None = None, *, usable: bool = False) -> list[AccessTokenRecord]:
        """Return tokens, oldest first.

        Args:
            person: whose; default everybody's.
            usable: only those that let somebody in by themselves now.
        """
        t, now = access_tokens.c, self._clock()
        query = select(access_tokens).order_by(t.made_at, t.name)
        if person is not None:
            query = query.where(t.person == person)
        if usable:
            query = query.where(t.revoked_at.is_(None) & (t.expires_at > now))
        with self._engine.connect() as db:
            return [token_record(row) for row in db.execute(query).mappings()]

    def revoke(self, id_: str, *, by: Person) -> AccessTokenRecord:
        """Let nobody in with a token any more; sessions that it began end with it.

        Args:
            id_: of the token.
            by: whose it is, or an administrator.

        Raises:
            NotFound: there is no such token among those that they may revoke.
            Conflict: it was revoked before.
        """
        t = access_tokens.c
        with transaction(self._engine) as db:
            row = db.execute(select(access_tokens).where(t.id == id_)).mappings().first()
            if row is None or not (is_administrator(by) or row["person"] == by.name):
                raise NotFound(f"token {id_:.40}: no such token; see edge-hub access-tokens list")
            if row["revoked_at"] is not None:
                raise Conflict(f"token {id_}: was revoked before")
            now = self._clock()
            db.execute(update(access_tokens).where(t.id == id_).values(revoked_at=now))
            noted = {"token": id_, "name": row["name"], "person": row["person"]}
            self._audit.record(by.name, "revoke-access-token", None, noted)
            afterwards(self._engine, self.seen.clear)
        return token_record({**row, "revoked_at": now})


def is_administrator(person: Person) -> bool:
    """Return whether somebody may decide about other people."""
    return person.may(Role.ADMINISTRATOR) and person.models is None


def person_of(db: Connection, name: str) -> PersonRecord | None:
    """Return a person by name, ``None`` if there is none."""
    row = db.execute(select(people).where(people.c.name == name)).mappings().first()
    return None if row is None else PersonRecord(**row)


def token_record(row: Mapping[Any, Any]) -> AccessTokenRecord:
    """Return a row of the table as a record, without the digest."""
    return AccessTokenRecord(**{name: row[name] for name in AccessTokenRecord.__dataclass_fields__})


def _check_own(by: Person, owner: str) -> None:
    if owner != by.name and not is_administrator(by):
        raise Forbidden(
            f"{owner}: only administrators make tokens of others, and you are {by.name}"
        )


def _record(wish: TokenWish, person: PersonRecord, by: Person, now: float) -> AccessTokenRecord:
    """Return the token that is wanted, within what its maker and its person may."""
    role = wish.role or Role.of(person.role)
    models = least(wish.models, person.models)
    if role > Role.of(person.role):
        raise Forbidden(f"role: {person.name} is {person.role}, and {role.word} is more")
    if wish.models is not None and (beyond := sorted(set(wish.models) - (models or set()))):
        raise Forbidden(f"models: {person.name} has no right on {', '.join(beyond)}")
    expires = now + wish.seconds
    if not is_administrator(by):
        # Whoever got hold of a token for an hour may not make one for a year of it.
        role, models = min(role, by.role), least(models, by.models)
        expires = min(expires, by.until) if by.until is not None else expires
    return AccessTokenRecord(
        secrets.token_hex(5), person.name, wish.name, role.word, checked_models(models), now,
        by.name, expires, None, None,
    )  # fmt: skip


def _unknown(name: str) -> str:
    if name == "admin":
        return (
            "admin: is the token of a file, and nobody; edge-hub people add NAME --role "
            "administrator makes a person who has tokens"
        )
    return f"{name:.100}: no such person; see edge-hub people list"
