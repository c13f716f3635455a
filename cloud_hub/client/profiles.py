"""Profiles: hubs that this user has signed in to, each with its token, in one private file.

Invariant: a token goes to the hub that it was stored with, and to no other.
"""

from __future__ import annotations

import json
import os
import stat
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from cloud_hub.errors import Invalid, NotFound
from edge_sdk.system.files import write_atomic

DEFAULT: Final = "default"
"""Name of the profile that is used where none is named."""


@dataclass(frozen=True)
class Profile:
    """A hub and as whom it is asked.

    Attributes:
        hub: URL.
        token: access token; secret.
        ca: file of the private authority that signed the hub's certificate, if it is none that this
            machine knows.
    """

    hub: str
    token: str
    ca: str | None = None


def profile_file() -> Path:
    """Return where the profiles of this user are, be they there or not."""
    chosen = os.environ.get("EDGE_HUB_PROFILES")
    if chosen:
        return Path(chosen)
    base = os.environ.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path.home() / ".config") / "edge-hub" / "profiles.json"


def read_profiles() -> dict[str, Profile]:
    """Return the profiles of this user by name; none where there is no file.

    Raises:
        Invalid: the file is damaged, or others may read it.
    """
    file = profile_file()
    try:
        with file.open("rb") as opened:
            others = os.fstat(opened.fileno()).st_mode & (stat.S_IRWXG | stat.S_IRWXO)
            raw = opened.read()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise Invalid(f"{file}: cannot be read; {error.strerror}") from error
    if others and os.name == "posix":
        raise Invalid(f"{file}: holds tokens, and others may read it; chmod 600 {file}")
    try:
        return {name: Profile(**fields) for name, fields in json.loads(raw).items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise Invalid(f"{file}: expected profiles as edge-hub login writes them") from error


def find_profile(name: str) -> Profile:
    """Return a profile by name; raises NotFound with the names that there are."""
    profiles = read_profiles()
    if name not in profiles:
        there = ", ".join(sorted(profiles)) or "none"
        raise NotFound(f"profile {name:.80}: is not there, only: {there}; edge-hub login makes one")
    return profiles[name]


def profile_of(hub: str) -> Profile | None:
    """Return the profile of a hub by its URL, ``None`` if there is none."""
    wanted = hub.rstrip("/")
    return next((p for p in read_profiles().values() if p.hub == wanted), None)


def write_profile(name: str, profile: Profile) -> Path:
    """Add or replace a profile; return the file, which this user alone may read."""
    return _write({**read_profiles(), name: profile})


def remove_profile(name: str) -> Path:
    """Remove a profile; raises NotFound."""
    find_profile(name)
    return _write({n: profile for n, profile in read_profiles().items() if n != name})


def _write(profiles: dict[str, Profile]) -> Path:
    file = profile_file()
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    text = json.dumps({name: asdict(profile) for name, profile in profiles.items()}, indent=1)
    write_atomic(file, text.encode(), mode=0o600)
    return file
