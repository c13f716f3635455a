"""People, their access tokens, and who asks, over HTTP."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import Query, Request

from cloud_hub.api.auth import Admin, ViewerOfSome, hub_of
from cloud_hub.api.roles import Person, Role
from cloud_hub.api.router import HubRouter
from cloud_hub.people.records import TokenWish
from cloud_hub.people.tokens import is_administrator

router = HubRouter(prefix="/v1")

Models = Annotated[list[str], Query(max_length=1_000)]
"""Names of models, several times; none for all."""

Reason = Annotated[str, Query(min_length=1, max_length=500)]


@router.get("/session")
def session(request: Request, person: ViewerOfSome) -> Any:
    """Return who asks, with what they may do, and until when what they ask with is good."""
    return _plain(_asking(request))


@router.get("/people")
def people(request: Request, person: Admin) -> list[Any]:
    """Return everybody, by name, disabled ones included."""
    return [asdict(record) for record in hub_of(request).people.list()]


@router.post("/people")
def add(
    request: Request,
    person: Admin,
    name: str,
    role: str,
    kind: str = "person",
    model: Models = [],  # noqa: B006 (FastAPI copies it)
    subject: str | None = None,
) -> Any:
    """Add a person or a service account.

    Args:
        request: leads to the hub.
        person: who asks.
        name: of the new one.
        role: what they may do.
        kind: ``person``, or ``service`` for a program.
        model: on which, several times; none for all.
        subject: issuer and subject of who signs in by OpenID Connect.
    """
    record = hub_of(request).people.add(
        name, Role.of(role), actor=person, kind=kind, models=tuple(model) or None, subject=subject
    )
    return asdict(record)


@router.post("/people/{name}/change")
def change(
    request: Request,
    person: Admin,
    name: str,
    role: str,
    model: Models = [],  # noqa: B006 (FastAPI copies it)
) -> Any:
    """Give a person another role, and rights on other models; none for all."""
    changed = hub_of(request).people.change(name, Role.of(role), tuple(model) or None, actor=person)
    return asdict(changed)


@router.post("/people/{name}/disable")
def disable(request: Request, person: Admin, name: str, reason: Reason) -> Any:
    """Let a person in no more: tokens and sessions are void."""
    return asdict(hub_of(request).people.disable(name, reason=reason, actor=person))


@router.post("/people/{name}/enable")
def enable(request: Request, person: Admin, name: str) -> Any:
    """Let a person in again."""
    return asdict(hub_of(request).people.enable(name, actor=person))


@router.get("/access-tokens")
def tokens(request: Request, person: ViewerOfSome, usable: bool = True) -> list[Any]:
    """Return one's own access tokens, without the secrets; administrators see everybody's."""
    asking = _asking(request)
    whose = None if is_administrator(asking) else asking.name
    return [asdict(r) for r in hub_of(request).people.tokens.list(whose, usable=usable)]


@router.post("/access-tokens")
def new_token(
    request: Request,
    person: ViewerOfSome,
    name: str,
    of: str = "",
    role: str | None = None,
    model: Models = [],  # noqa: B006 (FastAPI copies it)
    seconds: float = 90 * 86_400.0,
) -> Any:
    """Make an access token for oneself, administrators also for others.

    Args:
        request: leads to the hub.
        person: who asks.
        name: what it is for.
        of: whose it is; oneself if left out.
        role: the most that it may do; all that its person may if left out.
        model: on which, several times; none for all that its person has.
        seconds: from now until it expires.
    """
    wanted = None if role is None else Role.of(role)
    wish = TokenWish(name, of, wanted, tuple(model) or None, seconds)
    record, token = hub_of(request).people.tokens.make(wish, by=_asking(request))
    return asdict(record) | {"token": token}


@router.post("/access-tokens/{id_}/revoke")
def revoke_token(request: Request, person: ViewerOfSome, id_: str) -> Any:
    """Let nobody in with a token any more: one's own, administrators also others'."""
    return asdict(hub_of(request).people.tokens.revoke(id_, by=_asking(request)))


def _asking(request: Request) -> Person:
    person: Person = request.state.person
    return person


def _plain(person: Person) -> dict[str, Any]:
    models = None if person.models is None else sorted(person.models)
    return asdict(person) | {"role": person.role.word, "models": models}
