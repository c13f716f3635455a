"""Authentication: FastAPI dependencies for routes of people and of devices.

401 is for who shows nothing, or something wrong; 403 for who is known and may not have this. Each
route names the least role that it asks for, or that it is for devices or for everybody: a test
walks all of them.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Annotated, Final

from fastapi import Depends, Request
from sqlalchemy.exc import SQLAlchemyError

from cloud_hub.api.declared import asks_for
from cloud_hub.api.posted_form import check_csrf, csrf_token_of, posted_token, session_secret
from cloud_hub.api.roles import Person, Role
from cloud_hub.api.token_files import ADMIN_FILE, PIPELINE_FILE, is_token
from cloud_hub.database.records import EnrolledDevice
from cloud_hub.errors import Forbidden, HubFault, NotFound, Unauthenticated

if TYPE_CHECKING:
    from cloud_hub.hub import Hub

ADMIN: Final = "admin"
PIPELINE: Final = "pipeline"
ROOT: Final = Person(ADMIN, Role.ADMINISTRATOR)
"""Whoever holds the file ``admin.token``: for the beginning, and for when nobody else can."""

ModelsOf = Callable[[Request], Collection[str]]
"""Models that a request is about, where its path does not name one."""


def bearer(request: Request) -> str:
    """Return the bearer token of a request; raises Unauthenticated."""
    token = optional_bearer(request)
    if token is None:
        raise Unauthenticated("expected a header Authorization: Bearer TOKEN")
    return token


def optional_bearer(request: Request) -> str | None:
    """Return the bearer token of a request, ``None`` if it has none."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token if scheme.lower() == "bearer" and token else None


def address_of(request: Request) -> str:
    """Return whom a request comes from, as far as rates go: an address, of IPv6 its network.

    A subscriber has a whole /64 of IPv6 addresses to change between.
    """
    host = request.client.host if request.client is not None else "unknown"
    try:
        address = ipaddress.ip_address(host)
    except ValueError:  # a socket file, or a proxy that sends something else
        return host[:64]
    if address.version == 4:
        return host
    mapped = address.ipv4_mapped
    return str(mapped or ipaddress.ip_network((address, 64), strict=False))


def hub_of(request: Request) -> Hub:
    """Return the hub that serves a request."""
    hub: Hub = request.app.state.hub
    return hub


def is_admin(hub: Hub, token: str | None) -> bool:
    """Return whether this is the administrator's token."""
    return token is not None and is_token(hub.settings.data / ADMIN_FILE, token)


def current_person(request: Request) -> Person | None:
    """Return the person who asks and may read, by a token or by the session of a browser.

    ``None`` for nobody, and for a caller, who may ask models and sees nothing.
    """
    person = _asking_person(request)
    return person if person is not None and person.may(Role.VIEWER) else None


def _asking_person(request: Request) -> Person | None:
    """Return the person who asks, whatever they may; ``None`` for nobody.

    A request that carries a token is judged by that alone.
    """
    hub, token = hub_of(request), optional_bearer(request)
    if token is not None:
        return ROOT if is_admin(hub, token) else hub.people.of_token(token)
    secret = session_secret(request)
    return None if secret is None else hub.people.sessions.person(secret)


def csrf_token(request: Request) -> str:
    """Return what each form of a page carries; empty where there is no session."""
    secret = session_secret(request)
    return "" if secret is None else csrf_token_of(secret)


def requires(
    role: Role, *, of: ModelsOf | None = None, filtered: bool = False, pipeline: bool = False
) -> Callable[..., str]:
    """Return the dependency of routes for people; it gives the name of who asks.

    Whoever has rights on some models only reaches what is about those: a route says by its path or
    query which models it is about, by ``of``, or that it filters its answer. Any other one is
    closed to them.

    Args:
        role: the least that may ask.
        of: models that a request is about, where neither path nor query names one.
        filtered: the route answers with what :func:`may_see` lets through.
        pipeline: the pipeline's token may ask, too.
    """

    @asks_for(role.word, pipeline=pipeline)
    def person_who_asks(
        request: Request, posted: Annotated[str | None, Depends(posted_token)] = None
    ) -> str:
        if pipeline and _is_pipeline(request):
            return PIPELINE
        person = _known_person(request)
        request.state.person = person
        secret = session_secret(request)
        if secret is not None and optional_bearer(request) is None:
            check_csrf(request, secret, posted)
        _check_role(person, role)
        if person.models is not None:
            _check_models(request, person, of, filtered)
        return person.name

    return person_who_asks


def recent_person(request: Request, role: Role) -> str | None:
    """Return the name of who asks, if their access token was looked up a second ago at most.

    For an event loop: it asks no database. Where it returns ``None``, :func:`requires` says why, or
    who it is.

    Args:
        request: about the model that its path names.
        role: the least that may ask.

    Raises:
        Forbidden: they have less than the role.
        NotFound: they have no right on the model.
    """
    token = optional_bearer(request)
    person = None if token is None else hub_of(request).people.tokens.recent(token)
    if person is None:
        return None
    request.state.person = person
    _check_role(person, role)
    if person.models is not None:
        _check_models(request, person, None, filtered=False)
    return person.name


def may_see(request: Request, model: str | None) -> bool:
    """Return whether who asks has a right on a model; for routes that filter their answer."""
    person: Person | None = getattr(request.state, "person", None)
    return person is None or person.sees(model)


