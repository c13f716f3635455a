"""Content-addressed files: uploads before they are published, and what is never published."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from cloud_hub.errors import Invalid, NotFound, TooLarge
from edge_sdk.contract.limits import MODEL_BYTES
from edge_sdk.contract.names import check_digest
from edge_sdk.system.files import write_atomic


class BlobStore:
    """Blobs by SHA-256 in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, raw: bytes) -> str:
        """Keep ``raw``; its SHA-256."""
        digest = hashlib.sha256(raw).hexdigest()
        path = self._path(digest)
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(path, raw)
        return digest

    def put_checked(self, digest: str, chunks: Iterable[bytes]) -> None:
        """Keep an upload that must have this SHA-256.

        Raises:
            TooLarge: more than a model may have.
            Invalid: it is something else.
        """
        check_digest("blob", digest)
        raw = b""
        for chunk in chunks:
            raw += chunk
            if len(raw) > MODEL_BYTES:
                raise TooLarge(f"blob: expected at most {MODEL_BYTES} bytes")
        found = hashlib.sha256(raw).hexdigest()
        if found != digest:
            raise Invalid(f"blob: expected SHA-256 {digest}, got {found}")
        self.put(raw)

    def exists(self, digest: str) -> bool:
        """Whether the blob is there."""
        return self._path(digest).exists()

    def get(self, digest: str) -> bytes:
        """The content.

        Raises:
            NotFound: there is none.
        """
        try:
            return self._path(digest).read_bytes()
        except FileNotFoundError:
            raise NotFound(f"blob {digest}: not found; upload it first") from None

    def _path(self, digest: str) -> Path:
        return self._folder / digest[:2] / digest
