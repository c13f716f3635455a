"""The states of one model's units: few unpacked, more packed in memory, the rest on the disk.

Invariants:

* Finding a unit that is in memory takes no lock. One that is not takes a lock for as long as one
  other change or one look-up of a small file takes; nobody writes to the disk there.
* Memory is bounded in bytes, whatever number of units comes: those that were not used for longest
  go to the disk, and where there is none (or it takes nothing) they are lost, counted and told.
* A unit that never learned has no state anywhere.
* There is one :class:`Unit` object of a unit at a time, so that what was forgotten is known to be
  so (``gone``) by everything that still holds it.
* What was forgotten is in no memory and in no file once :meth:`UnitStore.forget` returns.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, Generic, NamedTuple, Protocol, TypeVar
from weakref import WeakValueDictionary

from edge_sdk.errors import EdgeError, StateError
from edge_sdk.personalise.unit_file import StoredUnit, UnitFile
from edge_sdk.system.logs import Log

_log = Log(__name__)

S = TypeVar("S")
T = TypeVar("T")

HOT: Final = 128
"""Units that are unpacked at most: those in use now."""

OVERHEAD: Final = 216
"""Bytes that a packed unit takes beside its state: key, objects, places in dictionaries."""

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

    memory: int = 7 << 20
    disk: int = 64 << 20


class UnitKind(Protocol[S]):
    """What the states of units are."""

    state_bytes: int

    def new(self) -> S:
        """Return the state of a unit that has learned nothing."""

    def dump(self, state: S) -> bytes:
        """Pack a state."""

    def load(self, raw: bytes) -> S:
        """Return a packed state; raises ContractError."""

    def derived(self, state: S | None) -> Any:
        """Return what predictions need of a state; ``None`` is that of a unit without one."""


class Unit:
    """One unit in memory.

    Attributes:
        key: keyed hash of its name.
        name: that the application gave.
        state: unpacked; ``None`` while it is packed, or where it has learned nothing.
        answer: what predictions need of the state.
        used: since unused ones were last looked for.
        gone: it was forgotten; nothing more is learned for this object.
        learned: when it learned last, Unix seconds.
    """

    __slots__ = ("__weakref__", "answer", "gone", "key", "learned", "name", "state", "used")

    def __init__(self, key: bytes, name: str) -> None:
        self.key, self.name = key, name
        self.state: Any = None
        self.answer: Any = None
        self.used, self.gone, self.learned = True, False, 0


class Packed(NamedTuple):
    """A unit's packed state, and when it learned last (Unix seconds)."""

    state: bytes
    learned: int


