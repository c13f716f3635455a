"""Sessions of browsers, kept on the hub: the browser has a random secret, the table its hash.

Invariant: a session lets in whom its token or person lets in at this very moment, and for no longer
than :data:`ABSOLUTE_SECONDS`. So it ends with a revoked token, a disabled person or a replaced
administrator's file, without anybody ending it.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from sqlalchemy import Engine, delete, insert, select, update
from sqlalchemy.exc import SQLAlchemyError

from cloud_hub.api.auth import ROOT
from cloud_hub.api.roles import Person
from cloud_hub.database.engine import transaction
from cloud_hub.fleet.secret_digest import digest
from cloud_hub.people.records import effective
from cloud_hub.people.tables import access_tokens, person_sessions
from cloud_hub.people.tokens import NOTED_SECONDS, person_of, token_record

IDLE_SECONDS: Final = 2 * 3_600.0
"""A browser that asks nothing for so long is signed out; a page that refreshes itself asks."""

ABSOLUTE_SECONDS: Final = 12 * 3_600.0
"""However busy it is: a working day."""


@dataclass(frozen=True)
class NewSession:
    """A session that has just begun.

    Attributes:
        secret: for the browser's cookie alone.
        person: who it stands for.
        seconds: until it ends at the latest.
    """

    secret: str
    person: Person
    seconds: float


class Sessions:
    """The sessions of one hub.

    Args:
        engine: of its database.
        root_digest: hash of the administrator's file as it is, ``None`` without one.
        clock: Unix seconds.
    """

    def __init__(
        self,
        engine: Engine,
        root_digest: Callable[[], str | None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._engine, self._root_digest, self._clock = engine, root_digest, clock

    def begin(self, person: Person) -> NewSession:
        """Begin a session of somebody who has just shown who they are."""
        now, secret = self._clock(), secrets.token_urlsafe(32)
        expires = min(now + ABSOLUTE_SECONDS, person.until or now + ABSOLUTE_SECONDS)
        row = {
            "digest": digest(secret), "person": person.name, "token": person.token,
            "root": self._root_digest() if person == ROOT else None,
            "begun_at": now, "seen_at": now, "expires_at": expires,
        }  # fmt: skip
        t = person_sessions.c
        with transaction(self._engine) as db:
            db.execute(delete(person_sessions).where(t.expires_at < now))
            db.execute(insert(person_sessions).values(**row))
        return NewSession(secret, person, expires - now)

    def person(self, secret: str) -> Person | None:
        """Return who a browser's session stands for now, ``None`` if it is over."""
        key, now, t = digest(secret), self._clock(), person_sessions.c
        with self._engine.connect() as db:
            row = db.execute(select(person_sessions).where(t.digest == key)).mappings().first()
            if row is None or row["expires_at"] <= now or row["seen_at"] + IDLE_SECONDS <= now:
                return None
            if row["root"] is not None:
                found = ROOT if row["root"] == self._root_digest() else None
            else:
                owner = person_of(db, row["person"])
                tokens = select(access_tokens).where(access_tokens.c.id == row["token"])
                token = next(map(token_record, db.execute(tokens).mappings()), None)
                gone = row["token"] is not None and token is None
                found = None if owner is None or gone else effective(owner, token, now)
        if found is None:
            return None
        if now - row["seen_at"] >= NOTED_SECONDS:
            self._note(key, now)
        return replace(found, until=row["expires_at"])

    def _note(self, key: str, now: float) -> None:
        with contextlib.suppress(SQLAlchemyError), self._engine.begin() as db:
            change = update(person_sessions).where(person_sessions.c.digest == key)
            db.execute(change.values(seen_at=now))

    def end(self, secret: str) -> None:
        """End a session, be it there or not."""
        with transaction(self._engine) as db:
            db.execute(delete(person_sessions).where(person_sessions.c.digest == digest(secret)))

    def end_all(self, person: str) -> None:
        """End every session of a person, as part of the open transaction if there is one."""
        with transaction(self._engine) as db:
            db.execute(delete(person_sessions).where(person_sessions.c.person == person))
