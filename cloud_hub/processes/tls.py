"""TLS of the hub itself: a certificate that is renewed is served without a restart.

Connections that are open keep what they began with; new ones get the new certificate. One that
cannot be read, or whose key is another's, is passed over with a line in the log: the one before
goes on being served.
"""

from __future__ import annotations

import logging
import ssl
from pathlib import Path
from typing import Final

from cloud_hub.errors import HubFault
from cloud_hub.settings import TlsSettings

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 10.0
"""From one look at the files to the next: whoever renews does so hours before it is too late."""

_Stamp = tuple[tuple[int, int, int], ...]


class ServedCertificate:
    """The certificate that a server shows, as its files have it.

    Args:
        settings: where they are.

    Raises:
        HubFault: they cannot be read, or do not belong together.
    """

    def __init__(self, settings: TlsSettings) -> None:
        self._settings = settings
        self._seen = self._stamp()
        self.context = _server_context()
        self._load(self.context)

    def look(self) -> bool:
        """Serve what the files have by now, if they changed; return whether that is new."""
        try:
            stamp = self._stamp()
            if stamp == self._seen:
                return False
            # A context of its own first: half of a pair would break the one that serves.
            self._load(_server_context())
            self._load(self.context)
        except HubFault as error:
            log.warning("the certificate of before goes on: %s", error)
            return False
        self._seen = stamp
        log.info("%s: read again, new connections get it", self._settings.certificate)
        return True

    def _stamp(self) -> _Stamp:
        return tuple(map(_stamp_of, (self._settings.certificate, self._settings.key)))

    def _load(self, context: ssl.SSLContext) -> None:
        own = self._settings
        try:
            # An empty passphrase, or OpenSSL would ask for one on a terminal that is not there.
            context.load_cert_chain(own.certificate, own.key, password="")
        except (OSError, ssl.SSLError, ValueError) as error:
            raise HubFault(
                f"{own.certificate}, {own.key}: expected a certificate chain and its private key "
                f"in PEM, without a passphrase: {error}"
            ) from error


def _server_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


def _stamp_of(file: Path) -> tuple[int, int, int]:
    try:
        status = file.stat()
    except OSError as error:
        raise HubFault(f"{file}: cannot be read: {error.strerror}") from error
    return status.st_mtime_ns, status.st_size, status.st_ino
