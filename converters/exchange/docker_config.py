"""The ``config.json`` of ``docker login`` and ``oras login``, and the credential helpers it names.

For a host the helper of ``credHelpers`` is asked, else the one of ``credsStore``, and where that
has nothing, an entry of ``auths`` counts. A helper is the program ``docker-credential-NAME``: it
reads a host from its standard input and writes JSON, as docker's own do.
"""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from converters.errors import ExchangeError

HELPER_SECONDS: Final = 60.0
"""For a helper to answer: one may ask a person to unlock a key ring."""

IDENTITY: Final = "<token>"
"""User name by which helpers say that their secret is an identity token."""

_HUB_HOSTS: Final = ("docker.io", "index.docker.io", "registry-1.docker.io")
_HUB_KEY: Final = "https://index.docker.io/v1/"
_NONE_STORED: Final = "credentials not found"
_is_name = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*").fullmatch


class StoredLogin(NamedTuple):
    """What somebody signed in with: name and password in Base64, or an identity token."""

    basic: str | None = None
    identity: str | None = None


def stored_login(file: Path, host: str, environment: Mapping[str, str]) -> StoredLogin:
    """Return what is kept for a registry; an empty one where nobody signed in.

    Args:
        file: ``config.json``, which need not be there.
        host: of the registry, with its port.
        environment: variables of a helper; ``PATH`` says where it is looked for.

    Raises:
        ExchangeError: the file is not what it should be, or a helper is missing or fails.
    """
    config = _config(file)
    helper = _entry(config, "credHelpers", host) or config.get("credsStore")
    if helper:
        found = _of_helper(helper, host, environment)
        if found is not None:
            return found
    entry = _entry(config, "auths", host) or {}
    if not isinstance(entry, dict):
        raise ExchangeError(f"{file}: auths: expected an object for {host}, got {entry!r:.40}")
    basic, identity = entry.get("auth"), entry.get("identitytoken")
    return StoredLogin(_text(basic), _text(identity))


def _config(file: Path) -> Mapping[str, Any]:
    try:
        config = json.loads(file.read_bytes())
    except OSError:  # nobody signed in, or not this user
        return {}
    except (ValueError, RecursionError) as error:
        raise ExchangeError(f"{file}: expected what docker login writes; {error!s:.200}") from error
    if not isinstance(config, dict):
        raise ExchangeError(f"{file}: expected what docker login writes, got other JSON")
    return config


def _entry(config: Mapping[str, Any], name: str, host: str) -> Any:
    """Return what a table of the file has for a host, under one of the names that it may have."""
    table = config.get(name)
    if not isinstance(table, dict):
        return None
    return next((table[key] for key in _names(host) if table.get(key)), None)


def _names(host: str) -> Iterator[str]:
    if host in _HUB_HOSTS:
        yield _HUB_KEY
    yield host
    yield f"https://{host}"


def _of_helper(helper: object, host: str, environment: Mapping[str, str]) -> StoredLogin | None:
    """Return what a helper has for a host, ``None`` for nothing; raises ExchangeError."""
    # A name and no path: whoever may write the file chooses among the programs of the PATH alone.
    if not isinstance(helper, str) or _is_name(helper) is None:
        raise ExchangeError(
            f"config.json: expected the name of a credential helper, got {helper!r}"
        )
    name = f"docker-credential-{helper}"
    program = shutil.which(name, path=environment.get("PATH"))
    if program is None:
        raise ExchangeError(
            f"{name}: config.json names it, and it is not on the PATH; install it, or set "
            "EDGE_REGISTRY_USERNAME and EDGE_REGISTRY_PASSWORD"
        )
    asked = _HUB_KEY if host in _HUB_HOSTS else host
    try:
        done = subprocess.run(
            [program, "get"], input=asked, capture_output=True, timeout=HELPER_SECONDS,
            env=dict(environment), check=False, text=True, errors="replace",
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ExchangeError(f"{name}: gave no answer; {type(error).__name__}") from error
    if done.returncode != 0:
        said = (done.stdout.strip() or done.stderr.strip())[:200]
        if _NONE_STORED in said.lower():
            return None
        raise ExchangeError(f"{name}: failed for {host} (exit {done.returncode}); {said}")
    return _answer(name, done.stdout)


def _answer(name: str, text: str) -> StoredLogin:
    """Return the login that a helper wrote; no part of it is in an error."""
    try:
        answer = json.loads(text)
        user, secret = answer["Username"], answer["Secret"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ExchangeError(f"{name}: expected JSON with Username and Secret") from None
    if not (isinstance(user, str) and isinstance(secret, str) and secret):
        raise ExchangeError(f"{name}: expected texts for Username and Secret")
    if user == IDENTITY:
        return StoredLogin(identity=secret)
    return StoredLogin(basic=base64.b64encode(f"{user}:{secret}".encode()).decode())


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
