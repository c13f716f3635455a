"""The file ``owner.json`` in a state folder: which process runs the device, and where it listens.

The lock on the folder says that somebody runs the device; this file only says who. What a killed
process left is overwritten by the next owner.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

OWNER_FILE: Final = "owner.json"


@dataclass(frozen=True)
class OwnerAddress:
    """Address of the process that runs a device.

    Attributes:
        pid: number of the process.
        unix: name of the Unix socket in the state folder; ``None`` for the loopback.
        port: TCP port on the loopback; 0 for a Unix socket.
        secret: what a client must say first on the loopback, which every user can reach.
    """

    pid: int
    unix: str | None = None
    port: int = 0
    secret: str = ""


def read_owner(folder: Path) -> OwnerAddress | None:
    """Return what the file says; ``None`` if there is none, or it is no such file."""
    try:
        plain = json.loads((folder / OWNER_FILE).read_bytes())
        owner = OwnerAddress(**plain)
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    kinds = (type(owner.pid), type(owner.port), type(owner.secret))
    named = owner.unix is None or (isinstance(owner.unix, str) and "/" not in owner.unix)
    return owner if kinds == (int, int, str) and named and 0 <= owner.port < 1 << 16 else None


def write_owner(folder: Path, owner: OwnerAddress) -> None:
    """Put the file there, readable by its user alone.

    Raises:
        OSError: the disk takes nothing.
    """
    part = folder / f"{OWNER_FILE}.new"
    part.unlink(missing_ok=True)
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as file:
        json.dump(asdict(owner), file)
    part.replace(folder / OWNER_FILE)  # not synced: it means nothing after a power cut


def remove_owner(folder: Path) -> None:
    """Take the file away, where it is."""
    with contextlib.suppress(OSError):
        (folder / OWNER_FILE).unlink(missing_ok=True)


def who_has(folder: Path) -> str:
    """Return the reason why a locked folder cannot be opened, and what to do."""
    owner = read_owner(folder)
    if owner is None:
        return "another process uses this state folder; close it there, or give each device its own"
    return (
        f"another process uses this state folder: process {owner.pid} runs this device; attach to "
        f"it with EdgeDevice.attach({str(folder)!r}), or give each device a folder of its own"
    )
