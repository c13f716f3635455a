"""A store without files: it shows that the hub needs no more than the protocol."""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from cloud_hub.errors import Invalid, NotFound
from cloud_hub.storage.artifact_store import CHUNK, Source, check_name, chunks_of


class MemoryStore:
    """Artifacts in a dictionary."""

    def __init__(self) -> None:
        self._contents: dict[str, bytes] = {}

    def put(self, name: str, source: Source, *, sha256: str | None = None) -> None:
        check_name(name)
        content = b"".join(chunks_of(source))
        digest = hashlib.sha256(content).hexdigest()
        if sha256 not in (None, digest):
            raise Invalid(f"{name}: expected SHA-256 {sha256}, got {digest}")
        self._contents[name] = content

    @contextlib.contextmanager
    def open(self, name: str, start: int = 0, stop: int | None = None) -> Iterator[Iterator[bytes]]:
        content = self._content(name)[start:stop]
        yield (content[at : at + CHUNK] for at in range(0, len(content), CHUNK))

    def size(self, name: str) -> int:
        return len(self._content(name))

    def exists(self, name: str) -> bool:
        return name in self._contents

    def list(self, prefix: str = "") -> Iterator[str]:
        return iter(sorted(name for name in self._contents if name.startswith(prefix)))

    def delete(self, name: str) -> None:
        self._contents.pop(check_name(name), None)

    def public_address(self, name: str) -> str | None:
        return None

    @contextlib.contextmanager
    def local_file(self, name: str) -> Iterator[Path]:
        content = self._content(name)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "content"
            file.write_bytes(content)
            yield file

    def _content(self, name: str) -> bytes:
        try:
            return self._contents[name]
        except KeyError:
            raise NotFound(f"artifact {name:.200}: not found") from None
