"""The hub's data is for its own user: folders 0700, secrets and databases 0600.

A database holds the hashes of tokens, rows that devices shared, and who owns what; SQLite gives its
``-wal`` and ``-shm`` files the mode of the database itself.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

log = logging.getLogger(__name__)

FOLDER: Final = 0o700
FILE: Final = 0o600
OTHERS: Final = 0o077
SECRETS: Final = ("*.token", "keys/*", "*.db", "*.db-wal", "*.db-shm", "*.db-journal")
"""Secrets in a hub's data folder; nothing else in it can be reached by others either."""


def make_private(data: Path) -> None:
    """Take the data folder of a hub away from everybody but its owner, and say so in the log.

    What cannot be changed, because it is somebody else's, is told and left.
    """
    for path, mode in _private(data):
        try:
            now = path.stat().st_mode & 0o777
            if now & OTHERS:
                path.chmod(mode)
                log.warning("%s: others could read it (mode %03o); it is %03o now", path, now, mode)
        except FileNotFoundError:
            continue  # one of SQLite's, that is gone
        except OSError as error:
            log.warning(
                "%s: others can read it and it cannot be changed (%s); make it %03o",
                path, error.strerror, mode,
            )  # fmt: skip


def private_folder(path: Path) -> None:
    """Make a folder that only its owner can enter; one that is there stays as it is."""
    path.mkdir(mode=FOLDER, parents=True, exist_ok=True)


def private_file(path: Path) -> None:
    """Make an empty file that only its owner can read; one that is there stays as it is.

    For databases: SQLite takes an empty file for a new one, and would make its own for everybody.
    """
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, FILE))


def _private(data: Path) -> Iterator[tuple[Path, int]]:
    yield data, FOLDER
    yield data / "keys", FOLDER
    for pattern in SECRETS:
        for path in data.glob(pattern):
            yield path, FILE
