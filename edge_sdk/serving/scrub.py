"""The files of one release that serves, read again while it does: what the disk damages is found.

Invariants:

* A step reads about :data:`STEP_BYTES` and gives up the GIL meanwhile; nobody waits for it.
* Damage is found once and stays: only another opening of the files forgets it.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from edge_sdk.contract.manifest import MANIFEST

if TYPE_CHECKING:
    from pathlib import Path

    from edge_sdk.model.release import Release
    from edge_sdk.packs.reader import Pack

STEP_BYTES: Final = 1 << 20
AGAIN_SECONDS: Final = 86_400.0
"""Seconds from the end of one reading to the next: disks go on ageing."""


class Scrub:
    """The check of a release's files and of its packs.

    Args:
        release: that serves.
        pack: opened pack of answers, or ``None``.
        features: opened pack of features, or ``None``.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        release: Release,
        pack: Pack | None = None,
        features: Pack | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        packs = {"pack": pack, "features": features}
        self._release = release
        self._packs = {name: opened for name, opened in packs.items() if opened is not None}
        self._clock = clock
        self._watched: dict[str, tuple[Path, str]] = {}
        self._found: dict[str, str] = {}
        self._told: set[str] = set()
        self._steps: Iterator[int] | None = self._read_all()
        self._again_at = 0.0
        self._reading = threading.Lock()

    @property
    def damage(self) -> dict[str, str]:
        """Return what was found damaged, by the name of the file."""
        touched = {name: pack.damage for name, pack in self._packs.items()}
        return self._found | {name: what for name, what in touched.items() if what is not None}

    def add(self, name: str, what: str) -> None:
        """Note damage that was found otherwise, as by opening a file."""
        self._found[name] = what

    def watch(self, name: str, path: Path, sha256: str) -> None:
        """Read the file at ``path`` too, from the next reading on.

        Args:
            name: of it, in :attr:`damage`.
            path: file that belongs to the release.
            sha256: that it must have.
        """
        self._watched[name] = (path, sha256)

    def news(self) -> dict[str, str]:
        """Return the damage that was not returned before."""
        damage = self.damage
        new = {name: damage[name] for name in damage.keys() - self._told}
        self._told |= new.keys()
        return new

    def step(self) -> bool:
        """Read some more; return whether anything is left to read for now."""
        if not self._reading.acquire(blocking=False):
            return True  # another thread does, as a sync beside the telemetry thread
        try:
            if self._steps is None:
                if self._clock() < self._again_at:
                    return False
                self._steps = self._read_all()
            if next(self._steps, None) is not None:
                return True
            self._steps, self._again_at = None, self._clock() + AGAIN_SECONDS
            return False
        finally:
            self._reading.release()

    def _read_all(self) -> Iterator[int]:
        files = {name: ref.sha256 for name, ref in self._release.files.items()}
        for name, sha256 in {MANIFEST: self._release.digest, **files}.items():
            yield from self._read(self._release.folder / name, name, sha256)
        for name, (path, sha256) in self._watched.items():
            yield from self._read(path, name, sha256)
        for pack in self._packs.values():
            try:
                yield from pack.steps()
            except ValueError:  # closed meanwhile
                return

    def _read(self, path: Path, name: str, sha256: str) -> Iterator[int]:
        digest = hashlib.sha256()
        try:
            with path.open("rb", buffering=0) as file:
                while chunk := file.read(STEP_BYTES):
                    digest.update(chunk)
                    yield len(chunk)
        except OSError as error:
            self.add(name, f"{path}: cannot be read; {error.strerror}")
            return
        if digest.hexdigest() != sha256:
            self.add(name, f"{path}: its content is damaged (SHA-256 differs)")
