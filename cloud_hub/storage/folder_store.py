"""Artifacts as files in a folder, which any web server could serve."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from cloud_hub.errors import Invalid, NotFound
from cloud_hub.storage.artifact_store import Source, check_name, checked_chunks, file_chunks
from edge_sdk.system.files import fsync_directory


class FolderStore:
    """The files below ``folder``, which is made when the first one comes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, name: str, source: Source, *, sha256: str | None = None) -> None:
        """Write to a temporary file, sync it, rename it.

        Args:
            name: relative path.
            source: the content.
            sha256: hexadecimal digest that it must have; ``None`` for any content.

        Raises:
            Invalid: the name is none, or the digest is another one; nothing is stored.
            OSError: the disk is full or not writable; nothing is stored.
        """
        path = self._path(name)
        self._make_folder(path.parent)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".tmp")
        try:
            with os.fdopen(handle, "wb") as file:
                file.writelines(checked_chunks(name, source, sha256))
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        # The rename is not durable without it.
        fsync_directory(path.parent)

    @contextlib.contextmanager
    def open(self, name: str, start: int = 0, stop: int | None = None) -> Iterator[Iterator[bytes]]:
        """Read a range of a file.

        Args:
            name: relative path.
            start: first byte, from 0.
            stop: byte after the last one; default the end.

        Raises:
            NotFound: there is no such file.
        """
        with self._open(name) as file:
            file.seek(start)
            yield file_chunks(file, None if stop is None else max(0, stop - start))

    def size(self, name: str) -> int:
        """Return the bytes of a file; raises NotFound."""
        with self._open(name) as file:
            return os.fstat(file.fileno()).st_size

    def exists(self, name: str) -> bool:
        """Return whether there is such a file."""
        try:
            return self._path(name).is_file()
        except Invalid:
            return False

    def list(self, prefix: str = "") -> Iterator[str]:
        """Return the names of files, in order; see :class:`ArtifactStore`."""
        if ".." in prefix.split("/"):
            return iter(())
        # Only the folder that the prefix names is walked: others may have thousands of files.
        below = self._folder / prefix.rpartition("/")[0]
        files = (path for path in below.rglob("*") if path.is_file())
        names = (path.relative_to(self._folder).as_posix() for path in files)
        return iter(sorted(n for n in names if n.startswith(prefix) and "/." not in f"/{n}"))

    def delete(self, name: str) -> None:
        """Remove a file, if there is one."""
        path = self._path(name)
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            path.unlink()
            fsync_directory(path.parent)

    def public_address(self, name: str) -> str | None:
        """Return ``None``: only this machine sees the folder."""
        return None

    @contextlib.contextmanager
    def local_file(self, name: str) -> Iterator[Path]:
        """Give the file itself; raises NotFound."""
        self._open(name).close()
        yield self._path(name)

    def _path(self, name: str) -> Path:
        return self._folder / check_name(name)

    def _open(self, name: str) -> BinaryIO:
        try:
            return self._path(name).open("rb")
        except (Invalid, FileNotFoundError, NotADirectoryError, IsADirectoryError):
            raise NotFound(f"artifact {name:.200}: not found") from None

    def _make_folder(self, folder: Path) -> None:
        """Make a folder and those above it durable: a file in a lost folder is lost too."""
        missing = []
        while not folder.exists():
            missing.append(folder)
            folder = folder.parent
        for path in reversed(missing):
            path.mkdir(exist_ok=True)
            fsync_directory(path.parent)
