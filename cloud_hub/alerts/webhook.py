"""One event, sent as a Standard Webhook: signed, to the address that was checked, once.

Redirects are not followed, no proxy is asked, and an answer is read for its status alone.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import secrets
import socket
import ssl
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

from cloud_hub.alerts.addresses import Network, checked_address, is_private
from cloud_hub.alerts.rules import retry_after_seconds
from cloud_hub.errors import Forbidden, HubFault, Invalid

IDLE_SECONDS: Final = 10.0
WHOLE_SECONDS: Final = 20.0
"""A receiver that drips its answer is hung up on; it has the event, and gets it again."""


@dataclass(frozen=True)
class TryOutcome:
    """What became of one try.

    Attributes:
        delivered: the receiver took it.
        reason: why not, or what it answered; for people.
        status: of HTTP, ``None`` if none came.
        retry_after: seconds that the receiver wants to be left alone.
        gone: the receiver wants nothing any more.
    """

    delivered: bool
    reason: str
    status: int | None = None
    retry_after: float | None = None
    gone: bool = False


def new_secret() -> str:
    """Return a new signing secret, as receivers configure it."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


def checked_webhook(url: str) -> SplitResult:
    """Return the parts of a webhook's URL; raises Invalid."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise Invalid(f"url: {error}") from error
    if parts.scheme not in ("https", "http") or not parts.hostname or port == 0:
        raise Invalid("url: expected https://HOST/PATH")
    if parts.username or parts.password or parts.fragment:
        raise Invalid("url: no user, password or #fragment; the signature says who sends")
    if len(url) > 2_000 or any(ord(c) <= 32 or ord(c) > 126 for c in url):
        raise Invalid("url: expected at most 2,000 printable characters of ASCII")
    return parts


def signed_headers(
    message_id: str, at: float, body: bytes, signing: Sequence[str]
) -> dict[str, str]:
    """Return the headers of a Standard Webhook.

    Args:
        message_id: the same for each try of one event.
        at: when it is sent, Unix seconds.
        body: of the request.
        signing: secrets, newest first; more than one while receivers change to the newest.
    """
    from standardwebhooks import Webhook

    moment = datetime.fromtimestamp(int(at), UTC)
    signatures = [Webhook(each).sign(message_id, moment, body.decode()) for each in signing]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(at)),
        "webhook-signature": " ".join(signatures),
    }


def post(url: str, body: bytes, headers: dict[str, str], allowed: Sequence[Network]) -> TryOutcome:
    """Send a request, and return what became of it.

    Args:
        url: of the receiver.
        body: JSON of a CloudEvent.
        headers: that sign it.
        allowed: networks that are not public, and may be asked.
    """
    parts = checked_webhook(url)
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        address = checked_address(host, port, allowed)
        if parts.scheme == "http" and not is_private(address, allowed):
            raise Forbidden(f"{host}: expected https:// for what leaves your own networks")
        connection = _Connection(host, port, address, is_tls=parts.scheme == "https")
        return _answer(connection, parts, body, headers)
    except HubFault as error:
        return TryOutcome(False, str(error))
    except (OSError, http.client.HTTPException, ValueError) as error:
        return TryOutcome(False, f"{host}: {type(error).__name__}: {error}"[:300])


def _answer(
    connection: _Connection, parts: SplitResult, body: bytes, headers: dict[str, str]
) -> TryOutcome:
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    said = {"Content-Type": "application/cloudevents+json; charset=utf-8", "Connection": "close"}
    watchdog = threading.Timer(WHOLE_SECONDS, connection.cut)
    watchdog.daemon = True
    watchdog.start()
    try:
        connection.request("POST", path, body, {**said, "User-Agent": "edge-hub", **headers})
        response = connection.getresponse()
        status = response.status
        after = retry_after_seconds(response.headers.get("Retry-After"), time.time())
    finally:
        watchdog.cancel()
        connection.close()
    if 200 <= status < 300:
        return TryOutcome(True, f"answered {status}", status)
    more = " (redirects are not followed)" if 300 <= status < 400 else ""
    return TryOutcome(False, f"answered {status}{more}", status, after, gone=status == 410)


class _Connection(http.client.HTTPConnection):
    """A connection to an address, for a host that has another name."""

    def __init__(self, host: str, port: int, address: str, *, is_tls: bool) -> None:
        super().__init__(host, port, timeout=IDLE_SECONDS)
        self._address, self._is_tls = address, is_tls
        self.default_port = 443 if is_tls else 80  # or the header Host would name it

    def connect(self) -> None:
        """Connect to what was checked, and not to what the name stands for by now."""
        sock: Any = socket.create_connection((self._address, self.port), self.timeout)
        self.sock = sock
        if self._is_tls:
            context = ssl.create_default_context()
            self.sock = context.wrap_socket(sock, server_hostname=self.host)

    def cut(self) -> None:
        """End whatever is under way."""
        sock = self.sock
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
