"""Files that are either whole or not there: write beside, sync, rename, sync the folder.

What writes imports what it needs for that when it is called: a device that only reads starts 5 ms
sooner without the compression libraries that ``shutil`` and ``tempfile`` bring.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from edge_sdk.system.operating_system import set_mode, sync_folder, sync_path

_CHUNK: Final = 1 << 20
READABLE: Final = 0o644
"""Permissions of reports and pictures: a web server may show them."""


def write_atomic(path: Path, data: bytes | memoryview, *, mode: int = 0o600) -> None:
    """Put ``data`` at ``path``: after a crash there is the old content or the new, never a part.

    Args:
        path: of the file.
        data: all of it.
        mode: its permissions; what is made to be shown to others takes :data:`READABLE`.

    Raises:
        OSError: the folder is missing, full or not writable; nothing is left behind.
    """
    import tempfile

    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            set_mode(file.fileno(), temporary, mode)  # mkstemp gives 0600, whatever the umask
            # Before the rename, or after a power cut the new name may stand for an empty file.
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    fsync_directory(path.parent)


def check_writable(path: Path, *, parents: bool = False) -> None:
    """Find out now whether something could be put at ``path`` after hours of work: make an empty
    file beside it, and take it away.

    Args:
        path: of a file, or of a folder that is yet to be made.
        parents: folders on the way are made when they are needed, so they may be missing.

    Raises:
        OSError: it could not; ``filename`` is ``path``.
    """
    import tempfile

    folder = path.parent
    try:
        while parents and not folder.exists():
            folder = folder.parent
        handle, name = tempfile.mkstemp(dir=folder, prefix=f".{path.name}.", suffix=".tmp")
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None
    os.close(handle)
    Path(name).unlink()
    if path.is_dir() and not parents:
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))


@contextlib.contextmanager
def folder_atomic(path: Path) -> Iterator[Path]:
    """A temporary folder beside ``path`` that becomes ``path`` if the block ends well.

    Raises:
        FileExistsError: ``path`` exists already.
    """
    import shutil
    import tempfile

    if path.exists():
        raise FileExistsError(f"{path} exists already")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp"))
    try:
        yield temporary
        # The files, then their names, then the rename, then the name of the folder: each is
        # durable before what relies on it.
        for file in temporary.iterdir():
            fsync_file(file)
        fsync_directory(temporary)
        temporary.chmod(0o755)
        temporary.rename(path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    fsync_directory(path.parent)


def make_folder(path: Path) -> None:
    """Have a folder at ``path`` that is still there after a power cut.

    Args:
        path: of the folder; those above it are made as well.

    Raises:
        OSError: one cannot be made, or a file is in its place.
    """
    missing = []
    while not path.is_dir():
        missing.append(path)
        path = path.parent
    for folder in reversed(missing):
        folder.mkdir(exist_ok=True)
        # Whatever is synced below it is lost with its name.
        fsync_directory(folder.parent)


def remove(path: Path) -> None:
    """Remove a file or folder as far as the disk lets us; what stays is removed another time."""
    import shutil

    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


def fsync_file(path: Path) -> None:
    """Wait until the content of ``path`` is on the disk."""
    sync_path(path)


def fsync_directory(path: Path) -> None:
    """Wait until the names in the folder ``path`` are on the disk."""
    sync_folder(path)


def sha256_file(path: Path) -> str:
    """Return the hexadecimal SHA-256 of the content of ``path``."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
