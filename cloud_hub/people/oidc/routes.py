"""Signing in by OpenID Connect, as a browser does it: off to the provider, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fastapi import Request
from fastapi.responses import RedirectResponse

from cloud_hub.api.auth import PUBLIC, address_of, hub_of
from cloud_hub.api.posted_form import is_secure
from cloud_hub.api.router import HubRouter
from cloud_hub.errors import NotFound
from cloud_hub.people.cookies import begin_session, safe_next

if TYPE_CHECKING:
    from cloud_hub.people.oidc.sign_in import OidcSignIn

router = HubRouter(prefix="/sign-in/oidc", include_in_schema=False)

COOKIE: Final = "edge_hub_sign_in"
PATH: Final = "/sign-in/oidc"


@router.get("", dependencies=PUBLIC)
def begin(request: Request, next: str = "/") -> RedirectResponse:  # noqa: A002 (in the URL)
    """Send a browser to the provider."""
    oidc = _oidc(request)
    hub_of(request).limits.admit_stranger(address_of(request))
    attempt = oidc.begin(_redirect_uri(request, oidc), safe_next(next))
    response = RedirectResponse(attempt.url, 303)
    response.set_cookie(
        COOKIE, attempt.secret, max_age=600, path=PATH, secure=is_secure(request), httponly=True,
        samesite="lax",
    )  # fmt: skip
    return response


@router.get("/callback", dependencies=PUBLIC)
def callback(request: Request) -> RedirectResponse:
    """Take a browser back from the provider, signed in."""
    oidc = _oidc(request)
    hub_of(request).limits.admit_stranger(address_of(request))
    person, onwards = oidc.finish(
        request.cookies.get(COOKIE), request.query_params, _redirect_uri(request, oidc)
    )
    response = RedirectResponse(safe_next(onwards), 303)
    response.delete_cookie(COOKIE, path=PATH, secure=is_secure(request), httponly=True)
    begin_session(request, response, person)
    return response


def _oidc(request: Request) -> OidcSignIn:
    oidc = hub_of(request).oidc
    if oidc is None:
        raise NotFound("sign-in: this hub has no provider; see edge-hub serve --oidc")
    return oidc


def _redirect_uri(request: Request, oidc: OidcSignIn) -> str:
    told = oidc.provider.configuration.redirect_uri
    return told or f"{str(request.base_url).rstrip('/')}{PATH}/callback"
