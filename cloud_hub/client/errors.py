"""Failures between a client and its hub, as one sentence: what was tried, and what to do.

Every response of a hub carries :data:`HUB_HEADER`; by it a client tells a hub from a proxy, a login
page, or another service at that address.
"""

from __future__ import annotations

import http.client
import socket
import ssl
from typing import Any, Final
from urllib.parse import urlsplit

import requests

from cloud_hub.errors import Invalid
from edge_sdk.contract.version import HUB_HEADER

SCHEMES: Final = ("http://", "https://")
ADVICE: Final = "is the hub running, and the address right?"


def checked_url(url: str) -> str:
    """Return the URL without a slash at its end; it may have a path, as behind a reverse proxy.

    Raises:
        Invalid: no HTTP URL, or one with a query, a fragment or a password.
    """
    try:
        requests.Request("GET", url).prepare()
    except requests.RequestException:
        usable = False
    else:
        usable = url.lower().startswith(SCHEMES) and not set(url) & set("?#@\\")
    if not usable:
        raise Invalid(f"hub: expected a URL such as https://hub:8000, got {url[:80]!r}")
    return url.rstrip("/")


def checked_token(token: str) -> str:
    """Return the token; raises Invalid if it cannot stand in a header."""
    if not (token.isascii() and token.isprintable() and token):
        raise Invalid("token: expected the text in the file admin.token of the hub's data folder")
    return token


def unreached(hub: str, error: OSError, seconds: float, advice: str = ADVICE) -> str:
    """Explain why a request got no response.

    Args:
        hub: URL of the hub.
        error: what requests raised.
        seconds: timeout of the request.
        advice: what to do if nobody listens there.
    """
    cause = _root_cause(error)
    # From the most to the least particular: requests' ProxyError and SSLError are ConnectionErrors,
    # ConnectTimeout is both a timeout and a ConnectionError.
    if isinstance(error, requests.exceptions.ProxyError):
        return f"{hub}: the proxy on the way does not connect; see HTTPS_PROXY and NO_PROXY"
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return f"{hub}: no connection within {seconds:g} s; {advice}"
    if isinstance(error, requests.exceptions.Timeout):
        return f"{hub}: no answer within {seconds:g} s; it may be busy: try again"
    if isinstance(cause, ssl.SSLCertVerificationError):
        return (
            f"{hub}: its certificate is refused here ({cause.verify_message}); the file of a "
            "private CA goes into REQUESTS_CA_BUNDLE"
        )
    if isinstance(error, requests.exceptions.SSLError):
        return f"{hub}: no TLS connection; does it speak plain http:// there?"
    if isinstance(cause, socket.gaierror):
        return f"{hub}: no machine of that name is known here; is the address right?"
    if isinstance(cause, ConnectionRefusedError):
        return f"{hub}: nobody listens there; {advice}"
    # RemoteDisconnected is a BadStatusLine too, but then nothing at all came back.
    if isinstance(cause, http.client.BadStatusLine) and not isinstance(cause, ConnectionError):
        return f"{hub}: what listens there speaks no HTTP; is the address right?"
    if isinstance(cause, OSError) and cause.strerror:
        return f"{hub}: no answer ({cause.strerror}); {advice}"
    return f"{hub}: the connection broke off before the answer was whole; try again"


def refused(hub: str, response: requests.Response) -> str:
    """Explain a response that is no success: the hub's own reason, with the table of its gate."""
    body = _json(response)
    if not isinstance(body, dict) or not isinstance(body.get("error"), str):
        return foreign(hub, response)
    if _is_no_route(hub, body["error"], response):
        parts = urlsplit(hub)
        return (
            f"{hub}: a hub answers there, but has nothing below {parts.path}; "
            f"is its address {parts.scheme}://{parts.netloc}?"
        )
    lines = [body["error"]]
    for row in body.get("gate", []):
        verdict = "ok" if row["ok"] else "NO"
        lines.append(f"  {row['check']}: {row['candidate']} against {row['incumbent']} {verdict}")
    return "\n".join(lines)


def is_of_a_hub(response: requests.Response) -> bool:
    """Tell whether a hub gave this response."""
    return HUB_HEADER in response.headers


def foreign(hub: str, response: requests.Response) -> str:
    """Explain that somebody else responded."""
    kind = response.headers.get("Content-Type", "").partition(";")[0] or "no type"
    location = response.headers.get("Location")
    status = f"status {response.status_code} with {kind}"
    received = f"a redirect to {location}" if location else status
    return f"{hub}: expected a hub, got {received}; is the address right, or does a proxy answer?"


def _is_no_route(hub: str, error: str, response: requests.Response) -> bool:
    """Tell whether a hub has no such path because of the path in its URL.

    A hub behind a reverse proxy may well have one: the proxy strips it. If the hub's own message
    names it, the whole path came through, so no proxy did.
    """
    path = urlsplit(response.url).path
    unknown = response.status_code == 404 and error.endswith(f" {path}: Not Found")
    return unknown and bool(urlsplit(hub).path)


def _json(response: requests.Response) -> Any:
    try:
        return response.json()
    except ValueError:
        return None


def _root_cause(error: BaseException) -> BaseException:
    """Return the error of the operating system at the bottom of those that libraries wrapped."""
    while (below := error.__cause__ or error.__context__) is not None:
        error = below
    return error
