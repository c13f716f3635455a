"""Who may ask over HTTP: programs on this machine, and the web pages that the operator names.

A browser on this machine can be made to ask the loopback by any web page that it shows. Such a
request has an ``Origin``, or, where the page's own name was pointed at this machine, a foreign
``Host``; both are refused.
"""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Collection, Mapping

from edge_sdk.local_server.refusal import FORBIDDEN, MISDIRECTED, RequestRefused

_ALLOWED = (
    ("Access-Control-Allow-Methods", "GET, POST"),
    (
        "Access-Control-Allow-Headers",
        "Content-Type, Content-Encoding, Inference-Header-Content-Length",
    ),
    ("Access-Control-Max-Age", "600"),
)


class HttpAccess:
    """Rules of one server.

    Args:
        host: the address that it listens on.
        origins: of web pages that may ask, such as ``http://localhost:3000``.
    """

    def __init__(self, host: str, origins: Collection[str]) -> None:
        self._only_loopback = is_loopback(host)
        self._origins = frozenset(origin.rstrip("/") for origin in origins)

    def check(self, headers: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
        """Return the headers that let a named web page read the answer; none for programs.

        Raises:
            RequestRefused: the request comes from another web page, or is meant for another host.
        """
        host = headers.get("host")
        if self._only_loopback and host is not None and not is_loopback(_without_port(host)):
            raise RequestRefused(
                MISDIRECTED, f"expected a Host on the loopback, such as localhost, got {host:.80}"
            )
        origin = headers.get("origin")
        if origin is None:
            return ()
        if origin not in self._origins:
            raise RequestRefused(
                FORBIDDEN,
                f"web pages of {origin:.80} may not ask here; edge serve --origin lets them",
            )
        return (
            ("Access-Control-Allow-Origin", origin),
            ("Access-Control-Expose-Headers", "Inference-Header-Content-Length"),
            ("Vary", "Origin"),
        )

    def preflight(self) -> tuple[tuple[str, str], ...]:
        """Return the headers that answer a browser's question before its request."""
        return _ALLOWED


@functools.lru_cache(128)  # each request has a host, and most have the same
def is_loopback(host: str) -> bool:
    """Return True for an address or a name of this machine alone."""
    if host.lower() in ("localhost", "localhost."):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0]
