"""Where a hub keeps its signed metadata: one protocol for a folder and for a bucket.

Invariants of every store, which ``tests/hub/registry/test_metadata_stores.py`` holds:

* A file appears whole. One with a version in its name never changes once the timestamp leads to it.
* The timestamp is written last; until then devices see what was in force before.
* One publisher works at a time, over all workers, and begins with what is newest then.
* Every root that was ever in force stays: a device of any age follows the chain from its own.
* A change of several files is in force as a whole: of one that was interrupted a note is left, and
  the next publisher completes it first.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, Final, Protocol

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata

from cloud_hub.errors import HubFault, NotFound

TIMESTAMP: Final = "timestamp.json"
PENDING: Final = "pending.json"
"""A change of several files that is under way, by name with their content."""

METADATA_NAME: Final = re.compile(r"timestamp\.json|[1-9]\d{0,15}\.[a-z]{1,20}\.json")


class MetadataStore(Protocol):
    """The files of one repository's metadata, by name."""

    @property
    def place(self) -> str:
        """Where they are, for people."""
        ...

    def raw(self, name: str) -> bytes:
        """Return a file as devices read it; raises NotFound."""
        ...

    def timestamp(self) -> bytes:
        """Return the newest timestamp, at no cost: it may be a second old. Raises NotFound."""
        ...

    def exists(self, name: str) -> bool:
        """Return whether there is a file of this name."""
        ...

    def read(self, name: str) -> Metadata[Any]:
        """Return metadata; raises HubFault if it is missing or damaged."""
        ...

    def newest(self, role: str) -> Metadata[Any]:
        """Return the newest metadata of a role with versions in its name; raises HubFault."""
        ...

    def version(self, role: str) -> int:
        """Return the newest version of ``role`` that was written, 0 if there is none."""
        ...

    def write(self, name: str, raw: bytes) -> None:
        """Write one file.

        Args:
            name: of the file.
            raw: its content.

        Raises:
            Conflict: another publisher was faster, in spite of the lock; it counts, and this does
                not.
        """
        ...

    def commit(self, files: Mapping[str, bytes]) -> None:
        """Write several files as one change, in their order; the lock is held.

        Args:
            files: content by name. Devices see the change with the last one.
        """
        ...

    def locked(self) -> AbstractContextManager[None]:
        """Let one publisher work at a time; what others wrote is seen from then on."""
        ...

    def watch(self) -> None:
        """Keep :meth:`timestamp` new from now on, until :meth:`close`."""
        ...

    def close(self) -> None:
        """End what :meth:`watch` began."""
        ...


def parsed(store: MetadataStore, name: str) -> Metadata[Any]:
    """Return metadata of a store; raises HubFault if it is missing or damaged."""
    try:
        return Metadata.from_bytes(store.raw(name))
    except (NotFound, OSError, RepositoryError) as error:
        raise HubFault(
            f"{store.place}/{name}: expected signed metadata, it is missing or damaged; restore "
            "the metadata of the hub from a backup"
        ) from error


def as_note(files: Mapping[str, bytes]) -> bytes:
    """Return the note of a change of several files."""
    return json.dumps({name: raw.decode() for name, raw in files.items()}).encode()


def noted(place: str, raw: bytes) -> dict[str, bytes]:
    """Return the files of a note.

    Args:
        place: where it lies, for the error.
        raw: the note.

    Raises:
        HubFault: it is damaged.
    """
    try:
        return {name: text.encode() for name, text in json.loads(raw).items()}
    except (ValueError, AttributeError) as error:
        raise HubFault(
            f"{place}: expected a change of keys that was interrupted, it is damaged; restore the "
            "metadata of the hub from a backup"
        ) from error
