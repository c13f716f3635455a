"""Signed metadata as objects in a bucket, answered from memory.

What :mod:`cloud_hub.registry.metadata_store` asks of every store holds here by these means:

* A file with a version is only ever created. Two publishers who write the same one are told apart
  by the bucket: the second one's content is another, and it has a Conflict.
* The timestamp takes the place of the one that the publisher began with, or of none (an ETag). So
  even a publisher who lost the lock without knowing it, because it stood still, changes nothing.
* Readers go by the timestamp: what a publisher left who was killed before it is not asked for by
  devices, and the next publisher goes on from it.

A worker looks for a new timestamp once a second. Where the bucket does not answer, devices go on
with what is known, and publishing fails with an error.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Final

from cloud_hub.errors import Conflict, HubFault, NotFound
from cloud_hub.registry.metadata_store import (
    METADATA_NAME,
    PENDING,
    TIMESTAMP,
    as_note,
    noted,
    parsed,
)
from cloud_hub.registry.remembered_files import RememberedFiles

if TYPE_CHECKING:
    from tuf.api.metadata import Metadata

    from cloud_hub.storage.bucket import Bucket, Tag

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 1.0
"""From one look for a new timestamp to the next."""


class BucketMetadata:
    """The metadata of one repository in a bucket.

    Args:
        bucket: holds it, and nothing else.
        lock: over all who publish.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        bucket: Bucket,
        lock: Callable[[], AbstractContextManager[None]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._bucket = bucket
        self._lock = lock
        self._clock = clock
        self._files = RememberedFiles(clock, LOOK_SECONDS)
        self._timestamp: tuple[bytes, Tag] | None = None
        self._looked = float("-inf")
        # Held by whoever asks for the timestamp or writes it, or what was asked for before would
        # take the place of what was written since.
        self._looking = threading.RLock()
        self._ended = threading.Event()
        self._watcher: threading.Thread | None = None

    @property
    def place(self) -> str:
        """The place in the bucket."""
        return self._bucket.place

    def raw(self, name: str) -> bytes:
        """Return a file, from memory where it is known; raises NotFound, Unavailable."""
        if name == TIMESTAMP:
            return self.timestamp()
        found = self._files.get(name)
        if found is not None:
            return found
        if not METADATA_NAME.fullmatch(name) or self._files.is_absent(name):
            raise NotFound(f"metadata {name:.200}: not found")
        try:
            raw, _ = self._bucket.get(name)
        except NotFound:
            self._files.note_absent(name)
            raise NotFound(f"metadata {name}: not found") from None
        self._files.put(name, raw)
        return raw

    def timestamp(self) -> bytes:
        """Return the newest timestamp that is known; see :meth:`MetadataStore.timestamp`."""
        known = self._timestamp
        if known is None:
            known = self._look()
        elif self._watcher is None and self._clock() - self._looked >= LOOK_SECONDS:
            known = self._look_if_possible() or known
        if known is None:
            raise NotFound(f"metadata {TIMESTAMP}: not found")
        return known[0]

    def exists(self, name: str) -> bool:
        """Return whether there is such a file; that there is none may be a second old."""
        try:
            self.raw(name)
        except NotFound:
            return False
        return True

    def read(self, name: str) -> Metadata[Any]:
        """Return metadata; raises HubFault if it is missing or damaged."""
        return parsed(self, name)

    def newest(self, role: str) -> Metadata[Any]:
        """Return the newest metadata of a role with versions in its name; raises HubFault."""
        return self.read(f"{max(1, self.version(role))}.{role}.json")

    def version(self, role: str) -> int:
        """Return the newest version of ``role``, from what the timestamp leads to upwards."""
        # A list of all names would grow with every version; what a kill left is next to the newest.
        number = max(self._files.newest(role), self._sealed(role))
        while self.exists(f"{number + 1}.{role}.json"):
            number += 1
        self._files.note_newest(role, number)
        return number

    def write(self, name: str, raw: bytes) -> None:
        """Write one file; raises Conflict if another publisher was faster."""
        if name == TIMESTAMP:
            self._write_timestamp(raw)
        else:
            self._write_versioned(name, raw)

    def commit(self, files: Mapping[str, bytes]) -> None:
        """Write several files as one change; see :meth:`MetadataStore.commit`."""
        self._bucket.put(PENDING, as_note(files))
        self._complete()

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Let one publisher work at a time, who begins with what is newest now."""
        with self._lock():
            self._files.forget_absent()
            self._look()
            self._complete()
            yield

    def watch(self) -> None:
        """Look for a new timestamp once a second from now on."""
        if self._watcher is None:
            self._watcher = threading.Thread(target=self._watch, name="hub-metadata", daemon=True)
            self._watcher.start()

    def close(self) -> None:
        """Look no more."""
        self._ended.set()

    def _sealed(self, role: str) -> int:
        """Return the version of ``role`` that the timestamp leads to; 0 if it leads to none."""
        try:
            self.timestamp()
        except NotFound:
            return 0
        number = int(self.read(TIMESTAMP).signed.snapshot_meta.version)
        if role == "snapshot":
            return number
        listed = self.read(f"{number}.snapshot.json").signed.meta.get(f"{role}.json")
        return int(listed.version) if listed is not None else 0

    def _write_timestamp(self, raw: bytes) -> None:
        with self._looking:
            before = self._timestamp
            instead_of = before[1] if before is not None else None
            try:
                tag = self._bucket.put(TIMESTAMP, raw, create=before is None, instead_of=instead_of)
            except Conflict:
                # An answer that was lost, and the request sent again, looks the same: it is ours.
                now = self._look()
                if now is None or now[0] != raw:
                    raise Conflict(
                        f"{self.place}: somebody else published meanwhile, and nothing of this is "
                        "seen; try again"
                    ) from None
                return
            self._believe(raw, tag)

    def _write_versioned(self, name: str, raw: bytes) -> None:
        # Until the first timestamp is there, an interrupted beginning is begun anew.
        begun = self._timestamp is not None
        try:
            self._bucket.put(name, raw, create=begun)
        except Conflict:
            if self._bucket.get(name)[0] != raw:
                raise Conflict(
                    f"{self.place}/{name}: somebody else published meanwhile; try again"
                ) from None
        self._files.put(name, raw)

    def _complete(self) -> None:
        """Complete a change that was interrupted, if there is one; the lock is held."""
        try:
            note, _ = self._bucket.get(PENDING)
        except NotFound:
            return
        try:
            for name, raw in noted(f"{self.place}/{PENDING}", note).items():
                self.write(name, raw)
        except Conflict:
            # Another publisher was faster, so the timestamp of this change is never written; what
            # is not in force is forgotten, or it would stand in everybody's way.
            self._bucket.delete(PENDING)
            raise
        self._bucket.delete(PENDING)

    def _look(self) -> tuple[bytes, Tag] | None:
        """Ask for the timestamp; raises Unavailable."""
        with self._looking:
            known = self._timestamp
            try:
                found = (
                    self._bucket.get(TIMESTAMP)
                    if known is None
                    else self._bucket.get_other(TIMESTAMP, known[1])
                )
            except NotFound:
                found = None
            self._looked = self._clock()
            if found is not None and (known is None or found[0] != known[0]):
                self._believe(*found)
            return self._timestamp

    def _look_if_possible(self) -> tuple[bytes, Tag] | None:
        """The same, unless another thread does already, or the bucket does not answer."""
        if not self._looking.acquire(blocking=False):
            return None
        try:
            return self._look()
        except HubFault as error:
            log.warning("devices are answered from memory; %s", error)
            self._looked = self._clock()
            return None
        finally:
            self._looking.release()

    def _believe(self, raw: bytes, tag: Tag) -> None:
        self._files.forget_absent()
        self._timestamp = raw, tag

    def _watch(self) -> None:
        while not self._ended.wait(LOOK_SECONDS):
            self._look_if_possible()
