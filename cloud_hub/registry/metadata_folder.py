"""Signed metadata as files in a folder; each appears whole, and sets of files may be one change.

:mod:`cloud_hub.registry.metadata_store` says what holds for it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from tuf.api.metadata import Metadata

from cloud_hub.errors import NotFound
from cloud_hub.registry.metadata_store import (
    METADATA_NAME,
    PENDING,
    TIMESTAMP,
    as_note,
    noted,
    parsed,
)
from edge_sdk.system.files import fsync_directory, write_atomic


class MetadataFolder:
    """The metadata of one repository on disk.

    Args:
        path: of the folder; its lock and the note of a change under way lie beside it.
        lock: over the workers of the hub on other machines, if there can be any.
    """

    def __init__(
        self,
        path: Path,
        lock: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext,
    ) -> None:
        self.path = path
        self._lock = lock
        self._pending = path.parent / PENDING
        self._timestamp = path / TIMESTAMP
        self._known: tuple[tuple[int, int, int], bytes] | None = None

    @property
    def place(self) -> str:
        """The folder."""
        return str(self.path)

    def exists(self, name: str) -> bool:
        """Return whether there is a file of this name."""
        return (self.path / name).exists()

    def raw(self, name: str) -> bytes:
        """Return a file; raises NotFound."""
        with contextlib.suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError):
            if METADATA_NAME.fullmatch(name):
                return (self.path / name).read_bytes()
        raise NotFound(f"metadata {name:.200}: not found")

    def timestamp(self) -> bytes:
        """Return the newest timestamp, read anew only when it is another one; raises NotFound."""
        try:
            # Each is a file of its own that took the other's place, by whichever process.
            at = self._timestamp.stat()
        except OSError as error:
            raise NotFound(f"metadata {TIMESTAMP}: not found") from error
        stamp = (at.st_ino, at.st_mtime_ns, at.st_size)
        known = self._known
        if known is None or known[0] != stamp:
            self._known = known = (stamp, self.raw(TIMESTAMP))
        return known[1]

    def newest(self, role: str) -> Metadata[Any]:
        """Return the newest metadata of a role with versions in its name; raises HubFault."""
        return self.read(f"{max(1, self.version(role))}.{role}.json")

    def read(self, name: str) -> Metadata[Any]:
        """Return metadata on disk; raises HubFault if it is missing or damaged."""
        return parsed(self, name)

    def version(self, role: str) -> int:
        """Return the newest version of ``role`` on disk, 0 if there is none."""
        # The folder is asked and not the snapshot, which lacks what was written just before a kill.
        names = (path.name for path in self.path.glob(f"*.{role}.json"))
        versions = [name.split(".")[0] for name in names]
        return max((int(version) for version in versions if version.isdecimal()), default=0)

    def write(self, name: str, raw: bytes) -> None:
        """Write one file."""
        self.path.mkdir(parents=True, exist_ok=True)
        write_atomic(self.path / name, raw)

    def commit(self, files: Mapping[str, bytes]) -> None:
        """Write several files as one change, in their order.

        Args:
            files: content by name. Devices see the change with the last one.
        """
        write_atomic(self._pending, as_note(files))
        self.complete()

    def complete(self) -> None:
        """Complete a change that was interrupted, if there is one; the lock is held.

        Raises:
            HubFault: the note of it is damaged.
        """
        try:
            files = noted(str(self._pending), self._pending.read_bytes())
        except FileNotFoundError:
            return
        for name, raw in files.items():
            self.write(name, raw)
        self._pending.unlink()
        fsync_directory(self._pending.parent)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Let one publisher work at a time, over all processes of this folder."""
        handle = os.open(self.path.parent / "lock", os.O_RDWR | os.O_CREAT)
        try:
            # A lock of the system ends with its process, however that ends; a file would stay.
            fcntl.flock(handle, fcntl.LOCK_EX)
            with self._lock():
                self.complete()
                yield
        finally:
            os.close(handle)

    def watch(self) -> None:
        """Do nothing: a look at the disk costs nothing."""

    def close(self) -> None:
        """Do nothing."""
