"""Who looks at a page: sign-in by token, a session in a cookie, and a token against forged forms.

A session is a signed text that names its end; the key is derived from the administrator's token, so
every worker takes it, and all sessions end with that token.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final

from fastapi import Depends, Request, Response

from cloud_hub.api.auth import ADMIN, address_of, hub_of, is_admin, optional_bearer
from cloud_hub.api.form_body import FormFields, form_of
from cloud_hub.api.token_files import ADMIN_FILE
from cloud_hub.errors import Forbidden, Unauthenticated

if TYPE_CHECKING:
    from cloud_hub.hub import Hub

COOKIE: Final = "edge_session"
SESSION_SECONDS: Final = 12 * 3_600
ROLES: Final = ("viewer", "operator", "publisher", "administrator")


@dataclass(frozen=True)
class PageUser:
    """Somebody who is signed in.

    Attributes:
        name: as the audit notes it.
        role: ``viewer``, ``operator``, ``publisher`` or ``administrator``.
        csrf: token that every form of theirs carries.
    """

    name: str
    role: str
    csrf: str

    def may(self, role: str, model: str | None = None) -> bool:
        """Return whether they may do what takes a role, for one model or for all."""
        return ROLES.index(self.role) >= ROLES.index(role)

    def require(self, role: str, model: str | None = None) -> None:
        """Raise Forbidden unless they may do what takes a role."""
        if not self.may(role, model):
            raise Forbidden(f"this takes the role {role}; {self.name} has the role {self.role}")


def page_user(request: Request) -> PageUser:
    """Return who is signed in; raises Unauthenticated."""
    hub, token = hub_of(request), optional_bearer(request)
    if token is not None and is_admin(hub, token):
        return PageUser(ADMIN, "administrator", "")
    session = request.cookies.get(COOKIE, "")
    if not _is_current(hub, session):
        raise Unauthenticated("sign in to see this page", guess=False)
    return PageUser(ADMIN, "administrator", _mac(hub, "csrf", session))


async def posted(request: Request) -> FormFields:
    """Return a form that a signed-in person sent from a page of this hub.

    Raises:
        Unauthenticated: nobody is signed in.
        Forbidden: the form is not from a page that this hub gave to this session.
    """
    user = page_user(request)
    form = await form_of(request)
    sent = form.get("csrf", "") or request.headers.get("X-CSRF-Token", "")
    if user.csrf and not hmac.compare_digest(sent.encode(), user.csrf.encode()):
        raise Forbidden("this form was not sent from a page of this session; load it again")
    return form


Viewer = Annotated[PageUser, Depends(page_user)]
"""In a route's signature: whoever is signed in."""

Posted = Annotated[FormFields, Depends(posted)]
"""In a route's signature: the fields of a form, whose token was checked."""


def start_session(request: Request, response: Response, token: str) -> None:
    """Sign somebody in.

    Args:
        request: asks for it.
        response: gets the cookie.
        token: that they typed.

    Raises:
        Unauthenticated: it is nobody's.
        TooManyRequests: too many wrong ones came from there.
    """
    hub = hub_of(request)
    hub.limits.admit_guess(address_of(request))
    if not is_admin(hub, token):
        raise Unauthenticated("this token is nobody's; it is in the file admin.token of the data")
    text = f"{int(time.time()) + SESSION_SECONDS}.{secrets.token_urlsafe(16)}"
    response.set_cookie(
        COOKIE, f"{text}.{_mac(hub, 'session', text)}", max_age=SESSION_SECONDS, httponly=True,
        samesite="lax", secure=request.url.scheme == "https", path="/",
    )  # fmt: skip


def end_session(request: Request, response: Response) -> None:
    """Sign somebody out."""
    response.delete_cookie(COOKIE, path="/")


def _is_current(hub: Hub, session: str) -> bool:
    text, _, mac = session.rpartition(".")
    end = text.partition(".")[0]
    if not hmac.compare_digest(mac.encode(), _mac(hub, "session", text).encode()):
        return False
    return time.time() < int(end)


def _mac(hub: Hub, purpose: str, text: str) -> str:
    try:
        token = (hub.settings.data / ADMIN_FILE).read_text().strip()
    except OSError:
        token = ""
    # Without a token nobody could know the key: it is another one at each call.
    key = hashlib.sha256(f"page session\n{token or secrets.token_hex(32)}".encode()).digest()
    return hmac.new(key, f"{purpose}\n{text}".encode(), "sha256").hexdigest()
