"""Tokens of administrators, pipelines, readers of metrics: each a secret in a file of the data.

The file is read at each request: a token that is replaced or removed there is void at once.
"""

from __future__ import annotations

import hmac
import secrets
from pathlib import Path
from typing import Final

from cloud_hub.errors import HubFault
from edge_sdk.system.files import write_atomic

ADMIN_FILE: Final = "admin.token"
PIPELINE_FILE: Final = "pipeline.token"
METRICS_FILE: Final = "metrics.token"
"""Of who reads metrics and the reasons of ``/readyz``; a hub of before has none until its owner
writes one."""


def new_tokens(data: Path) -> None:
    """Write the tokens of a new hub into its folder, readable by the owner only."""
    for name in (ADMIN_FILE, PIPELINE_FILE, METRICS_FILE):
        # The prefix tells people and secret scanners what it is, and it is no ``-``, which a
        # command line would take for an option.
        token = f"{name.removesuffix('.token')}_{secrets.token_urlsafe(32)}"
        write_atomic(data / name, token.encode())


def is_token(path: Path, token: str) -> bool:
    """Return whether this is the token in the file; nothing is where there is none."""
    expected = stored_token(path)
    # In constant time: how long a comparison takes would give the token away, byte by byte.
    return bool(expected) and hmac.compare_digest(token.encode(), expected.encode())


def check_usable(path: Path) -> None:
    """Raise HubFault unless the file holds a token that an administrator could use."""
    if not stored_token(path):
        raise HubFault(f"{path}: expected the administrator's token; write a long secret into it")


def stored_token(path: Path) -> str:
    """Return the token in a file, empty where there is none."""
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return ""
