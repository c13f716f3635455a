"""Takes files from a worker's folder, in which the worker could have put anything.

Invariant: what is taken is a copy of a plain file of at most a stated size, below the folder. No
link is followed, nothing is opened by a name that the worker could exchange meanwhile, and no
descriptor of the worker's points to the copy.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from cloud_hub.errors import Invalid
from edge_sdk.contract.errors import ContractError
from edge_sdk.contract.names import check_name

_CHUNK: Final = 1 << 20
_SAFE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Handback:
    """A folder that is open; see :func:`opened`."""

    def __init__(self, handle: int, name: str) -> None:
        self._handle = handle
        self._name = name

    @contextlib.contextmanager
    def folder(self, name: str) -> Iterator[Handback]:
        """Open a folder in it; raises Invalid."""
        with _entered(name, self._handle) as handle:
            yield Handback(handle, f"{self._name}{name}/")

    def read(self, name: str, limit: int) -> bytes | None:
        """Return the content of a file, ``None`` if it is not there.

        Args:
            name: in this folder.
            limit: largest size in bytes.

        Raises:
            Invalid: it is no plain file, or larger.
        """
        with self._file(name, limit) as handle:
            return None if handle is None else b"".join(self._chunks(handle, name, limit))

    def copy(self, name: str, to: Path, limit: int) -> bool:
        """Copy a file; return whether it is there.

        Args:
            name: in this folder.
            to: path of the copy.
            limit: largest size in bytes.

        Raises:
            Invalid: it is no plain file, or larger.
        """
        with self._file(name, limit) as handle:
            if handle is None:
                return False
            with to.open("xb") as file:
                for chunk in self._chunks(handle, name, limit):
                    file.write(chunk)
        return True

    @contextlib.contextmanager
    def _file(self, name: str, limit: int) -> Iterator[int | None]:
        shown = f"{self._name}{name:.80}"
        try:
            check_name("file", name)
            # Not blocking: a named pipe would keep the hub waiting.
            handle = os.open(name, _SAFE, dir_fd=self._handle)
        except FileNotFoundError:
            yield None
            return
        except (OSError, ContractError) as error:
            raise _refused(shown, str(getattr(error, "strerror", None) or error)) from error
        try:
            state = os.fstat(handle)
            if not stat.S_ISREG(state.st_mode):
                raise _refused(shown, "it is no plain file")
            # Another name of this content could be a file of somebody else's.
            if state.st_nlink != 1:
                raise _refused(shown, "it has other names too (hard links)")
            if state.st_size > limit:
                raise _refused(shown, f"{state.st_size} bytes, at most {limit} are taken")
            yield handle
        finally:
            os.close(handle)

    def _chunks(self, handle: int, name: str, limit: int) -> Iterator[bytes]:
        size = 0
        while chunk := os.read(handle, _CHUNK):
            size += len(chunk)
            if size > limit:  # it has grown since it was looked at
                raise _refused(f"{self._name}{name}", f"more than {limit} bytes")
            yield chunk


@contextlib.contextmanager
def opened(folder: Path) -> Iterator[Handback]:
    """Open the folder of a worker that has ended; raises Invalid."""
    with _entered(str(folder), None) as handle:
        yield Handback(handle, "")


@contextlib.contextmanager
def _entered(name: str, above: int | None) -> Iterator[int]:
    try:
        handle = os.open(name, _SAFE | os.O_DIRECTORY, dir_fd=above)
    except OSError as error:
        raise _refused(name, error.strerror or "cannot be opened") from error
    try:
        yield handle
    finally:
        os.close(handle)


def printable(text: str, limit: int) -> str:
    """Return what foreign code says, cut, as text that every database and terminal takes."""
    shown = "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text[:limit])
    return shown.encode("utf-8", "replace").decode()


def _refused(name: str, reason: str) -> Invalid:
    return Invalid(f"the training left {name}: expected a plain file of its own; {reason}")
