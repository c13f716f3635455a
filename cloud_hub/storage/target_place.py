"""Where targets lie that devices download by a name with their hash."""

from __future__ import annotations


def place_of(path: str, sha256: str) -> str:
    """Return where devices download a target from: under a name with its hash."""
    folder, _, name = path.rpartition("/")
    return f"{folder}/{sha256}.{name}"
