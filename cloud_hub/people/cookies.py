"""Signing in and out with a browser: what its cookie says, and for how long it keeps it."""

from __future__ import annotations

from urllib.parse import urlsplit

from fastapi import Request, Response

from cloud_hub.api.auth import ROOT, address_of, hub_of, is_admin
from cloud_hub.api.posted_form import (
    COOKIE,
    SECURE_COOKIE,
    check_same_origin,
    is_secure,
    session_secret,
)
from cloud_hub.api.roles import Person, Role
from cloud_hub.errors import Forbidden, Unauthenticated


def sign_in(request: Request, response: Response, token: str) -> Person:
    """Begin a session of whoever a token belongs to, and give the browser its cookie.

    Args:
        request: that carries the token, in a form of this hub's page.
        response: gets the cookie.
        token: an access token, or the administrator's.

    Returns:
        Who signed in.

    Raises:
        TooManyRequests: too many wrong ones came from this address.
        Unauthenticated: the token lets nobody in.
        Forbidden: another site's page sent it, or it is a service account's.
    """
    check_same_origin(request)
    hub, token, address = hub_of(request), token.strip(), address_of(request)
    hub.limits.admit_guess(address)
    person = ROOT if is_admin(hub, token) else hub.people.of_token(token)
    if person is None:
        wrong = Unauthenticated("token: unknown, expired or revoked")
        # Counted here, and not where refusals are answered: a page shows its form once more.
        answer = hub.limits.after(wrong, address)
        raise Unauthenticated(str(wrong), guess=False) if answer is wrong else answer
    if person != ROOT and not person.is_human:
        raise Forbidden(f"{person.name}: is a service account, and pages are for people")
    begin_session(request, response, person)
    return person


def begin_session(request: Request, response: Response, person: Person) -> None:
    """Begin a session and give the browser its cookie; one that it had before ends.

    Args:
        request: of the browser.
        response: gets the cookie.
        person: who has shown who they are.

    Raises:
        Forbidden: a caller, who has nothing to look at.
    """
    if not person.may(Role.VIEWER):
        raise Forbidden(f"{person.name}: is a caller, who asks models and sees no page")
    sessions, before = hub_of(request).people.sessions, session_secret(request)
    # Always another secret: one that somebody planted in the browser is worth nothing afterwards.
    begun = sessions.begin(person)
    if before is not None:
        sessions.end(before)
    secure = is_secure(request)
    response.set_cookie(
        SECURE_COOKIE if secure else COOKIE, begun.secret, max_age=int(begun.seconds), path="/",
        secure=secure, httponly=True, samesite="lax",
    )  # fmt: skip
    hub_of(request).audit.record(person.name, "sign-in", None, {"from": address_of(request)})


def sign_out(request: Request, response: Response) -> None:
    """End the session of a browser on the hub, and have it forget the cookie.

    Args:
        request: of the browser.
        response: takes the cookie away.
    """
    secret = session_secret(request)
    if secret is not None:
        hub_of(request).people.sessions.end(secret)
    secure = is_secure(request)
    response.delete_cookie(
        SECURE_COOKIE if secure else COOKIE, path="/", secure=secure, httponly=True, samesite="lax"
    )


def safe_next(text: str) -> str:
    """Return a path of this hub to go on to after signing in; ``/`` for what leads elsewhere."""
    # Browsers take a backslash for a slash, and drop tabs and line breaks: //host in disguise.
    plain = text.startswith("/") and text.isprintable() and "\\" not in text
    if not plain or text.startswith("//"):
        return "/"
    parts = urlsplit(text)
    return "/" if parts.scheme or parts.netloc or parts.path.startswith("/sign-") else text
