"""Enrolment tokens: for one device or several, for a time, bound to attributes or to approval.

A token that several devices share vouches for all of them together: whoever holds it could be every
one of them, so in a count of voters they are one (:class:`Grant`).
"""

from __future__ import annotations

import dataclasses
import datetime
import logging
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NoReturn

from sqlalchemy import Connection, Engine, RowMapping, delete, insert, select, update

from cloud_hub.database.audit import Audit
from cloud_hub.database.engine import transaction
from cloud_hub.errors import Conflict, Forbidden, Invalid, NotFound, Unauthenticated
from cloud_hub.fleet.grants import Grant
from cloud_hub.fleet.secret_digest import digest
from cloud_hub.fleet.tables import enrolment_tokens
from edge_sdk.contract.errors import ContractError
from edge_sdk.contract.fleet import check_attributes, check_models

log = logging.getLogger(__name__)

MOST_USES: Final = 10_000_000
MOST_TOKENS: Final = 10_000
KEEP_SECONDS: Final = 90 * 86_400
"""Seconds that an expired token stays in lists; the audit has it for good."""

LONGEST_SECONDS: Final = 10 * 366 * 86_400


@dataclass(frozen=True)
class TokenTerms:
    """The terms of an enrolment token.

    Attributes:
        models: that the devices may serve.
        uses: number of devices that may join with it.
        seconds: from now until it expires.
        attributes: that its devices cannot choose otherwise.
        approve: somebody has to approve each of them.

    Raises:
        Invalid: a name is none, or a number is out of range.
    """

    models: tuple[str, ...]
    uses: int = 1
    seconds: float = 86_400.0
    attributes: Mapping[str, str] = dataclasses.field(default_factory=dict)
    approve: bool = False

    def __post_init__(self) -> None:
        try:
            check_models(self.models)
            check_attributes(self.attributes)
        except ContractError as error:
            raise Invalid(str(error)) from error
        if not self.models:
            raise Invalid("models: expected at least one")
        if not 1 <= self.uses <= MOST_USES:
            raise Invalid(f"uses: expected 1 to {MOST_USES}, got {self.uses}")
        if not 0 < self.seconds <= LONGEST_SECONDS:
            raise Invalid(
                f"seconds: expected above 0, at most {LONGEST_SECONDS}, got {self.seconds:g}"
            )


@dataclass(frozen=True)
class TokenRecord:
    """A token as lists show it, without the secret.

    Attributes:
        id: its name in lists and in the audit.
        models: that its devices may serve.
        uses: devices that may still join.
        devices: that may join in all.
        expires_at: Unix seconds.
        attributes: that its devices cannot choose otherwise.
        approve: somebody has to approve each of them.
        made_at: Unix seconds.
        made_by: who made it.
        revoked_at: Unix seconds; ``None`` if it was not.
    """

    id: str
    models: tuple[str, ...]
    uses: int
    devices: int
    expires_at: float
    attributes: dict[str, str]
    approve: bool
    made_at: float
    made_by: str
    revoked_at: float | None

    def is_usable(self, now: float) -> bool:
        """Return whether a device could join with it; ``now`` in Unix seconds."""
        return self.uses > 0 and self.expires_at > now and self.revoked_at is None


