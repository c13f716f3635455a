"""The files of a training's code: read without following links, named by one digest, packed.

Kept are all files of the folder while they are few and small; of a folder that holds more only
code and lock files are. Hidden files and folders, virtual environments and caches are left out.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import stat
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from cloud_hub.errors import Invalid

MOST_FILES: Final = 5_000
MOST_BYTES: Final = 64 << 20
LARGEST: Final = 8 << 20
"""Bytes of one file that is kept; a larger one is data."""

LOOKED_AT: Final = 200_000
"""Files that a folder may have before it cannot be one of code."""

CODE: Final = frozenset(
    {
        ".py", ".pyi", ".pyx", ".toml", ".txt", ".lock", ".cfg", ".ini", ".yaml", ".yml", ".json",
        ".sh", ".sql", ".r", ".jl", ".ipynb", ".md",
    }
)  # fmt: skip
"""Endings of files of code and configuration."""

LOCKS: Final = ("requirements", "poetry.lock", "uv.lock", "pdm.lock", "pylock", "conda-lock",
                "pyproject.toml", "Pipfile.lock", "environment.yml")  # fmt: skip
"""Beginnings of the names of files that pin packages."""

_LEFT_OUT: Final = frozenset({"__pycache__", "node_modules"})
_SAFE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
FOLDER: Final = "code"
NAMED: Final = "named"


@dataclass(frozen=True)
class CodeTree:
    """Code of a training.

    Attributes:
        files: content by path: below ``code/`` that of the folder, below ``named/`` that of files
            that the command names.
        left_out: files of the folder that are not kept, because they are data, or links.
        command: the training's command, in which ``{code}`` stands for the folder in which the
            files are put.
        entry: its entry, ``module:function``.
    """

    files: Mapping[str, bytes]
    left_out: int = 0
    entry: str | None = None
    command: tuple[str, ...] | None = None

    @property
    def digest(self) -> str:
        """Return the SHA-256 of the code and of how it is called."""
        return _sha256([self.entry, self.command, self.digests])

    @property
    def digests(self) -> Mapping[str, str]:
        """Return the SHA-256 of each file, by path."""
        return {path: hashlib.sha256(raw).hexdigest() for path, raw in sorted(self.files.items())}

    @property
    def lock(self) -> str:
        """Return the SHA-256 of the files that pin packages; empty if there is none."""
        locks = {p: d for p, d in self.digests.items() if PurePosixPath(p).name.startswith(LOCKS)}
        return _sha256(locks) if locks else ""

    def to_zip(self) -> bytes:
        """Return the files as a ZIP; the same files give the same bytes."""
        raw = io.BytesIO()
        with zipfile.ZipFile(raw, "w", zipfile.ZIP_DEFLATED) as archive:
            for path, content in sorted(self.files.items()):
                archive.writestr(zipfile.ZipInfo(path, _EPOCH), content, zipfile.ZIP_DEFLATED)
        return raw.getvalue()


def read_code(folder: Path | None, entry: str | None, command: Sequence[str] | None) -> CodeTree:
    """Read the code of a training.

    Args:
        folder: ``train.path``, if the policy names one.
        entry: ``train.entry``.
        command: ``train.command``.

    Raises:
        Invalid: the folder cannot be read, or holds more than code can be.
    """
    files, left_out = ({}, 0) if folder is None else _folder_files(folder)
    kept = {f"{FOLDER}/{path}": raw for path, raw in files.items()}
    words = []
    for i, word in enumerate(command or ()):
        path = Path(word)
        if folder is not None and path.is_absolute() and path.is_relative_to(folder):
            words.append(f"{{code}}/{FOLDER}/{path.relative_to(folder).as_posix()}")
        elif i and path.is_absolute() and (raw := _content(path)) is not None:
            kept[f"{NAMED}/{i}/{path.name}"] = raw
            words.append(f"{{code}}/{NAMED}/{i}/{path.name}")
        else:  # the program itself belongs to the machine, as Python does
            words.append(word)
    return CodeTree(kept, left_out, entry, tuple(words) if command is not None else None)


def unpack(raw: bytes, to: Path) -> None:
    """Write the files of :meth:`CodeTree.to_zip` below a folder."""
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        archive.extractall(to)
    (to / FOLDER).mkdir(exist_ok=True)


def _folder_files(folder: Path) -> tuple[dict[str, bytes], int]:
    paths, links = [], 0
    for path in _walk(folder):
        if path.is_symlink():
            links += 1
        else:
            paths.append(path)
        if len(paths) > LOOKED_AT:
            raise _too_much(folder)
    sizes = {path: _size(path) for path in paths}
    small = [path for path in paths if sizes[path] <= LARGEST]
    if len(small) > MOST_FILES or sum(sizes[path] for path in small) > MOST_BYTES:
        small = [path for path in small if path.suffix.lower() in CODE]
    if len(small) > MOST_FILES or sum(sizes[path] for path in small) > MOST_BYTES:
        raise _too_much(folder)
    found = {path.relative_to(folder).as_posix(): _content(path) for path in small}
    kept = {path: raw for path, raw in found.items() if raw is not None}
    return kept, len(paths) + links - len(kept)


def _too_much(folder: Path) -> Invalid:
    return Invalid(
        f"train.path: {folder}: expected a folder of training code, with at most {MOST_FILES:,} "
        f"files of {MOST_BYTES >> 20} MB; there is more: give the code a folder of its own"
    )


def _walk(folder: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        here = Path(place)
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".")
            and name not in _LEFT_OUT
            and not (here / name / "pyvenv.cfg").exists()
        )
        yield from (here / name for name in sorted(names) if not _hidden(name))


def _hidden(name: str) -> bool:
    return name.startswith(".") or name.endswith((".pyc", "~"))


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0


def _content(path: Path) -> bytes | None:
    """Return the content of a plain file, ``None`` if it is none: a link could lead anywhere."""
    try:
        handle = os.open(path, _SAFE)
    except OSError:
        return None
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            return None
        raw = file.read(LARGEST + 1)
    return raw if len(raw) <= LARGEST else None


def _sha256(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
