"""The seam between the hub and where it stores artifacts.

Invariants that every implementation holds, and ``tests/hub/storage`` tests:

* An artifact is there whole or not at all; a reader that began before it was replaced or deleted
  reads on what it began with.
* What :meth:`ArtifactStore.put` returned from is durable.
* Names are relative paths with ``/``. No name reaches outside of the store, and those of artifacts
  that are being written are never listed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO, Final, Protocol

from cloud_hub.errors import Invalid

CHUNK: Final = 1 << 20
"""Bytes that are read or written at once."""

Source = bytes | Path | Iterable[bytes]
"""Content to store: all of it, a file, or chunks."""


class ArtifactStore(Protocol):
    """Named immutable contents, of which a range can be read."""

    def put(self, name: str, source: Source, *, sha256: str | None = None) -> None:
        """Store content under a name, in place of what has it.

        Args:
            name: relative path.
            source: the content.
            sha256: hexadecimal digest that it must have; ``None`` for any content.

        Raises:
            Invalid: the name is none, or the digest is another one; nothing is stored.
        """
        ...

    def open(
        self, name: str, start: int = 0, stop: int | None = None
    ) -> AbstractContextManager[Iterator[bytes]]:
        """Give the bytes from ``start`` up to ``stop`` (default: the end), in chunks.

        Args:
            name: relative path.
            start: first byte, from 0.
            stop: byte after the last one.

        Raises:
            NotFound: no artifact has the name; when the block is entered.
        """
        ...

    def size(self, name: str) -> int:
        """Return the bytes of an artifact; raises NotFound."""
        ...

    def exists(self, name: str) -> bool:
        """Return whether an artifact has the name; a name that could be none is no error."""
        ...

    def list(self, prefix: str = "") -> Iterator[str]:
        """Return the names that begin with ``prefix``, in order."""
        ...

    def delete(self, name: str) -> None:
        """Remove an artifact; none is no error."""
        ...

    def public_address(self, name: str) -> str | None:
        """Return a URL from which a device may download, or ``None`` if only the hub can read it.

        It ends or is signed as the store requires; the caller does not remember it.
        """
        ...

    def local_file(self, name: str) -> AbstractContextManager[Path]:
        """Give a file with the content while a block runs; raises NotFound."""
        ...


def read(store: ArtifactStore, name: str) -> bytes:
    """Return all of an artifact; raises NotFound."""
    with store.open(name) as chunks:
        return b"".join(chunks)


def check_name(name: str) -> str:
    """Return ``name`` if it may name an artifact; raises Invalid."""
    # An empty part: a leading, trailing or double slash. A dot begins ".." and hidden files.
    wrong = any(not part or part.startswith(".") or len(part) > 255 for part in name.split("/"))
    if wrong or "\0" in name:
        raise Invalid(
            f"artifact: expected a relative path such as models/x/file, got {name!r:.200}"
        )
    return name


def chunks_of(source: Source) -> Iterator[bytes]:
    """Return the content in pieces that fit in memory."""
    if isinstance(source, bytes):
        yield source
    elif isinstance(source, Path):
        with source.open("rb") as file:
            yield from file_chunks(file)
    else:
        yield from source


def checked_chunks(name: str, source: Source, sha256: str | None) -> Iterator[bytes]:
    """Return the content in pieces; raises Invalid after the last one if it has another digest.

    Args:
        name: of the artifact, for the error.
        source: the content.
        sha256: hexadecimal digest that it must have; ``None`` for any content.
    """
    digest = hashlib.sha256()
    for chunk in chunks_of(source):
        digest.update(chunk)
        yield chunk
    if sha256 is not None and digest.hexdigest() != sha256:
        raise Invalid(f"{name}: expected SHA-256 {sha256}, got {digest.hexdigest()}")


def file_chunks(file: BinaryIO, count: int | None = None) -> Iterator[bytes]:
    """Read an open file from where it stands: ``count`` bytes, or to its end."""
    while count is None or count > 0:
        chunk = file.read(CHUNK if count is None else min(CHUNK, count))
        if not chunk:
            return
        yield chunk
        if count is not None:
            count -= len(chunk)
