"""The states of one model's units: few unpacked, more packed in memory, the rest on the disk.

Invariants:

* Finding a unit that is in memory takes no lock. One that is not takes a lock for as long as one
  other change or one look-up of a small file takes; nobody writes to the disk there.
* Memory is bounded in bytes, whatever number of units comes: those that were not used for longest
  go to the disk, and where there is none (or it takes nothing) they are lost, counted and told.
* A unit that never learned has no state anywhere.
* There is one :class:`HeldUnit` of a unit at a time, so that what was forgotten is known to be so
  (``gone``) by everything that still holds it.
* What was forgotten is in no memory and in no file once :meth:`UnitStore.forget` returns.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

from edge_sdk.errors import StateError
from edge_sdk.personalise.units.unit_file import StoredUnit, UnitFile
from edge_sdk.personalise.units.unit_space import UnitKind, UnitSpace, packed_of

S = TypeVar("S")

SAVE_SECONDS: Final = 5.0
"""Seconds between two writings: what a power cut takes of what was learned."""

KEY_BYTES: Final = 16
_FILE: Final = "units.db"


class UnitLimits(NamedTuple):
    """Bounds of one model's units.

    Attributes:
        memory: bytes of packed states.
        disk: bytes of stored ones.
    """

    memory: int = 7_500_000
    disk: int = 64 << 20


class UnitStore:
    """The units of one model on a device; safe from any number of threads.

    Attributes:
        lock: of what is in memory.
        limits: bounds.
        damaged: states that could not be read.
        path: of the file; ``None`` where units are in memory only.

    Args:
        folder: of the file; ``None`` to keep units in memory only.
        secret: of the state folder; names are hashed with it.
        limits: bounds.
    """

    def __init__(
        self, folder: Path | None, secret: bytes, limits: UnitLimits = UnitLimits()
    ) -> None:
        self.lock, self._saving = threading.Lock(), threading.Lock()
        self.limits, self.damaged = limits, 0
        self.path = None if folder is None else folder / _FILE
        self._secret = secret
        self._spaces: dict[str, UnitSpace[Any]] = {}
        self._users: dict[str, int] = {}
        self._forgetting: set[bytes] = set()
        self._file: UnitFile | None = None
        self._saved_at = time.monotonic()

    def key_of(self, name: str) -> bytes:
        """Return the keyed hash of a unit's name."""
        raw = name.encode("utf-8", "surrogatepass")
        return hashlib.blake2b(raw, key=self._secret, digest_size=KEY_BYTES).digest()

    def space(self, name: str, kind: UnitKind[S]) -> UnitSpace[S]:
        """Return the units of a space. Who takes it says when it ends (:meth:`leave`).

        Args:
            name: of what states belong to: those of two spaces have nothing in common.
            kind: of the states, unless the space is in use: it goes on with its own until it is
                told otherwise (:meth:`UnitSpace.use`).
        """
        self._open()
        with self.lock:
            self._users[name] = self._users.get(name, 0) + 1
            units = self._spaces.get(name)
            if units is None:
                units = self._spaces[name] = UnitSpace(self, name, kind)
            return units

    @property
    def memory(self) -> int:
        """Return the bytes that packed states of each space may take."""
        return self.limits.memory // max(1, len(self._spaces))

    @property
    def keeps(self) -> bool:
        """Return whether the disk takes states now."""
        return self._file is not None and self._file.trouble is None

    @property
    def trouble(self) -> str | None:
        """Return why the disk takes nothing; ``None`` where it does, or none is used."""
        return None if self._file is None else self._file.trouble

    def read(self, key: bytes, space: str) -> bytes | None:
        """Return what the disk has of a unit, unless it is being forgotten."""
        if self._file is None or key in self._forgetting:
            return None
        found = self._file.read(key, space)
        return None if found is None else packed_of(found.learned, found.state)

    def stored(self, space: str) -> Iterator[StoredUnit]:
        """Yield the units of a space that are on the disk."""
        after = b""
        while True:
            with self._saving:
                page = [] if self._file is None else self._file.page(space, after)
            if not page:
                return
            yield from (unit for unit in page if unit.key not in self._forgetting)
            after = page[-1].key

    def has(self, space: str) -> bool:
        """Return whether a space is in use."""
        return space in self._spaces

    def leave(self, units: UnitSpace[Any]) -> None:
        """Note that a user of a space has ended; with the last one its memory is free again."""
        with self.lock:
            users = self._users[units.space] = self._users[units.space] - 1
        if not users:
            self.save()
            with self.lock:
                if self._users[units.space]:
                    return
                self._spaces.pop(units.space)
            units.clear()

    def save(self, *, seconds: float = 0.0) -> bool:
        """Write what changed to the disk; return whether it was time.

        Args:
            seconds: not before so many have passed since the last time.
        """
        if self._file is None or time.monotonic() - self._saved_at < seconds:
            return False
        with self._saving:
            self._saved_at = time.monotonic()
            if self._forgetting:
                self._delete(self._file)
            for units in tuple(self._spaces.values()):
                rows = units.begin_saving()
                saved = False
                try:
                    saved = not rows or self._file.write(rows)
                finally:
                    units.end_saving(saved=saved)
        return True

    def forget(self, name: str) -> bool:
        """Delete a unit from memory and disk, in all spaces; return whether it was there.

        Raises:
            StateError: the disk does not take the change now: there it is deleted as soon as it
                does, as long as this process runs.
        """
        self._open(only_existing=True)
        with self._saving:
            key = self.key_of(name)
            with self.lock:
                found = [units.forget(key, name) for units in self._spaces.values()]
                self._forgetting.add(key)
            if self._file is None:
                self._forgetting.discard(key)
                return any(found)
            removed = self._delete(self._file)
        if removed is None:
            raise StateError(
                f"{self.path}: the unit is forgotten in memory, but the disk takes nothing "
                f"({self._file.trouble}): its row is deleted as soon as it does; call forget again "
                "should the device be restarted before"
            )
        return any(found) or removed > 0

    def spaces_on_disk(self) -> dict[str, int]:
        """Return the number of stored units by space."""
        with self._saving:
            return {} if self._file is None else self._file.spaces()

    def note(self, name: str) -> bytes | None:
        """Return what was noted under ``name`` beside the units."""
        self._open()
        with self._saving:
            return None if self._file is None else self._file.note(name)

    def put_note(self, name: str, content: bytes) -> None:
        """Note bytes beside the units, where there is a disk."""
        with self._saving:
            if self._file is not None:
                self._file.put_note(name, content)

    def status(self) -> dict[str, Any]:
        """Return numbers of units, and what is wrong with the disk, as plain values."""
        file = self._file
        spaces = tuple(self._spaces.values())
        return {
            "units": sum(units.count for units in spaces),
            "stored": 0 if file is None else file.rows,
            "lost": sum(units.lost for units in spaces),
            "damaged": self.damaged + (0 if file is None else file.damaged),
            "disk": self.trouble,
        }

    def close(self) -> None:
        """Save what changed, and close the file."""
        self.save()
        with self._saving:
            if self._file is not None:
                self._file.close()

    def _open(self, *, only_existing: bool = False) -> None:
        with self._saving:
            if self._file is not None or self.path is None:
                return
            if only_existing and not self.path.exists():
                return
            rows = max(1, self.limits.disk // 1024)
            self._file = UnitFile(self.path, rows, self.key_of(_FILE))

    def _delete(self, file: UnitFile) -> int | None:
        """Delete from the file what is to be forgotten. The lock of saving is held."""
        keys = tuple(self._forgetting)
        removed = file.forget(keys)
        if removed is not None:
            with self.lock:
                self._forgetting.difference_update(keys)
        return removed
