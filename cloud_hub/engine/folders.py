"""Folders that travel: as bytes and back, plain files alone, and what is to be done on one."""

from __future__ import annotations

import io
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cloud_hub.errors import HubFault, TooLarge

MOST_BYTES: Final = 4 << 30
"""Bytes of a folder that travels: it is in memory as a whole."""

LOG, ENDED, FOLDER = "log.txt", "ended.json", "left"
"""What comes back of a process on a node: its output, its end, what it left."""


@dataclass(frozen=True)
class FolderOrder:
    """A process of this package that works on a folder, on a node.

    Attributes:
        module: to be run in the folder.
        seconds: that it may take.
        memory_mb: that it may hold in RAM.
        folder_bytes: that it may write.
        foreign: it loads what others than the operator made.
        seed: of the order of Python's sets.
        network: it may use the network.
        trust_pipelines: it may run even where nothing isolates it.
        takes: names at the top of the folder that are brought back.
    """

    module: str
    seconds: float
    memory_mb: int
    folder_bytes: int
    foreign: bool
    seed: int
    network: bool
    trust_pipelines: bool
    takes: tuple[str, ...]


@dataclass(frozen=True)
class FolderEnd:
    """How such a process ended: see :class:`cloud_hub.isolation.workers.WorkerProcess`."""

    broke: str
    peak_mb: int
    ended: str
    isolation: str


def packed_folder(folder: Path, only: Collection[str] | None = None) -> bytes:
    """Return the plain files below a folder; the same files give the same bytes.

    Args:
        folder: its links, and files that have other names too, are left out.
        only: names at its top that are packed; ``None``: all.

    Raises:
        TooLarge: there is more than can travel.
    """
    import tarfile  # brings compression of three kinds

    raw, total = io.BytesIO(), 0
    with tarfile.open(fileobj=raw, mode="w") as archive:
        for path in _below(folder, only):
            name = path.relative_to(folder)
            entry = tarfile.TarInfo(name.as_posix())
            entry.mode = 0o700 if path.is_dir() else 0o600
            if path.is_dir():
                entry.type = tarfile.DIRTYPE
                archive.addfile(entry)
            elif path.is_file() and path.stat().st_nlink == 1:
                entry.size = path.stat().st_size
                total += entry.size
                if total > MOST_BYTES:
                    raise TooLarge(f"{folder.name}: more than {MOST_BYTES >> 30} GB to be sent")
                with path.open("rb") as file:
                    archive.addfile(entry, file)
    return raw.getvalue()


def _below(folder: Path, only: Collection[str] | None) -> Iterator[Path]:
    tops = [path for path in sorted(folder.iterdir()) if only is None or path.name in only]
    for top in tops:
        if top.is_symlink():
            continue
        yield top
        if top.is_dir():
            yield from (path for path in sorted(top.rglob("*")) if not path.is_symlink())


def unpack_folder(raw: bytes, folder: Path) -> None:
    """Write the files of :func:`packed_folder` below a folder.

    Raises:
        HubFault: they are damaged, or would lie elsewhere.
    """
    import tarfile

    try:
        with tarfile.open(fileobj=io.BytesIO(raw), mode="r:") as archive:
            # The filter refuses links, devices and paths that lead out of the folder.
            archive.extractall(folder, filter="data")
    except (tarfile.TarError, OSError) as error:
        raise HubFault(f"{folder}: what was sent cannot be unpacked; {error}") from error
