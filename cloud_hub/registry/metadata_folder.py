"""Signed metadata as files in a folder; each appears whole, and sets of files may be one change.

Invariants:

* Every root that was ever in force stays: a device of any age follows the chain from its own.
* What :meth:`MetadataFolder.commit` writes is in force as a whole: a process that is killed within
  it leaves a note of the rest, which the next one that takes the lock completes first.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata

from cloud_hub.errors import HubFault, NotFound
from edge_sdk.system.files import fsync_directory, write_atomic

TIMESTAMP: Final = "timestamp.json"
PENDING: Final = "pending.json"
"""Beside the folder: a change of several files that is under way, by name with their content."""


class MetadataFolder:
    """The metadata of one repository on disk.

    Args:
        path: of the folder; its lock and the note of a change under way lie beside it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._pending = path.parent / PENDING
        self._timestamp = path / TIMESTAMP
        self._known: tuple[tuple[int, int, int], bytes] | None = None

    def exists(self, name: str) -> bool:
        """Return whether there is a file of this name."""
        return (self.path / name).exists()

    def raw(self, name: str) -> bytes:
        """Return a file; raises NotFound."""
        path = self.path / name
        if not name.endswith(".json") or "/" in name or not path.is_file():
            raise NotFound(f"metadata {name}: not found")
        return path.read_bytes()

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
        path = self.path / name
        try:
            return Metadata.from_bytes(path.read_bytes())
        except (OSError, RepositoryError) as error:
            raise HubFault(
                f"{path}: expected signed metadata, it is missing or damaged; restore the folder "
                "of the hub from a backup"
            ) from error

    def version(self, role: str) -> int:
        """Return the newest version of ``role`` on disk, 0 if there is none."""
        # The folder is asked and not the snapshot, which lacks what was written just before a kill.
        names = (path.name for path in self.path.glob(f"*.{role}.json"))
        versions = [name.split(".")[0] for name in names]
        return max((int(version) for version in versions if version.isdecimal()), default=0)

    def write(self, name: str, raw: bytes) -> None:
        """Write one file."""
        write_atomic(self.path / name, raw)

    def commit(self, files: Mapping[str, bytes]) -> None:
        """Write several files as one change, in their order.

        Args:
            files: content by name. Devices see the change with the last one.
        """
        note = json.dumps({name: raw.decode() for name, raw in files.items()})
        write_atomic(self._pending, note.encode())
        self.complete()

    def complete(self) -> None:
        """Complete a change that was interrupted, if there is one; the lock is held.

        Raises:
            HubFault: the note of it is damaged.
        """
        try:
            note = json.loads(self._pending.read_text())
            files = {name: text.encode() for name, text in note.items()}
        except FileNotFoundError:
            return
        except (ValueError, AttributeError) as error:
            raise HubFault(
                f"{self._pending}: expected a change of keys that was interrupted, it is damaged; "
                "restore the folder of the hub from a backup"
            ) from error
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
            self.complete()
            yield
        finally:
            os.close(handle)