def _is_pipeline(request: Request) -> bool:
    token = optional_bearer(request)
    data = hub_of(request).settings.data
    return token is not None and is_token(data / PIPELINE_FILE, token)


def _known_person(request: Request) -> Person:
    person = _asking_person(request)
    if person is not None:
        return person
    hub, token = hub_of(request), optional_bearer(request)
    if token is None:
        if session_secret(request) is not None:
            # No guess: every honest session ends.
            raise Unauthenticated("session: is over; sign in again", guess=False)
        bearer(request)
    elif _is_device(hub, token):
        raise Forbidden("this is for administrators, and not for devices")
    raise Unauthenticated(
        "token: unknown, expired or revoked; edge-hub access-tokens new makes one, and the "
        "admin token is in the file admin.token of the hub's data"
    )


def _check_role(person: Person, role: Role) -> None:
    if person.role < role:
        raise Forbidden(f"needs the role {role.word}, and {person.name} is {person.role.word} here")


def _check_models(request: Request, person: Person, of: ModelsOf | None, filtered: bool) -> None:
    """Refuse what is about other models than a person's, as if there were none of that name."""
    named: Collection[str] = ()
    if (model := request.path_params.get("model")) is not None:
        named = (model,)
    elif asked := request.query_params.getlist("model"):
        named = asked
    elif of is not None:
        named = of(request)
    elif filtered:
        return
    theirs = ", ".join(sorted(person.models or ())) or "none"
    if not named:
        raise Forbidden(f"needs a right on all models, and {person.name} has one on: {theirs}")
    for name in named:
        if not person.sees(name):
            raise NotFound(f"{name:.80}: no such model among those of {person.name}: {theirs}")


admin = requires(Role.ADMINISTRATOR)


@asks_for("device")
def device(request: Request) -> EnrolledDevice:
    """Return the device that asks.

    Raises:
        Unauthenticated: no credential, or one that is unknown or expired.
        Forbidden: the device is stopped, or it is the administrator who asks.
        TooManyRequests: the device asks too often.
    """
    hub, token = hub_of(request), bearer(request)
    try:
        record = hub.fleet.authenticate(token)
    except Unauthenticated:
        if is_admin(hub, token):
            raise Forbidden("this is for devices, and not for administrators") from None
        # An expired one is no guess, but whoever sends noise all day is limited as a stranger is.
        hub.limits.admit_stranger(address_of(request))
        raise
    hub.limits.admit_device(record.device)
    hub.fleet.sightings.note(record.device)
    return record


def known_device(hub: Hub, token: str) -> EnrolledDevice | None:
    """Return the device that asks, if its credential was looked up a moment ago.

    For an event loop: it asks no database. Where it returns ``None``, :func:`device` says why, or
    who it is.

    Raises:
        TooManyRequests: the device asks too often.
    """
    record = hub.fleet.recognise(token)
    if record is not None:
        hub.limits.admit_device(record.device)
        hub.fleet.sightings.note(record.device)
    return record


async def looked_up_device(hub: Hub, token: str) -> EnrolledDevice | None:
    """Return the device of a credential: from memory, else looked up together with others.

    Where it returns ``None``, :func:`device` says why, or who it is.

    Raises:
        TooManyRequests: the device asks too often.
    """
    known = known_device(hub, token)
    if known is not None:
        return known
    try:
        await hub.credentials.ask(token)
    except SQLAlchemyError:
        return None
    return known_device(hub, token)


@asks_for("device or viewer")
def member(request: Request) -> None:
    """Let devices and people with rights on all models pass; raises as :func:`device` does."""
    person = current_person(request)
    if person is None or person.models is not None:
        device(request)


@asks_for("anybody")
async def anybody() -> None:
    """Let everybody pass: the route is public, or judges by a secret of its own."""


@asks_for("anybody")
def stranger(request: Request) -> str:
    """Return the address of somebody who is yet to prove who they are; raises TooManyRequests."""
    address = address_of(request)
    hub_of(request).limits.admit_stranger(address)
    return address


def _is_device(hub: Hub, token: str) -> bool:
    try:
        hub.fleet.authenticate(token)
    except HubFault as error:
        return isinstance(error, Forbidden)
    return True


CallerOfSome = Annotated[str, Depends(requires(Role.CALLER, filtered=True))]
"""In a route's signature: whoever may ask a model; the argument is their name, as below."""

Viewer = Annotated[str, Depends(requires(Role.VIEWER))]
"""In a route's signature: people who may read; the argument is their name, as in those below."""

Operator = Annotated[str, Depends(requires(Role.OPERATOR))]
"""In a route's signature: people who may roll out, stop and acknowledge."""

Publishing = Annotated[str, Depends(requires(Role.PUBLISHER))]
"""In a route's signature: people who may publish, and change policies and data."""

Admin = Annotated[str, Depends(admin)]
"""In a route's signature: administrators only."""

ViewerOfSome = Annotated[str, Depends(requires(Role.VIEWER, filtered=True))]
"""In a route's signature: people who may read, and :func:`may_see` says what."""

PUBLIC: Final = (Depends(anybody),)
"""``dependencies`` of a route for everybody, or for whoever has the secret that it asks for."""

Device = Annotated[EnrolledDevice, Depends(device)]
"""In a route's signature: devices only; the argument is the one that asks."""

Member = Annotated[None, Depends(member)]
"""In a route's signature: devices and people."""

Stranger = Annotated[str, Depends(stranger)]
"""In a route's signature: anybody, at the rate of strangers; the argument is their address."""
