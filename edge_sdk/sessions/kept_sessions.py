"""Sessions on the disk: those of a declaration that says so outlive a restart.

Invariant: the file holds sessions of one declaration. It is removed when another one, or none that
keeps them, is in force.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from edge_sdk.contract.personal.session_features import SessionFeatures
from edge_sdk.errors import StateError
from edge_sdk.personalise.units.unit_file import StoredUnit, UnitFile
from edge_sdk.sessions.session_file import SESSIONS_FILE, remove_sessions

SAVE_SECONDS: Final = 30.0
"""Seconds between two writings: what a kill takes of a session."""

_SPACE: Final = "space"


class KeptSessions:
    """The file ``sessions.db`` of a model; whoever writes holds a lock of the caller's meanwhile.

    Args:
        folder: of the model.
        secret: of the state folder; names of units are hashed with it.
        declared: to which the sessions belong.
    """

    def __init__(self, folder: Path, secret: bytes, declared: SessionFeatures) -> None:
        self._secret = secret
        self._space = declared.rules_digest
        path = folder / SESSIONS_FILE
        owner = self._key(SESSIONS_FILE)
        self._file = UnitFile(path, declared.sessions, owner)
        if self._file.rows and self._file.note(_SPACE) != self._space.encode():
            self._file.close()
            remove_sessions(folder)
            self._file = UnitFile(path, declared.sessions, owner)
        self._file.put_note(_SPACE, self._space.encode())
        self._saved_at = time.monotonic()

    @property
    def trouble(self) -> str | None:
        """Why the disk takes nothing; ``None`` where it does."""
        return self._file.trouble

    def is_due(self) -> bool:
        """Return whether it is time to store what changed."""
        return time.monotonic() - self._saved_at >= SAVE_SECONDS

    def read(self, unit: str) -> str | None:
        """Return a session as text; ``None`` if none is stored, or it cannot be read."""
        found = self._file.read(self._key(unit), self._space)
        return None if found is None else found.state.decode("utf-8", "replace")

    def save(self, rows: Iterable[tuple[str, float, str]], gone: Sequence[str]) -> bool:
        """Store sessions and delete others; return whether the disk took that.

        Args:
            rows: unit, Unix seconds of its last event, and its session as text.
            gone: units whose sessions are over.
        """
        self._saved_at = time.monotonic()
        if gone and self._file.forget(map(self._key, gone)) is None:
            return False
        units = [
            StoredUnit(self._key(unit), self._space, math.floor(last), text.encode())
            for unit, last, text in rows
        ]
        return not units or self._file.write(units)

    def forget(self, units: Sequence[str]) -> int:
        """Delete units; return how many there were.

        Raises:
            StateError: the disk does not take the change.
        """
        removed = self._file.forget(map(self._key, units))
        if removed is None:
            raise StateError(
                f"{self._file.path}: the disk takes nothing ({self._file.trouble}), so the session "
                "is still on it; call forget again"
            )
        return removed

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _key(self, unit: str) -> bytes:
        raw = unit.encode("utf-8", "surrogatepass")
        return hashlib.blake2b(raw, key=self._secret, digest_size=16).digest()
