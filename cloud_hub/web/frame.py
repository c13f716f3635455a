"""The frame of every page: rendering, headers, errors as pages, and how a form is answered.

A folder with pages has ``PAGES = Pages("cloud_hub.its_name")``, templates below ``templates/`` that
extend ``frame.html``, and a router of :class:`PageRoute`. No page has a script or a style in its
text: the policy that every answer carries refuses both.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine
from typing import Any, Final
from urllib.parse import quote, unquote

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.routing import APIRoute

from cloud_hub.api.auth import address_of, hub_of
from cloud_hub.api.router import HubRouter
from cloud_hub.errors import HubFault, Invalid, Unauthenticated
from cloud_hub.web.access import PageUser, page_user_of
from cloud_hub.web.assets import asset_url
from cloud_hub.web.pages import page_environment

SAID: Final = "edge_said"
"""Cookie with one sentence for the next page: what a form has done."""

HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}

NAVIGATION: Final = (
    ("overview", "/", "Overview"),
    ("fleet", "/fleet", "Fleet"),
    ("models", "/models", "Models"),
    ("audit", "/audit", "Audit"),
    ("people", "/people", "People & tokens"),
    ("docs", "/docs", "API"),
)
"""Key, address and word of each place in the navigation."""


class Pages:
    """The pages of one folder.

    Args:
        package: whose folder ``templates`` has them, such as ``cloud_hub.pages``.
    """

    def __init__(self, package: str) -> None:
        self._package = package

    def render(
        self,
        request: Request,
        user: PageUser | None,
        template: str,
        *,
        title: str,
        nav: str = "",
        status: int = 200,
        **values: Any,
    ) -> HTMLResponse:
        """Return a page.

        Args:
            request: that it answers.
            user: who is signed in, if anybody is.
            template: its file.
            title: of the page.
            nav: key of the place in :data:`NAVIGATION` that it belongs to.
            status: of HTTP.
            **values: more that the template asks for.
        """
        said = unquote(request.cookies.get(SAID, ""))[:500]
        text = _environment(self._package).get_template(template).render(
            user=user, title=title, nav=nav, navigation=NAVIGATION, said=said,
            url=_address(request), **values,
        )  # fmt: skip
        response = HTMLResponse(text, status, headers=HEADERS)
        if said:
            response.delete_cookie(SAID, path="/")
        return response


FRAME: Final = Pages("cloud_hub.web")


class PageRoute(APIRoute):
    """A route whose refusals are pages; whoever is not signed in is sent to do so."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler."""
        handler = super().get_route_handler()

        async def as_page(request: Request) -> Response:
            try:
                return await handler(request)
            except HubFault as error:
                return refused(request, error)
            except RequestValidationError as error:
                first = error.errors()[0]
                where = ".".join(str(part) for part in first["loc"])
                return refused(request, Invalid(f"{where}: {first['msg']}"))

        return as_page


def page_router() -> HubRouter:
    """Return a router for pages."""
    return HubRouter(include_in_schema=False, route_class=PageRoute)


def refused(request: Request, error: HubFault) -> Response:
    """Return the page that says why there is no other.

    Args:
        request: that is refused.
        error: why.
    """
    error = hub_of(request).limits.after(error, address_of(request))
    polled = "HX-Request" in request.headers
    if isinstance(error, Unauthenticated) and request.url.path != "/sign-in":
        back = f"/sign-in?next={quote(_address(request), safe='/')}"
        if polled:
            return Response(status_code=401, headers={**HEADERS, "HX-Redirect": back})
        return RedirectResponse(back, 303, headers=HEADERS)
    user = page_user_of(request)
    page = FRAME.render(
        request, user, "refused.html", title=f"{error.status}", reason=str(error),
        status=error.status,
    )  # fmt: skip
    page.headers.update(error.headers)
    return page


def see_other(url: str) -> Response:
    """Return the answer to a form that leads to another page of this hub."""
    return RedirectResponse(url, 303, headers=HEADERS)


def done(url: str, sentence: str) -> Response:
    """Return the answer to a form: another page, which says what was done.

    Args:
        url: of a page of this hub.
        sentence: that it shows once.
    """
    response = see_other(url)
    response.set_cookie(
        SAID, quote(sentence[:300]), max_age=30, httponly=True, samesite="lax", path="/"
    )
    return response


def _address(request: Request) -> str:
    query = request.url.query
    # As it was sent: a decoded path could be another one when it is asked again.
    path = request.scope.get("raw_path", request.scope["path"].encode()).decode("ascii", "replace")
    return f"{path.partition('?')[0]}?{query}" if query else path.partition("?")[0]


@functools.cache
def _environment(package: str) -> Any:
    environment = page_environment(package)
    environment.globals["asset"] = asset_url
    return environment
