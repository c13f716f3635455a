"""Packages that trainings of this machine find, for what cannot be kept: the environment."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import json
import platform
from collections.abc import Mapping


@functools.lru_cache(maxsize=1)
def packages() -> Mapping[str, str]:
    """Return versions of Python and of every installed package, by name."""
    found = {
        str(dist.metadata["Name"]).lower(): dist.version
        for dist in importlib.metadata.distributions()
        if dist.metadata["Name"]
    }
    return {"python": platform.python_version(), **dict(sorted(found.items()))}


def environment_digest(found: Mapping[str, str]) -> str:
    """Return the SHA-256 of versions of packages."""
    return hashlib.sha256(json.dumps(dict(found), sort_keys=True).encode()).hexdigest()


def differences(before: Mapping[str, str], now: Mapping[str, str]) -> tuple[str, ...]:
    """Return in words which packages have another version now, in order of name. Pure."""
    names = sorted({*before, *now})
    return tuple(
        f"{name} {before.get(name, 'absent')} -> {now.get(name, 'absent')}"
        for name in names
        if before.get(name) != now.get(name)
    )
