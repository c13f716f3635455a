"""Forms of pages: fields of a small ``application/x-www-form-urlencoded`` body, and what proves
that a page of this hub sent it.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final
from urllib.parse import parse_qsl

from fastapi import Request

from cloud_hub.api.request_body import raw_body
from cloud_hub.errors import Forbidden, Invalid

FORM_BYTES: Final = 64 << 10
FIELD: Final = "csrf"
HEADER: Final = "X-CSRF-Token"
COOKIE: Final = "edge_hub_session"
SECURE_COOKIE: Final = "__Host-edge_hub_session"
"""Its name under TLS: with the prefix browsers take it over TLS and from this very host alone."""

SAFE_METHODS: Final = frozenset(("GET", "HEAD", "OPTIONS"))
_URLENCODED: Final = "application/x-www-form-urlencoded"


async def posted_form(request: Request) -> dict[str, str]:
    """Return the fields of the form that a request carries, the last of each name.

    The body stays readable for whoever comes after.

    Raises:
        TooLarge: it is longer than :data:`FORM_BYTES`.
        Invalid: it is no text.
    """
    if not request.headers.get("Content-Type", "").startswith(_URLENCODED):
        return {}
    if (read := getattr(request, "_form", None)) is not None:  # by FastAPI, for a Form parameter
        return {name: value for name, value in read.items() if isinstance(value, str)}
    if not hasattr(request, "_body"):
        request._body = await raw_body(request, FORM_BYTES)  # as Request.body() does, but bounded
    try:
        pairs = parse_qsl(request._body.decode(), keep_blank_values=True, errors="strict")
    except ValueError as error:  # UnicodeDecodeError is one
        raise Invalid("form: expected fields of UTF-8 text") from error
    return dict(pairs)


def session_secret(request: Request) -> str | None:
    """Return the secret of the session that a browser sends; ``None`` if it sends none."""
    return request.cookies.get(SECURE_COOKIE if is_secure(request) else COOKIE) or None


def is_secure(request: Request) -> bool:
    """Return whether a request came over TLS, here or at a proxy that is believed."""
    return bool(request.scope.get("scheme") == "https")


def csrf_token_of(secret: str) -> str:
    """Return what forms of a session carry: nobody who lacks the session's secret can know it."""
    return hmac.new(secret.encode(), b"edge-hub form", hashlib.sha256).hexdigest()


async def posted_token(request: Request) -> str | None:
    """Return the CSRF token of a request, from its header or its form; ``None`` if it has none.

    The body is read only where a session's cookie asks for a change.
    """
    if request.method in SAFE_METHODS or "Authorization" in request.headers:
        return None
    if session_secret(request) is None:
        return None
    return request.headers.get(HEADER) or (await posted_form(request)).get(FIELD)


def check_csrf(request: Request, secret: str, posted: str | None) -> None:
    """Refuse a change that no page of this hub asks for, though a browser's session stands for it.

    Args:
        request: by a session.
        secret: of the session.
        posted: CSRF token that came with it.

    Raises:
        Forbidden: it is wrong, or missing, or another site sent it.
    """
    if request.method in SAFE_METHODS:
        return
    check_same_origin(request)
    if not hmac.compare_digest((posted or "").encode(), csrf_token_of(secret).encode()):
        raise Forbidden(
            f"expected the CSRF token of the session in the field {FIELD} or the header {HEADER}; "
            "load the page again"
        )


def check_same_origin(request: Request) -> None:
    """Refuse what another site's page sends, where the browser says so; raises Forbidden."""
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
        raise Forbidden("expected a request of a page of this hub, and another site sent it")
