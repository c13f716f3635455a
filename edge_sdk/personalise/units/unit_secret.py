"""The secret with which a device hashes the names of its units: 32 bytes in a file.

It never leaves the device. Without it a stored unit cannot be told from any other, by nobody.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import threading
from pathlib import Path
from typing import Final

from edge_sdk.errors import reason_of
from edge_sdk.system.files import fsync_directory, make_folder
from edge_sdk.system.logs import Log

_log = Log(__name__)

SECRET_BYTES: Final = 32
_FILE: Final = "units.key"

_MAKING: Final = threading.Lock()
"""Models of one device may ask at once, and must get the same."""


def secret_in(folder: Path | None) -> bytes:
    """Return the secret in ``folder``, made if there is none.

    Where the folder takes none it holds for this process only: what was stored with another one
    is then not found. A damaged one is replaced.

    Args:
        folder: the state folder; ``None`` to keep nothing.
    """
    if folder is None:
        return secrets.token_bytes(SECRET_BYTES)
    with _MAKING:
        return _found_or_made(folder)


def _found_or_made(folder: Path) -> bytes:
    path = folder / _FILE
    with contextlib.suppress(OSError):
        found = path.read_bytes()
        if len(found) == SECRET_BYTES:
            return found
        _log.warning("%s: damaged; another one is made, and units begin anew", path)
    made = secrets.token_bytes(SECRET_BYTES)
    try:
        make_folder(folder)
        _write(path, made)
    except OSError as error:
        _log.warning(
            "%s: cannot be written (%s); units are kept for as long as this process runs",
            path,
            reason_of(error),
        )
    return made


def _write(path: Path, secret: bytes) -> None:
    part = path.with_name(path.name + ".new")
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(secret)
        file.flush()
        os.fsync(handle)
    part.replace(path)
    fsync_directory(path.parent)
