"""A second copy of values that a device cannot get again: a JSON file with a checksum.

Invariants:

* The file is whole or it is not read: its SHA-256 covers the generation and every value.
* ``generation`` grows with every change, so of two copies the newer one is known.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_sdk.system.files import fsync_directory


@dataclass(frozen=True)
class Kept:
    """Values by name, each as JSON text, and the number of the change that made them."""

    generation: int
    values: Mapping[str, str]

    def to_bytes(self) -> bytes:
        """Return the content of the file."""
        content = {"generation": self.generation, "values": dict(self.values)}
        return json.dumps({"sha256": _digest(content), **content}, indent=1).encode()

    @classmethod
    def from_bytes(cls, raw: bytes) -> Kept:
        """Parse the content of the file.

        Raises:
            ValueError: it is damaged.
        """
        plain: Any = json.loads(raw)
        try:
            content = {name: plain[name] for name in ("generation", "values")}
            sound = plain["sha256"] == _digest(content)
        except (KeyError, TypeError) as error:
            raise ValueError("not a copy of kept values") from error
        if not sound:
            raise ValueError("its checksum differs")
        return cls(**content)


def read_kept(path: Path) -> Kept | None:
    """Return the copy at ``path``; ``None`` if there is none.

    Raises:
        OSError: it cannot be read.
        ValueError: it is damaged.
    """
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return None
    return Kept.from_bytes(raw)


def write_kept(path: Path, kept: Kept) -> None:
    """Put ``kept`` at ``path``: after a crash there is the old copy or the new one.

    Raises:
        OSError: the disk is full or cannot be written.
    """
    # One name for the part: what a crash leaves is overwritten by the next write.
    part = path.with_name(path.name + ".new")
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(kept.to_bytes())
        file.flush()
        os.fsync(handle)
    part.replace(path)
    fsync_directory(path.parent)


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
