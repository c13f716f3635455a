"""A disk behind a cache that loses what nobody synced: pure, and as unkind as POSIX allows.

Invariants:

* Data of a file is on the disk from the next ``fsync`` of that file on, a name from the next
  ``fsync`` of each folder that its change touched. Nothing else makes it durable: neither time,
  nor a rename, nor the ``fsync`` of a file its name.
* What is not durable may be lost or not, in any combination of :data:`LOSSES`: data without names
  (a file that nobody finds), names without data (a whole name on an empty file), halves of writes.
* Changes of one folder's names keep their order, as journals of all Linux file systems have it.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

ROOT: Final = 0
"""Number of the folder at the top."""


@dataclass(frozen=True)
class Write:
    """``data`` at ``offset`` of a file."""

    file: int
    offset: int
    data: bytes


@dataclass(frozen=True)
class Resize:
    """A file gets another length."""

    file: int
    length: int


@dataclass(frozen=True)
class Names:
    """Names that change in one step, each (folder, name, file or folder; ``None`` takes it away).

    Attributes:
        changes: of a rename there are two.
        made: number of a folder that comes into being with its name.
        link: content of a symbolic link that does.
    """

    changes: tuple[tuple[int, str, int | None], ...]
    made: int | None = None
    link: str | None = None

    @property
    def folders(self) -> frozenset[int]:
        """Return the folders whose sync makes it durable."""
        return frozenset(folder for folder, _, _ in self.changes)


@dataclass(frozen=True)
class Sync:
    """``fsync`` of a file or folder."""

    number: int


Operation = Write | Resize | Names | Sync
Change = Write | Resize | Names


@dataclass
class Tree:
    """Files and folders by number; numbers are given by whoever makes them."""

    files: dict[int, bytes] = field(default_factory=dict)
    folders: dict[int, dict[str, int]] = field(default_factory=lambda: {ROOT: {}})
    links: dict[int, str] = field(default_factory=dict)

    def copy(self) -> Tree:
        folders = {number: dict(names) for number, names in self.folders.items()}
        return Tree(dict(self.files), folders, dict(self.links))

    def apply(self, operation: Operation) -> None:
        """Let an operation take place."""
        if isinstance(operation, Write):
            old = self.files.get(operation.file, b"").ljust(operation.offset, b"\0")
            end = operation.offset + len(operation.data)
            self.files[operation.file] = old[: operation.offset] + operation.data + old[end:]
        elif isinstance(operation, Resize):
            old = self.files.get(operation.file, b"")[: operation.length]
            self.files[operation.file] = old.ljust(operation.length, b"\0")
        elif isinstance(operation, Names):
            self._rename(operation)

    def _rename(self, names: Names) -> None:
        if names.made is not None:
            self.folders.setdefault(names.made, {})
        for folder, name, number in names.changes:
            if names.link is not None and number is not None:
                self.links[number] = names.link
            if number is None:
                self.folders.setdefault(folder, {}).pop(name, None)
            else:
                self.folders.setdefault(folder, {})[name] = number

    def write(self, path: Path, folder: int = ROOT) -> None:
        """Make it a real folder at ``path``."""
        path.mkdir(parents=True, exist_ok=True)
        for name, number in self.folders[folder].items():
            if number in self.folders:
                self.write(path / name, number)
            elif number in self.links:
                (path / name).symlink_to(self.links[number])
            else:
                (path / name).write_bytes(self.files.get(number, b""))

    def digest(self, folder: int = ROOT) -> str:
        """Return a digest of all that can be reached."""
        found = hashlib.sha256()
        for name, number in sorted(self.folders[folder].items()):
            if number in self.folders:
                content = self.digest(number).encode()
            else:
                content = self.links.get(number, "").encode() + self.files.get(number, b"")
            found.update(f"{name!r} {len(content)} ".encode() + content)
        return found.hexdigest()


Loss = Callable[[Sequence[Change], int], list[Change]]
"""What is left of changes that nobody synced; the number makes chance repeatable."""


def _nothing(pending: Sequence[Change], seed: int) -> list[Change]:
    return []


def _names_alone(pending: Sequence[Change], seed: int) -> list[Change]:
    return [change for change in pending if isinstance(change, Names)]


def _data_alone(pending: Sequence[Change], seed: int) -> list[Change]:
    return [change for change in pending if not isinstance(change, Names)]


def _first_half(pending: Sequence[Change], seed: int) -> list[Change]:
    return list(pending[: (len(pending) + 1) // 2])


def _torn(pending: Sequence[Change], seed: int) -> list[Change]:
    """Everything, but half of the last write."""
    left = list(pending)
    for i, change in reversed(list(enumerate(left))):
        if isinstance(change, Write):
            half = change.data[: len(change.data) // 2]
            left[i] = Write(change.file, change.offset, half)
            break
    return left


def _any(pending: Sequence[Change], seed: int) -> list[Change]:
    """Any of the data; of each folder's names the first ones."""
    chance = random.Random(seed)
    until: dict[frozenset[int], int] = {}
    left: list[Change] = []
    for i, change in enumerate(pending):
        if isinstance(change, Names):
            last = until.setdefault(change.folders, chance.randrange(len(pending) + 1))
            if i < last:
                left.append(change)
        elif chance.random() < 0.5:
            left.append(change)
    return left


