"""Downloads that the hub sends elsewhere: to the bucket where the files of a large fleet lie.

Invariants:

* Only the GET of a file whose digest is signed is sent elsewhere, and only once.
* The credential of the device stays with the hub, and so does every other header but those that say
  which bytes are wanted.
* What is asked for encrypted comes encrypted.
* The address is not shown: whoever has it can read the file for a while.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from edge_sdk.errors import HubError, HubUnreachable
from edge_sdk.hub.answers import OK
from edge_sdk.hub.deadlines import reading

if TYPE_CHECKING:
    import requests

REDIRECT: Final = 307
PATHS: Final = ("/v1/targets/", "/v1/forms/")
Ask = Callable[[str, str, dict[str, Any]], "requests.Response"]
"""Sends a GET of a URL, which an error names in other words, with options."""

HEADERS: Final = ("Range", "If-Range", "Accept-Encoding")


def may_be_elsewhere(method: str, path: str) -> bool:
    """Return whether the answer to a request may be the address of another place."""
    return method == "GET" and path.startswith(PATHS)


def address_elsewhere(hub: str, path: str, location: str) -> str:
    """Return the address that the hub gave for a download.

    Args:
        hub: URL of the hub.
        path: that was asked for.
        location: address in its answer.

    Raises:
        HubError: it is no address, or a download would lose its encryption.
    """
    parts = urlsplit(location)
    secure = hub.startswith("https://")
    if parts.scheme not in (("https",) if secure else ("http", "https")) or not parts.hostname:
        wanted = "https://" if secure else "http:// or https://"
        raise HubError(
            f"{hub}{path}: the hub sends this download to {parts.scheme:.20}://{parts.netloc:.80}; "
            f"expected an address with {wanted}"
        )
    return location


def without_credentials(headers: Mapping[str, str] | None) -> dict[str, str]:
    """Return the headers that another place may see."""
    return {name: value for name, value in (headers or {}).items() if name in HEADERS}


def no_credentials(request: Any) -> Any:
    """Keep the library from looking for a password of the other place in the user's files."""
    return request


def follow(
    hub: str, path: str, sent: requests.Response, options: dict[str, Any], ask: Ask
) -> requests.Response:
    """Ask where the hub has a file, for the same bytes of it.

    Args:
        hub: URL of the hub.
        path: that was asked for.
        sent: the hub's answer, which says where; its connection is used again.
        options: of the request to the hub.
        ask: sends a request, and returns an answer whose head is whole.

    Raises:
        HubError: the address is none, or the other place refuses.
        HubUnreachable: it does not answer, or cannot.
    """
    location = address_elsewhere(hub, path, sent.headers.get("Location", ""))
    with reading(sent, hub + path):
        sent.content  # noqa: B018  (read, and dropped)
    # Without the rest of the address, which gives access.
    where = f"{hub}{path} (at {urlsplit(location).netloc:.80})"
    asked = {
        **options, "headers": without_credentials(options["headers"]), "auth": no_credentials
    }  # fmt: skip
    response = ask(location, where, asked)
    status = int(response.status_code)
    if status in OK:
        return response
    response.close()
    if status >= 500:
        raise HubUnreachable(f"{where}: the store of the hub answered {status}")
    raise HubError(f"{where}: the store of the hub answered {status}", status)
