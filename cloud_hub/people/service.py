"""People and service accounts: who there is, and what each may do."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Final

from sqlalchemy import Connection, Engine, insert, select, update

from cloud_hub.api.roles import Person, Role
from cloud_hub.api.token_files import ADMIN_FILE, stored_token
from cloud_hub.database.audit import Audit
from cloud_hub.database.engine import afterwards, transaction
from cloud_hub.errors import Conflict, Forbidden, Invalid, NotFound
from cloud_hub.fleet.secret_digest import digest
from cloud_hub.people.records import (
    KINDS,
    PersonRecord,
    check_person_name,
    checked_models,
    effective,
)
from cloud_hub.people.sessions import Sessions
from cloud_hub.people.tables import people
from cloud_hub.people.tokens import AccessTokens, person_of
from cloud_hub.settings import Settings

NO_GROUP: Final = "no group at the provider gives a right any more"
"""Reason of being disabled that ends when a group does."""


class People:
    """The people of one hub, with their tokens and sessions.

    Args:
        settings: of the hub.
        engine: of its database.
        audit: where changes are noted.
        clock: Unix seconds.
    """

    def __init__(
        self,
        settings: Settings,
        engine: Engine,
        audit: Audit,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._engine, self._audit, self._clock = engine, audit, clock
        file = settings.data / ADMIN_FILE

        def root_digest() -> str | None:
            token = stored_token(file)
            return digest(token) if token else None

        self.tokens = AccessTokens(engine, audit, clock)
        self.sessions = Sessions(engine, root_digest, clock)

    def of_token(self, token: str) -> Person | None:
        """Return who asks with an access token, ``None`` if it lets nobody in."""
        return self.tokens.person(token)

    def add(
        self, name: str, role: Role, *, actor: str, kind: str = "person",
        models: tuple[str, ...] | None = None, subject: str | None = None,
    ) -> PersonRecord:  # fmt: skip
        """Add a person or a service account.

        Args:
            name: new, for lists and the audit.
            role: what they may do.
            actor: who adds them.
            kind: ``person`` or ``service``.
            models: on which; ``None`` for all.
            subject: issuer and subject of who signs in by OpenID Connect.

        Raises:
            Invalid: the name or kind cannot be one.
            Conflict: there is somebody of that name.
        """
        check_person_name(name)
        if kind not in KINDS:
            raise Invalid(f"kind: expected one of {', '.join(KINDS)}, got {kind:.40}")
        record = PersonRecord(
            name, kind, role.word, checked_models(models), subject, self._clock(), actor, None, None
        )
        with transaction(self._engine) as db:
            if person_of(db, name) is not None:
                raise Conflict(f"{name}: is there already; edge-hub people change {name}")
            db.execute(insert(people).values(**asdict(record)))
            detail = {"person": name, "kind": kind, "role": role.word, "models": record.models}
            self._audit.record(actor, "add-person", None, detail)
        return record

    def list(self) -> list[PersonRecord]:
        """Return everybody, by name."""
        with self._engine.connect() as db:
            rows = db.execute(select(people).order_by(people.c.name)).mappings()
            return [PersonRecord(**row) for row in rows]

    def change(
        self, name: str, role: Role, models: tuple[str, ...] | None, *, actor: str
    ) -> PersonRecord:
        """Give a person another role or other models; what they ask with obeys at once.

        Args:
            name: of the person.
            role: what they may do from now on.
            models: on which; ``None`` for all.
            actor: who decides it.

        Raises:
            NotFound: there is no such person.
        """
        values = {"role": role.word, "models": checked_models(models)}
        return self._update(name, values, actor, "change-person", values)

    def disable(self, name: str, *, reason: str, actor: str) -> PersonRecord:
        """Let a person in no more: their tokens and sessions are void until they are enabled.

        Args:
            name: of the person.
            reason: why, for the audit.
            actor: who decides it.

        Raises:
            NotFound: there is no such person.
        """
        values = {"disabled_at": self._clock(), "reason": reason}
        with transaction(self._engine):
            record = self._update(name, values, actor, "disable-person", {"reason": reason})
            self.sessions.end_all(name)
        return record

    def enable(self, name: str, *, actor: str) -> PersonRecord:
        """Let a person in again, with the tokens that were not revoked; raises NotFound."""
        values = {"disabled_at": None, "reason": None}
        return self._update(name, values, actor, "enable-person", {})

    def signed_in(
        self, subject: str, name: str, rights: tuple[Role, tuple[str, ...] | None] | None
    ) -> Person:
        """Return the person whom a provider has just vouched for, with the rights that it gives.

        Args:
            subject: issuer and subject, which never mean anybody else.
            name: by which a new one is known from now on.
            rights: role and models; ``None`` where the hub alone decides them.

        Raises:
            Forbidden: the person is disabled, unknown where the hub decides, or takes a name that
                is another's.
            Invalid: the name cannot be one.
        """
        with transaction(self._engine) as db:
            row = db.execute(select(people).where(people.c.subject == subject)).mappings().first()
            known = None if row is None else PersonRecord(**row)
            if known is None:
                known = self._new_of_provider(db, subject, name, rights)
            elif rights is not None and known.reason == NO_GROUP:
                self.enable(known.name, actor=known.name)
                known = self.change(known.name, *rights, actor=known.name)
            elif rights is not None and _rights(known) != (rights[0].word, rights[1]):
                known = self.change(known.name, *rights, actor=known.name)
        person = effective(known, None, self._clock())
        if person is None:
            raise Forbidden(f"{known.name}: is disabled; ask an administrator")
        return person

    def _new_of_provider(
        self, db: Connection, subject: str, name: str,
        rights: tuple[Role, tuple[str, ...] | None] | None,
    ) -> PersonRecord:  # fmt: skip
        if rights is None:
            raise Forbidden(
                f"sign-in: you are nobody here yet; an administrator adds you with edge-hub people "
                f"add {name:.100} --role ROLE --subject '{subject}'"
            )
        if person_of(db, name) is not None:
            # Else whoever chooses that name at the provider would have another's rights.
            raise Forbidden(f"sign-in: {name:.100} is somebody else here; ask an administrator")
        role, models = rights
        return self.add(name, role, actor=name, models=models, subject=subject)

    def withdraw(self, subject: str) -> None:
        """Let the sessions end of somebody whose groups give no right any more."""
        with transaction(self._engine) as db:
            name = db.execute(select(people.c.name).where(people.c.subject == subject)).scalar()
            if name is not None:
                self.disable(name, reason=NO_GROUP, actor=name)

    def _update(
        self, name: str, values: dict[str, Any], actor: str, action: str, noted: dict[str, Any]
    ) -> PersonRecord:
        with transaction(self._engine) as db:
            db.execute(update(people).where(people.c.name == name).values(**values))
            record = person_of(db, name)
            if record is None:
                raise NotFound(f"{name:.100}: no such person; see edge-hub people list")
            self._audit.record(actor, action, None, {"person": name} | noted)
            afterwards(self._engine, self.tokens.seen.clear)
        return record


def _rights(record: PersonRecord) -> tuple[str, tuple[str, ...] | None]:
    return record.role, None if record.models is None else tuple(record.models)
