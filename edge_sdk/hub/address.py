"""The hub's address and the certificates that it is checked by, as an application gives them."""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import urlsplit

from edge_sdk.errors import HubError
from edge_sdk.validation import path_of


def checked_url(url: Any) -> str:
    """Return ``url`` without a slash at its end; raises :class:`HubError` if it is none."""
    parts = urlsplit(url) if isinstance(url, str) else None
    if parts is None or parts.scheme not in ("http", "https") or not parts.netloc:
        raise HubError(f"hub: expected a URL such as https://hub:8000, got {url!r:.80}")
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise HubError(
            f"hub: expected a URL without a path, got {url!r:.80}; "
            f"leave out what follows {parts.scheme}://{parts.netloc}"
        )
    return str(url).rstrip("/")


def checked_bundle(verify: Any) -> bool | str:
    """Return ``verify``; raises :class:`HubError` if it names no bundle that can be read."""
    if isinstance(verify, bool):
        return verify
    path = path_of("verify", verify, HubError)
    if not os.access(path, os.R_OK):
        raise HubError(f"{path}: expected a bundle of CA certificates, found none")
    return str(path)
