"""The administrator's token: a secret in a file of the hub's data."""

from __future__ import annotations

import secrets
from pathlib import Path

from cloud_hub.errors import HubFault
from edge_sdk.system.files import write_atomic


def new_admin_token(path: Path) -> None:
    """Write a new administrator's token to ``path``, readable by the owner only."""
    # The prefix tells people and secret scanners what it is, and it is no ``-``, which a command
    # line would take for an option.
    write_atomic(path, f"admin_{secrets.token_urlsafe(32)}".encode())
    path.chmod(0o600)


def check_admin_token(path: Path) -> None:
    """Raise HubFault unless ``path`` holds a token that an administrator could use."""
    try:
        usable = bool(path.read_text().strip())
    except (OSError, UnicodeDecodeError):
        usable = False
    if not usable:
        raise HubFault(f"{path}: expected the administrator's token; write a long secret into it")