LOSSES: Final[Mapping[str, Loss]] = {
    "all of it lost": _nothing,
    "names kept, data lost": _names_alone,
    "data kept, names lost": _data_alone,
    "the first half kept": _first_half,
    "the last write torn": _torn,
    "some of it lost": _any,
}


def crash_state(start: Tree, operations: Sequence[Operation], loss: Loss, seed: int) -> Tree:
    """Return what is on the disk if the power ends after ``operations``.

    Args:
        start: what was on the disk before them.
        operations: in their order.
        loss: what becomes of those that nobody synced.
        seed: of its chance.
    """
    synced: dict[int, int] = {}
    for i, operation in enumerate(operations):
        if isinstance(operation, Sync):
            synced[operation.number] = i
    changes = [(i, o) for i, o in enumerate(operations) if not isinstance(o, Sync)]
    pending = [change for i, change in changes if not _durable(change, i, synced)]
    # By identity: two writes of the same bytes are two operations.
    left = {id(change) for change in pending}
    kept = loss(pending, seed)
    torn = {id(old): new for old, new in _replaced(pending, kept)}
    stays = {id(change) for change in kept} | set(torn)
    tree = start.copy()
    for _, change in changes:
        if id(change) not in left or id(change) in stays:
            tree.apply(torn.get(id(change), change))
    return tree


def _replaced(pending: Sequence[Change], kept: Sequence[Change]) -> Iterator[tuple[Change, Change]]:
    """Yield the changes of which a part was kept."""
    if len(pending) == len(kept):
        yield from ((o, n) for o, n in zip(pending, kept, strict=True) if o is not n)


def _durable(change: Change, at: int, synced: Mapping[int, int]) -> bool:
    needs = change.folders if isinstance(change, Names) else (change.file,)
    return all(synced.get(number, -1) > at for number in needs)


def every_crash(
    start: Tree, operations: Sequence[Operation], world: Sequence[int] = ()
) -> Iterator[tuple[int, str, Tree]]:
    """Yield every different state that a power cut may leave.

    Args:
        start: what was on the disk before the operations.
        operations: in their order.
        world: for each number of operations, a number for all that is not on the disk; states of
            different worlds differ.

    Yields:
        After how many operations, what was lost, and what is left. States after the last operation
        are all there: more is expected of them.
    """
    seen: set[tuple[int, int, str]] = set()
    for at in range(len(operations) + 1):
        around = world[at] if world else 0
        for name, loss in LOSSES.items():
            tree = crash_state(start, operations[:at], loss, at)
            key = (at == len(operations), around, tree.digest())
            if key not in seen:
                seen.add(key)
                yield at, name, tree
