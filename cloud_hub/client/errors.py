"""What went wrong between a client and its hub, as one sentence: what was tried, and what to do.

Every answer of a hub carries the header :data:`HEADER`; by it a client knows a hub from a proxy, a
login page, or another service on that address.
"""

from __future__ import annotations

import http.client
import socket
import ssl
from typing import Any, Final

import requests

from cloud_hub.errors import Invalid

HEADER: Final = "Edge-Hub"
SCHEMES: Final = ("http://", "https://")
ADVICE: Final = "is the hub running, and the address right?"


def checked_url(url: str) -> str:
    """The URL without a slash at its end; raises Invalid."""
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
    """The token, if it can stand in a header; raises Invalid."""
    if not (token.isascii() and token.isprintable() and token):
        raise Invalid("token: expected the text in the file admin.token of the hub's data folder")
    return token


def unreached(hub: str, error: OSError, seconds: float, advice: str = ADVICE) -> str:
    """Why a request got no answer.

    Args:
        hub: its URL.
        error: what requests raised.
        seconds: how long an answer was waited for.
        advice: what to do if nobody listens there.
    """
    cause = _cause(error)
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
    if isinstance(cause, http.client.BadStatusLine) and not isinstance(cause, ConnectionError):
        return f"{hub}: what listens there speaks no HTTP; is the address right?"
    if isinstance(cause, OSError) and cause.strerror:
        return f"{hub}: no answer ({cause.strerror}); {advice}"
    return f"{hub}: the connection broke off before the answer was whole; try again"


def refused(hub: str, response: requests.Response) -> str:
    """What an answer says that is no success: the hub's own reason, with the gate's table."""
    said = _json(response)
    if not isinstance(said, dict) or not isinstance(said.get("error"), str):
        return foreign(hub, response)
    lines = [said["error"]]
    for row in said.get("gate", []):
        verdict = "ok" if row["ok"] else "NO"
        lines.append(f"  {row['check']}: {row['candidate']} against {row['incumbent']} {verdict}")
    return "\n".join(lines)


def is_of_a_hub(response: requests.Response) -> bool:
    """Whether a hub gave this answer."""
    return HEADER in response.headers


def foreign(hub: str, response: requests.Response) -> str:
    """That somebody else answered."""
    kind = response.headers.get("Content-Type", "").partition(";")[0] or "no type"
    moved = response.headers.get("Location")
    came = f"a redirect to {moved}" if moved else f"status {response.status_code} with {kind}"
    return f"{hub}: expected a hub, got {came}; is the address right, or does a proxy answer?"


def _json(response: requests.Response) -> Any:
    try:
        return response.json()
    except ValueError:
        return None


def _cause(error: BaseException) -> BaseException:
    """The first of the errors that led to this one: the system's own."""
    while (before := error.__cause__ or error.__context__) is not None:
        error = before
    return error
