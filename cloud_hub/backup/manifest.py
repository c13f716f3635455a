"""What a backup says of itself: every file and every table with its digest.

``manifest.json`` is written last, and the folder takes its name after that: a backup without one
was never finished. To change the format, raise :data:`FORMAT` and let :func:`read_manifest` read
the old one too: backups outlive hubs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Final

from cloud_hub.errors import Invalid, NotFound
from edge_sdk.contract.codec import decode
from edge_sdk.contract.errors import ContractError
from edge_sdk.system.files import sha256_file

FORMAT: Final = 1
MANIFEST_FILE: Final = "manifest.json"
SECRETS_FILE: Final = "secrets.json"
LARGEST: Final = 1 << 30
"""Bytes of a manifest; it has about 150 for each file."""


@dataclass(frozen=True)
class SavedTable:
    """One table: its ``rows``, and the SHA-256 of all of them in their portable form."""

    rows: int
    sha256: str


@dataclass(frozen=True)
class SavedFile:
    """One file of a backup: its ``bytes``, and their SHA-256."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class BackupManifest:
    """The content of a backup.

    Attributes:
        format: of the backup.
        made_at: moment of which its tables are, in Unix seconds.
        revision: of the tables.
        tables: by name.
        files: by path within the folder, the tables' files included.
        secrets: ``none``, ``plain`` or ``encrypted``: private keys and tokens.
        missing: artifacts that tables name and the hub did not have.
    """

    format: int
    made_at: float
    revision: str
    tables: Mapping[str, SavedTable]
    files: Mapping[str, SavedFile]
    secrets: str = "none"
    missing: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        for path in self.files:
            parts = PurePosixPath(path).parts
            if not parts or ".." in parts or path.startswith("/"):
                raise ContractError(f"files: expected paths within the backup, got {path!r:.200}")


def read_manifest(folder: Path) -> BackupManifest:
    """Return the manifest of the backup in a folder.

    Raises:
        NotFound: there is none: the backup was never finished, or it is elsewhere.
        Invalid: it cannot be read, or is of a newer hub.
    """
    path = folder / MANIFEST_FILE
    try:
        raw = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise NotFound(
            f"{folder}: holds no backup ({MANIFEST_FILE} is missing); one that was interrupted is "
            "of no use, name another"
        ) from None
    try:
        manifest = decode(BackupManifest, raw, limit=LARGEST)
    except ContractError as error:
        raise Invalid(f"{path}: expected the manifest of a backup; {error}") from error
    if manifest.format != FORMAT:
        raise Invalid(
            f"{path}: expected format {FORMAT}, got {manifest.format}; a newer edge-hub made it, "
            "install that version"
        )
    return manifest


def manifest_digest(folder: Path) -> str:
    """Return the SHA-256 of a manifest, by which a whole backup is known."""
    return hashlib.sha256((folder / MANIFEST_FILE).read_bytes()).hexdigest()


def check_files(folder: Path, manifest: BackupManifest) -> None:
    """Compare every file with the manifest.

    Args:
        folder: of the backup.
        manifest: that was read from it.

    Raises:
        Invalid: one is missing, cut or changed; nothing of the backup may be used.
    """
    for name, saved in manifest.files.items():
        path = folder / name
        try:
            size = path.stat().st_size
            wrong = size != saved.bytes or sha256_file(path) != saved.sha256
        except OSError as error:
            raise Invalid(f"{path}: cannot be read; {error.strerror}; the backup is torn") from None
        if wrong:
            raise Invalid(
                f"{path}: expected {saved.bytes} bytes with SHA-256 {saved.sha256[:12]}…, got "
                f"{size} others; the backup is damaged or was changed, use another"
            )
