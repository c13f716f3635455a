"""Units of one space in memory: few unpacked, the others packed.

A *space* is what states belong to, such as the basis of a prior: those of two spaces have nothing
in common. :mod:`.unit_store` has the spaces of a model, and says what holds for them.
"""

from __future__ import annotations

import contextlib
import itertools
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Lock
from typing import Any, Final, Generic, Protocol, TypeVar
from weakref import WeakValueDictionary

from edge_sdk.errors import EdgeError
from edge_sdk.personalise.units.unit_file import StoredUnit
from edge_sdk.system.logs import Log

_log = Log(__name__)

S = TypeVar("S")
T = TypeVar("T")

HOT: Final = 128
"""Units that are unpacked at most: those in use now."""

_LEARNED: Final = struct.Struct("<I")

OVERHEAD: Final = 124
"""Bytes that a packed unit takes beside its state: key, objects, places in dictionaries."""


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


class HeldUnit:
    """One unit in memory.

    Attributes:
        key: keyed hash of its name.
        name: that the application gave.
        state: unpacked; ``None`` while it is packed, or where it has learned nothing.
        answer: what predictions need of the state; ``None`` while it is packed, see
            :meth:`UnitSpace.answer_of`.
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


def packed_of(learned: int, state: bytes) -> bytes:
    """Return a packed unit: when it learned last, Unix seconds, and its packed state.

    One object for both: among ten thousand units every object counts.
    """
    return _LEARNED.pack(min(max(learned, 0), 0xFFFFFFFF)) + state  # a clock may say anything


class UnitSpace(Generic[S]):
    """The units of one space of a store; :meth:`UnitStore.space` makes it.

    Attributes:
        hot: unpacked units by name; to be read by anybody, changed only here.
        lost: units whose state was given up for lack of room.
        space: its name.
    """

    def __init__(self, store: SpaceKeeper, space: str, kind: UnitKind[S]) -> None:
        self.space, self.kind, self.lost = space, kind, 0
        self.hot: dict[str, HeldUnit] = {}
        self._store, self._lock = store, store.lock
        self._living: WeakValueDictionary[bytes, HeldUnit] = WeakValueDictionary()
        self._packed: dict[bytes, bytes] = {}
        self._bytes = 0
        self._dirty: set[bytes] = set()
        self._writing: frozenset[bytes] = frozenset()
        self._plain = kind.derived(None)

    def use(self, kind: UnitKind[S]) -> None:
        """Go on with another kind of the same states, such as a newer prior of the same basis."""
        with self._lock:
            self.kind = kind
            self._derive()

    def refresh(self) -> None:
        """Derive anew what predictions need, since something beside the states has changed."""
        with self._lock:
            self._derive()

    def _derive(self) -> None:
        self._plain = self.kind.derived(None)
        for unit in self.hot.values():
            unit.answer = self._plain if unit.state is None else self.kind.derived(unit.state)

    def find(self, name: str) -> HeldUnit:
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

    def answer_of(self, unit: HeldUnit) -> Any:
        """Return what predictions need of a unit's state.

        Others may be looked up between :meth:`find` and the answer, by other threads, so many that
        this one is packed meanwhile: then it is unpacked again.

        Args:
            unit: that :meth:`find` returned.

        Returns:
            Its ``answer``; ``None`` where it was forgotten since, or the kind has none.
        """
        answer = unit.answer
        if answer is None and self.hot.get(unit.name) is not unit:
            with self._lock:
                return None if unit.gone else self._bring(unit.name).answer
        return answer

    def change(self, unit: HeldUnit, now: float, do: Callable[[S], T]) -> T | None:
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
            if self._store.path is not None:
                self._dirty.add(unit.key)
            crowded = self._bytes > self._store.memory
        if crowded:  # a feedback may wait for the disk, a prediction may not
            self._store.save()
            if not self._store.keeps:
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
            packed = {key: each[_LEARNED.size :] for key, each in self._packed.items()}
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
                    packed = packed_of(unit.learned, self.kind.dump(unit.state))
                if packed is not None:
                    (learned,), state = _LEARNED.unpack_from(packed), packed[_LEARNED.size :]
                    rows.append(StoredUnit(key, self.space, learned, state))
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

    def _bring(self, name: str) -> HeldUnit:
        """Return a unit unpacked, and make room for it. The lock is held."""
        unit = self.hot.get(name)
        if unit is not None:
            return unit
        key = self._store.key_of(name)
        unit = self._living.get(key) or HeldUnit(key, name)
        if unit.state is None:
            self._unpack(unit)
        unit.answer = self._plain if unit.state is None else self.kind.derived(unit.state)
        self._living[key] = self.hot[name] = unit
        if len(self.hot) > HOT:
            self._cool()
        return unit

    def _unpack(self, unit: HeldUnit) -> None:
        """Give a unit its state, from memory or the disk; a damaged one begins anew."""
        packed = self._packed.pop(unit.key, None)
        if packed is None:
            packed = self._store.read(unit.key, self.space)
        else:
            self._bytes -= _cost(packed)
        if packed is None:
            return
        try:
            unit.state = self.kind.load(packed[_LEARNED.size :])
            (unit.learned,) = _LEARNED.unpack_from(packed)
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
        if self._bytes > self._store.memory:
            self._drop_saved()

    def _pack(self, unit: HeldUnit) -> None:
        if unit.state is None:
            return
        packed = packed_of(unit.learned, self.kind.dump(unit.state))
        unit.state, unit.answer = None, None
        self._packed[unit.key] = packed
        self._bytes += _cost(packed)

    def _drop_saved(self) -> None:
        """Drop packed units that are on the disk, oldest first, until the rest have room."""
        # The disk has those that are not dirty, though it may take nothing now.
        if self._bytes <= self._store.memory or self._store.path is None:
            return
        room = self._store.memory * 15 // 16
        for key in tuple(self._packed):
            if self._bytes <= room:
                return
            if key not in self._dirty and key not in self._writing:
                self._bytes -= _cost(self._packed.pop(key))

    def _give_up_rest(self) -> None:
        """Give up the oldest packed units where the disk did not take them."""
        with self._lock:
            if self._bytes <= self._store.memory:
                return
            room, lost = self._store.memory * 15 // 16, 0
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
                    self._store.memory,
                )
            self.lost += lost


class SpaceKeeper(Protocol):
    """What a space needs of the store that it is in.

    Attributes:
        lock: of what is in memory, in all spaces.
        damaged: states that could not be read.
        path: of the file; ``None`` where units are in memory only.
    """

    lock: Lock
    damaged: int
    path: Path | None

    @property
    def memory(self) -> int:
        """Return the bytes that packed states of a space may take."""

    @property
    def keeps(self) -> bool:
        """Return whether the disk takes states now."""

    def key_of(self, name: str) -> bytes:
        """Return the keyed hash of a unit's name."""

    def read(self, key: bytes, space: str) -> bytes | None:
        """Return what the disk has of a unit, packed."""

    def stored(self, space: str) -> Iterator[StoredUnit]:
        """Yield the units of a space that are on the disk."""

    def save(self) -> bool:
        """Write what changed to the disk."""


def _cost(packed: bytes) -> int:
    return len(packed) + OVERHEAD