class Units(Generic[S]):
    """The units of one space of a store; :meth:`UnitStore.space` makes it.

    Attributes:
        hot: unpacked units by name; to be read by anybody, changed only here.
        lost: units whose state was given up for lack of room.
        space: its name.
    """

    def __init__(self, store: UnitStore, space: str, kind: UnitKind[S]) -> None:
        self.space, self.kind, self.lost = space, kind, 0
        self.hot: dict[str, Unit] = {}
        self._store, self._lock = store, store.lock
        self._living: WeakValueDictionary[bytes, Unit] = WeakValueDictionary()
        self._packed: dict[bytes, Packed] = {}
        self._bytes = 0
        self._dirty: set[bytes] = set()
        self._writing: frozenset[bytes] = frozenset()
        self._plain = kind.derived(None)

    def use(self, kind: UnitKind[S]) -> None:
        """Go on with another kind of the same states, such as a newer prior of the same basis."""
        with self._lock:
            self.kind, self._plain = kind, kind.derived(None)
            for unit in self.hot.values():
                unit.answer = self._plain if unit.state is None else kind.derived(unit.state)

    def refresh(self) -> None:
        """Derive anew what predictions need, since something beside the states has changed."""
        self.use(self.kind)

    def find(self, name: str) -> Unit:
        """Return a unit, unpacked.

        Args:
            name: of the unit, a checked text.
        """
        unit = self.hot.get(name)
        if unit is None:
            with self._lock:
                unit = self._bring(name)
        unit.used = True
        return unit

    def change(self, unit: Unit, now: float, do: Callable[[S], T]) -> T | None:
        """Change a unit's state in place, and derive anew what predictions need.

        Args:
            unit: that :meth:`find` returned, perhaps long ago.
            now: Unix seconds.
            do: is given the state, and may change it.

        Returns:
            What ``do`` returned; ``None`` where the unit was forgotten since.
        """
        with self._lock:
            if unit.gone:
                return None
            unit = self._bring(unit.name)
            if unit.state is None:
                unit.state = self.kind.new()
            result = do(unit.state)
            unit.answer, unit.learned, unit.used = self.kind.derived(unit.state), int(now), True
            self._dirty.add(unit.key)
            crowded = self._bytes > self._store.limits.memory
        if crowded:  # a feedback may wait for the disk, a prediction may not
            self._store.save()
            self._give_up_rest()
        return result

    @property
    def count(self) -> int:
        """Return the number of units with a state in memory."""
        with self._lock:
            return len(self._packed) + sum(u.state is not None for u in self.hot.values())

    def each(self) -> Iterator[S]:
        """Yield a copy of each unit's state, of those in memory and then of those on the disk."""
        with self._lock:
            packed = {key: each.state for key, each in self._packed.items()}
            for unit in self.hot.values():
                if unit.state is not None:
                    packed[unit.key] = self.kind.dump(unit.state)
        stored = self._store.stored(self.space)
        rows = itertools.chain(
            packed.values(), (each.state for each in stored if each.key not in packed)
        )
        for raw in rows:
            with contextlib.suppress(EdgeError):  # damaged: told when it is looked up
                yield self.kind.load(raw)

    def clear(self) -> None:
        """Give up what is in memory: nothing is asked of this space any more."""
        with self._lock:
            for unit in self.hot.values():
                unit.state, unit.answer = None, self._plain
            self.hot.clear()
            self._packed.clear()
            self._dirty.clear()
            self._bytes = 0

    def forget(self, key: bytes, name: str) -> bool:
        """Drop a unit; return whether it had learned anything in memory. The lock is held."""
        unit = self._living.pop(key, None)
        had = False
        if unit is not None:
            had = unit.state is not None
            unit.gone, unit.state, unit.answer = True, None, None
        self.hot.pop(name, None)
        packed = self._packed.pop(key, None)
        if packed is not None:
            self._bytes -= _cost(packed)
        self._dirty.discard(key)
        return had or packed is not None

    def begin_saving(self) -> list[StoredUnit]:
        """Return what changed since the last saving; :meth:`end_saving` says how that went."""
        with self._lock:
            keys, self._dirty = self._dirty, set()
            rows = []
            for key in keys:
                unit, packed = self._living.get(key), self._packed.get(key)
                if unit is not None and unit.state is not None:
                    packed = Packed(self.kind.dump(unit.state), unit.learned)
                if packed is not None:
                    rows.append(StoredUnit(key, self.space, packed.learned, packed.state))
            self._writing = frozenset(keys)
            return rows

    def end_saving(self, *, saved: bool) -> None:
        """Note whether the disk took what :meth:`begin_saving` returned."""
        with self._lock:
            writing, self._writing = self._writing, frozenset()
            if not saved:
                here = {key for key in writing if key in self._packed or key in self._living}
                self._dirty |= here
            else:
                self._drop_saved()

    def _bring(self, name: str) -> Unit:
        """Return a unit unpacked, and make room for it. The lock is held."""
        unit = self.hot.get(name)
        if unit is not None:
            return unit
        key = self._store.key_of(name)
        unit = self._living.get(key) or Unit(key, name)
        if unit.state is None:
            self._unpack(unit)
        unit.answer = self._plain if unit.state is None else self.kind.derived(unit.state)
        self._living[key] = self.hot[name] = unit
        if len(self.hot) > HOT:
            self._cool()
        return unit

    def _unpack(self, unit: Unit) -> None:
        """Give a unit its state, from memory or the disk; a damaged one begins anew."""
        packed = self._packed.pop(unit.key, None)
        if packed is None:
            packed = self._store.read(unit.key, self.space)
        else:
            self._bytes -= _cost(packed)
        if packed is None:
            return
        try:
            unit.state, unit.learned = self.kind.load(packed.state), packed.learned
        except EdgeError as error:
            self._store.damaged += 1
            _log.warning("a unit's state cannot be read (%s); it begins anew", error)

    def _cool(self) -> None:
        """Pack those of the unpacked units that were not used since the last time."""
        for name, unit in tuple(self.hot.items()):
            if len(self.hot) <= HOT * 7 // 8:
                break
            del self.hot[name]
            if unit.used:  # a second chance, behind all others
                unit.used = False
                self.hot[name] = unit
            elif unit.state is not None:
                self._pack(unit)
        for name in tuple(self.hot)[: max(0, len(self.hot) - HOT)]:
            self._pack(self.hot.pop(name))  # all were in use: the ones that came first
        if self._bytes > self._store.limits.memory:
            self._drop_saved()

    def _pack(self, unit: Unit) -> None:
        if unit.state is None:
            return
        packed = Packed(self.kind.dump(unit.state), unit.learned)
        unit.state, unit.answer = None, self._plain
        self._packed[unit.key] = packed
        self._bytes += _cost(packed)

    def _drop_saved(self) -> None:
        """Drop packed units that are on the disk, oldest first, until the rest have room."""
        if self._bytes <= self._store.limits.memory or not self._store.keeps:
            return
        room = self._store.limits.memory * 15 // 16
        for key in tuple(self._packed):
            if self._bytes <= room:
                return
            if key not in self._dirty and key not in self._writing:
                self._bytes -= _cost(self._packed.pop(key))

    def _give_up_rest(self) -> None:
        """Give up the oldest packed units where the disk did not take them."""
        with self._lock:
            if self._bytes <= self._store.limits.memory:
                return
            room, lost = self._store.limits.memory * 15 // 16, 0
            for key in tuple(self._packed):
                if self._bytes <= room:
                    break
                self._bytes -= _cost(self._packed.pop(key))
                self._dirty.discard(key)
                lost += 1
            if not self.lost:
                _log.warning(
                    "units beyond %d bytes have no room in memory, and none on a disk: those that "
                    "were not used for longest begin anew",
                    self._store.limits.memory,
                )
            self.lost += lost


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
        self._spaces: dict[str, Units[Any]] = {}
        self._users: dict[str, int] = {}
        self._forgetting: set[bytes] = set()
        self._file: UnitFile | None = None
        self._saved_at = time.monotonic()

    def key_of(self, name: str) -> bytes:
        """Return the keyed hash of a unit's name."""
        raw = name.encode("utf-8", "surrogatepass")
        return hashlib.blake2b(raw, key=self._secret, digest_size=KEY_BYTES).digest()

    def space(self, name: str, kind: UnitKind[S]) -> Units[S]:
        """Return the units of a space; those that are there go on with ``kind``. Who takes it says
        when it ends (:meth:`leave`).

        Args:
            name: of what states belong to: those of two spaces have nothing in common.
            kind: of the states.
        """
        self._open()
        with self.lock:
            self._users[name] = self._users.get(name, 0) + 1
            units = self._spaces.get(name)
            if units is None:
                units = self._spaces[name] = Units(self, name, kind)
                return units
        units.use(kind)
        return units

    @property
    def keeps(self) -> bool:
        """Return whether the disk takes states now."""
        return self._file is not None and self._file.trouble is None

    @property
    def trouble(self) -> str | None:
        """Return why the disk takes nothing; ``None`` where it does, or none is used."""
        return None if self._file is None else self._file.trouble

    def read(self, key: bytes, space: str) -> Packed | None:
        """Return what the disk has of a unit, unless it is being forgotten."""
        if self._file is None or key in self._forgetting:
            return None
        found = self._file.read(key, space)
        return None if found is None else Packed(found.state, found.learned)

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

    def leave(self, units: Units[Any]) -> None:
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


def _cost(packed: Packed) -> int:
    return len(packed.state) + OVERHEAD
