"""Content by its SHA-256: uploads before they are published, and what is never published."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from cloud_hub.errors import NotFound, TooLarge
from cloud_hub.storage.artifact_store import ArtifactStore, chunks_of, read
from edge_sdk.contract.limits import MODEL_BYTES
from edge_sdk.contract.names import check_digest


class BlobStore:
    """Blobs in an artifact store, each named by its SHA-256."""

    def __init__(self, store: ArtifactStore) -> None:
        self._store = store

    def put(self, source: bytes | Path) -> str:
        """Store content, or that of a file; return its SHA-256."""
        digest = _digest(source)
        if not self.exists(digest):
            self._store.put(_name(digest), source, sha256=digest)
        return digest

    def put_checked(self, digest: str, chunks: Iterable[bytes]) -> None:
        """Store an upload that must have this SHA-256.

        Raises:
            TooLarge: more than a model may have.
            Invalid: it is something else.
            ContractError: ``digest`` is no SHA-256.
        """
        self._store.put(_name(digest), _bounded(chunks), sha256=digest)

    def exists(self, digest: str) -> bool:
        """Return whether the blob is there; raises ContractError for what is no SHA-256."""
        return self._store.exists(_name(digest))

    def delete(self, digest: str) -> None:
        """Remove a blob that nothing names any more; none is no error."""
        self._store.delete(_name(digest))

    def get(self, digest: str) -> bytes:
        """Return the content of a blob; raises NotFound, ContractError for what is no SHA-256."""
        try:
            return read(self._store, _name(digest))
        except NotFound:
            raise NotFound(f"blob {digest}: not found; upload it first") from None


def _name(digest: str) -> str:
    check_digest("blob", digest)  # it becomes a path
    # A folder for each first byte: file systems slow down with many thousands of files in one.
    return f"{digest[:2]}/{digest}"


def _digest(source: bytes | Path) -> str:
    digest = hashlib.sha256()
    for chunk in chunks_of(source):
        digest.update(chunk)
    return digest.hexdigest()


def _bounded(chunks: Iterable[bytes]) -> Iterator[bytes]:
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size > MODEL_BYTES:
            raise TooLarge(f"blob: expected at most {MODEL_BYTES} bytes")
        yield chunk
