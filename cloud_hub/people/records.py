"""People and tokens as lists show them, and what the two together may do. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args

from cloud_hub.api.roles import Person, Role, least
from cloud_hub.errors import Invalid
from edge_sdk.contract.errors import ContractError
from edge_sdk.contract.fleet import check_models

Kind = Literal["person", "service"]
KINDS: Final[tuple[str, ...]] = get_args(Kind)

RESERVED: Final = frozenset(("admin", "pipeline", "hub", "run", "device", "metrics"))
"""Names by which the audit knows others."""

LONGEST_SECONDS: Final = 366 * 86_400
"""Longest life of an access token: what nobody renews, nobody uses."""

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,99}")


@dataclass(frozen=True)
class PersonRecord:
    """A person or a service account.

    Attributes:
        name: in lists and in the audit.
        kind: ``service`` for programs, which have tokens and no page.
        role: what they may do, as a word.
        models: on which; ``None`` for all.
        subject: issuer and subject of who signs in by OpenID Connect.
        made_at: Unix seconds.
        made_by: who added them.
        disabled_at: Unix seconds; ``None`` if they may ask.
        reason: why they were disabled.
    """

    name: str
    kind: str
    role: str
    models: Sequence[str] | None
    subject: str | None
    made_at: float
    made_by: str
    disabled_at: float | None
    reason: str | None


@dataclass(frozen=True)
class AccessTokenRecord:
    """An access token without its secret.

    Attributes:
        id: its name in lists and in the audit.
        person: whose it is.
        name: what it is for, in their words.
        role: the most that it may do.
        models: on which at most; ``None`` for all that the person has.
        made_at: Unix seconds.
        made_by: who made it.
        expires_at: Unix seconds.
        used_at: when it was last asked with, to the minute; ``None`` for never.
        revoked_at: Unix seconds; ``None`` if it was not.
    """

    id: str
    person: str
    name: str
    role: str
    models: Sequence[str] | None
    made_at: float
    made_by: str
    expires_at: float
    used_at: float | None
    revoked_at: float | None


@dataclass(frozen=True)
class TokenWish:
    """An access token as somebody wants it.

    Attributes:
        name: what it is for.
        person: whose; empty for who asks.
        role: the most that it may do; ``None`` for all that the person may.
        models: on which; ``None`` for all that the person has.
        seconds: from now until it expires.

    Raises:
        Invalid: the name is empty or long, or the time is out of range.
    """

    name: str
    person: str = ""
    role: Role | None = None
    models: tuple[str, ...] | None = None
    seconds: float = 90 * 86_400.0

    def __post_init__(self) -> None:
        check_label("name", self.name)
        checked_models(self.models)
        if not 0 < self.seconds <= LONGEST_SECONDS:
            raise Invalid(
                f"seconds: expected above 0, at most {LONGEST_SECONDS}, got {self.seconds:g}"
            )


def effective(person: PersonRecord, token: AccessTokenRecord | None, now: float) -> Person | None:
    """Return what somebody may do who asks with a token, or as themselves without one.

    Args:
        person: whose right it is.
        token: that they ask with.
        now: Unix seconds.

    Returns:
        The least of both; ``None`` where one of them lets nobody in.
    """
    if person.disabled_at is not None:
        return None
    role, human = Role.of(person.role), person.kind == "person"
    models = least(person.models, None)
    if token is None:
        return Person(person.name, role, models, is_human=human)
    if token.revoked_at is not None or token.expires_at <= now:
        return None
    return Person(
        person.name,
        min(role, Role.of(token.role)),
        least(models, token.models),
        token.id,
        token.expires_at,
        human,
    )


def check_person_name(name: str) -> None:
    """Refuse a name that is no plain one, or that the audit has for others; raises Invalid."""
    if _NAME.fullmatch(name) is None:
        raise Invalid(
            "name: expected letters, digits and . _ @ + - (at most 100, the first a letter or "
            f"digit), got {name!r:.60}"
        )
    if name.lower() in RESERVED:
        raise Invalid(f"name: {name} means somebody else in the audit; take another")


def check_label(what: str, text: str) -> None:
    """Refuse a text that is no line for people to read; raises Invalid."""
    if not 0 < len(text.strip()) <= 100 or not text.isprintable():
        raise Invalid(f"{what}: expected 1 to 100 characters in one line, got {text!r:.60}")


def checked_models(models: Collection[str] | None) -> list[str] | None:
    """Return models as tables have them, ``None`` for all; raises Invalid."""
    if models is None:
        return None
    try:
        check_models(tuple(models))
    except ContractError as error:
        raise Invalid(str(error)) from error
    if not models:
        raise Invalid("models: expected at least one, or all")
    return sorted(set(models))
