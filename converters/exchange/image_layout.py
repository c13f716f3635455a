"""An OCI image layout: artifacts in a folder, as a registry would keep them.

A file is whole or not there, and the index names an artifact last of all.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

from converters.errors import ExchangeError
from converters.exchange.modelpack import (
    ARTIFACT,
    IMAGE_MANIFEST,
    MANIFEST_LIMIT,
    Descriptor,
    digest_of,
)
from converters.exchange.references import LayoutName
from edge_sdk.system.files import READABLE, write_atomic

INDEX: Final = "application/vnd.oci.image.index.v1+json"
REFERENCE: Final = "org.opencontainers.image.ref.name"
CHUNK: Final = 1 << 20


class ImageLayout:
    """One name in a layout; its folder is made when something is put there.

    Args:
        name: says which.
    """

    def __init__(self, name: LayoutName) -> None:
        self._name = name

    def has(self, blob: Descriptor) -> bool:
        """Return whether a blob is there, in its length."""
        path = self._path(blob.digest)
        return path.is_file() and path.stat().st_size == blob.size

    def send(self, blob: Descriptor, content: Path | bytes) -> None:
        """Put a blob there."""
        path = self._path(blob.digest)
        with _on_disk(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, bytes):
                write_atomic(path, content, mode=READABLE)
                return
            partial = path.with_name(f".{path.name}.{os.getpid()}.tmp")
            try:
                with content.open("rb") as source, partial.open("wb") as file:
                    while piece := source.read(CHUNK):
                        file.write(piece)
                    file.flush()
                    os.fsync(file.fileno())
                partial.replace(path)
            finally:
                partial.unlink(missing_ok=True)

    def receive(self, blob: Descriptor, file: IO[bytes], begin: int) -> None:
        """Write the rest of a blob to a file, which has ``begin`` bytes of it."""
        with _on_disk(self._path(blob.digest)), self._path(blob.digest).open("rb") as source:
            source.seek(begin)
            left = blob.size - begin
            while left > 0 and (piece := source.read(min(CHUNK, left))):
                file.write(piece)
                left -= len(piece)

    def put_manifest(self, raw: bytes) -> None:
        """Have the tag name an artifact whose blobs are there."""
        digest = digest_of(raw)
        self.send(Descriptor(IMAGE_MANIFEST, digest, len(raw)), raw)
        named = {
            **Descriptor(IMAGE_MANIFEST, digest, len(raw)).as_json(),
            "artifactType": ARTIFACT, "annotations": {REFERENCE: self._name.tag},
        }  # fmt: skip
        others = [entry for entry in self._entries() if _tag(entry) != self._name.tag]
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [*others, named]}
        folder = self._name.folder
        with _on_disk(folder):
            write_atomic(folder / "oci-layout", b'{"imageLayoutVersion":"1.0.0"}', mode=READABLE)
            write_atomic(folder / "index.json", json.dumps(index, indent=1).encode(), mode=READABLE)

    def manifest(self) -> bytes:
        """Return the image manifest that the tag names, of the digest that the index says."""
        tag, folder = self._name.tag, self._name.folder
        entries = self._entries()
        found = next((entry for entry in entries if _tag(entry) == tag), None)
        if found is None:
            tags = ", ".join(sorted(str(_tag(entry)) for entry in entries)) or "nothing"
            raise ExchangeError(f"{folder}: there is no {tag!r:.60}, but {tags:.200}")
        path = self._path(str(found.get("digest")))
        with _on_disk(path):
            if path.stat().st_size > MANIFEST_LIMIT:
                raise ExchangeError(f"{path}: expected at most {MANIFEST_LIMIT} bytes")
            raw = path.read_bytes()
        if digest_of(raw) != found["digest"]:
            raise ExchangeError(f"{path}: expected {found['digest']}, got {digest_of(raw)}")
        return raw

    def close(self) -> None:
        """Do nothing: no file stays open."""

    def _path(self, digest: str) -> Path:
        algorithm, _, value = digest.partition(":")
        # It becomes a path: nothing but a digest may.
        if algorithm != "sha256" or len(value) != 64 or not set(value) <= set("0123456789abcdef"):
            raise ExchangeError(
                f"{self._name.folder}: expected a sha256 digest, got {digest!r:.90}"
            )
        return self._name.folder / "blobs" / "sha256" / value

    def _entries(self) -> list[dict[str, Any]]:
        path = self._name.folder / "index.json"
        try:
            raw = path.read_bytes()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise ExchangeError(f"{path}: {error.strerror}") from error
        try:
            entries = json.loads(raw)["manifests"]
            return [entry for entry in entries if _tag(entry) is not None]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ExchangeError(f"{path}: expected the index of an OCI layout") from error


def _tag(entry: dict[str, Any]) -> str | None:
    return (entry.get("annotations") or {}).get(REFERENCE)


@contextmanager
def _on_disk(path: Path) -> Iterator[None]:
    """Have errors of the disk be ours."""
    try:
        yield
    except OSError as error:
        raise ExchangeError(f"{path}: {error.strerror}") from error