class EnrolmentTokens:
    """The tokens of one hub.

    Args:
        engine: of the hub's database.
        audit: where they are noted.
    """

    def __init__(self, engine: Engine, audit: Audit) -> None:
        self._engine = engine
        self._audit = audit

    def make(self, terms: TokenTerms, *, actor: str, count: int = 1) -> list[tuple[str, str]]:
        """Make tokens under the same terms.

        Args:
            terms: of each.
            actor: who wants them.
            count: number of tokens.

        Returns:
            Id and token of each; the token is not stored.

        Raises:
            Invalid: there are too many.
        """
        if not 1 <= count <= MOST_TOKENS:
            raise Invalid(f"count: expected 1 to {MOST_TOKENS}, got {count}")
        # A first letter of our own: argparse takes ``--token -x…`` for an option without a value.
        made = [(_new_id(), f"enrol_{secrets.token_urlsafe(24)}") for _ in range(count)]
        now = time.time()
        rows = [
            {
                "token": digest(token), "id": id_, "models": list(terms.models), "uses": terms.uses,
                "devices": terms.uses, "expires_at": now + terms.seconds,
                "attributes": dict(terms.attributes), "approve": terms.approve,
                "made_at": now, "made_by": actor,
            }
            for id_, token in made
        ]  # fmt: skip
        noted = {
            "tokens": [id_ for id_, _ in made[:20]], "count": count, "uses": terms.uses,
            "seconds": terms.seconds, "attributes": dict(terms.attributes),
            "approve": terms.approve,
        }  # fmt: skip
        with transaction(self._engine) as db:
            old = enrolment_tokens.c.expires_at < now - KEEP_SECONDS
            db.execute(delete(enrolment_tokens).where(old))
            db.execute(insert(enrolment_tokens), rows)
            for model in terms.models:
                self._audit.record(actor, "enrol-token", model, noted)
        return made

    def list(self, model: str | None = None, *, usable: bool = True) -> list[TokenRecord]:
        """Return tokens, oldest first.

        Args:
            model: that their devices may serve; default all.
            usable: only those with which a device could join now.
        """
        t = enrolment_tokens.c
        query = select(enrolment_tokens).order_by(t.made_at, t.id)
        with self._engine.connect() as db:
            records = [_record(row) for row in db.execute(query).mappings()]
        now = time.time()
        return [
            record
            for record in records
            if (record.is_usable(now) or not usable) and model in (None, *record.models)
        ]

    def revoke(self, id_: str, *, actor: str) -> TokenRecord:
        """Let no device join with a token any more; those that have stay.

        Raises:
            NotFound: there is no such token.
            Conflict: it was revoked before.
        """
        t = enrolment_tokens.c
        with transaction(self._engine) as db:
            row = db.execute(select(enrolment_tokens).where(t.id == id_)).mappings().first()
            if row is None:
                raise NotFound(f"token {id_:.40}: no such token; see edge-hub tokens list")
            if row["revoked_at"] is not None:
                raise Conflict(f"token {id_}: was revoked before")
            now = time.time()
            db.execute(update(enrolment_tokens).where(t.id == id_).values(revoked_at=now))
            for model in row["models"]:
                self._audit.record(actor, "revoke-token", model, {"token": id_})
        return dataclasses.replace(_record(row), revoked_at=now)

    def use(
        self,
        db: Connection,
        token: str,
        models: Sequence[str],
        *,
        joined_by: str | None = None,
    ) -> Grant:
        """Use a token up by one device, as part of a transaction.

        Args:
            db: the transaction.
            token: that the device sent.
            models: whose fleets it wants to join; none for all that the token is for.
            joined_by: what the device joined with before. With the same token it may join another
                of its models, and counts once.

        Raises:
            Unauthenticated: the token is unknown.
            Forbidden: it is used up, expired, revoked, or for another model; says which.
        """
        t, now = enrolment_tokens.c, time.time()
        query = select(enrolment_tokens).where(t.token == digest(token))
        row = db.execute(query).mappings().first()
        if row is None:
            reason = "unknown to this hub; make one with edge-hub enrol-token"
            _refuse(models, Unauthenticated, reason)
        record, by = _record(row), f"token:{row['id']}"
        other = next((name for name in models if name not in record.models), None)
        if other is not None:
            _refuse(models, Forbidden, f"is for {', '.join(record.models)}, not for {other}")
        # One statement checks and counts: two devices cannot share the last use.
        counted = 0 if by == joined_by else 1
        usable = (
            (t.token == digest(token)) & (t.uses >= counted)
            & (t.expires_at > now) & t.revoked_at.is_(None)
        )  # fmt: skip
        change = update(enrolment_tokens).where(usable).values(uses=t.uses - counted)
        if db.execute(change).rowcount != 1:
            _refuse(models, Forbidden, _refusal(record, now))
        shared = by if record.devices > 1 else None
        granted = tuple(models) or record.models
        return Grant(by, granted, shared, record.attributes, record.approve)


def _refuse(
    models: Sequence[str], error: type[Unauthenticated | Forbidden], reason: str
) -> NoReturn:
    log.warning("a device was not enrolled for %s: %s", ", ".join(models) or "any model", reason)
    raise error(f"enrolment token: {reason}")


def _refusal(record: TokenRecord, now: float) -> str:
    """Say why a token does not let a device join; only its owner can ask, so it is no secret."""
    other = "make another with edge-hub enrol-token"
    if record.revoked_at is not None:
        return f"was revoked; {other}"
    if record.expires_at <= now:
        expired = datetime.datetime.fromtimestamp(record.expires_at, datetime.UTC)
        return f"expired at {expired:%Y-%m-%d %H:%M} UTC; {other}"
    return f"used up, as many devices joined as it is for; {other}"


def _record(row: RowMapping) -> TokenRecord:
    columns = {name: row[name] for name in TokenRecord.__dataclass_fields__}
    return TokenRecord(**columns | {"models": tuple(row["models"])})


def _new_id() -> str:
    """Return a name for a token that says nothing of it."""
    return secrets.token_hex(5)
