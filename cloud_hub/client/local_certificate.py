"""A hub on this machine that ends TLS itself: it is known by its certificate, whatever its name.

Its certificate is for the name that devices use, and a command here asks at an address such as
127.0.0.1. The data folder says where the certificate is; that very one is expected.
"""

from __future__ import annotations

import hashlib
import ssl
from pathlib import Path
from typing import Any, Final

from requests import Session
from requests.adapters import HTTPAdapter

from cloud_hub.errors import Invalid

PATH_FILE: Final = "hub.cert"
"""File of the data folder with the path of the certificate that the hub serves."""

_END: Final = "-----END CERTIFICATE-----"


class _Pinned(HTTPAdapter):
    """Takes one certificate, and no other."""

    def __init__(self, fingerprint: str) -> None:
        self._fingerprint = fingerprint
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Have each connection compare what it is shown."""
        super().init_poolmanager(*args, **kwargs, assert_fingerprint=self._fingerprint)


def expect_certificate(session: Session, data: Path) -> None:
    """Have a session take the certificate of the hub of a data folder alone.

    Args:
        session: that asks the hub.
        data: the folder.

    Raises:
        Invalid: the folder does not say which one, or it cannot be read.
    """
    try:
        file = Path((data / PATH_FILE).read_text().strip())
        leaf = file.read_text().partition(_END)[0] + _END
        fingerprint = hashlib.sha256(ssl.PEM_cert_to_DER_cert(leaf.strip())).hexdigest()
    except (OSError, ValueError) as error:
        raise Invalid(f"{data}: expected the certificate that its hub serves: {error}") from error
    session.mount("https://", _Pinned(fingerprint))
