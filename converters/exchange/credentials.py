"""Secrets for registries: from the environment, or where ``docker login`` and ``oras login`` keep
them, credential helpers included. None is ever an argument of a command.
"""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from converters.errors import ExchangeError
from converters.exchange.docker_config import stored_login

USERNAME: Final = "EDGE_REGISTRY_USERNAME"
PASSWORD: Final = "EDGE_REGISTRY_PASSWORD"
TOKEN: Final = "EDGE_REGISTRY_TOKEN"

_PARAMETER: Final = re.compile(r'([a-zA-Z]+)="([^"]*)"')


@dataclass(frozen=True)
class RegistrySecret:
    """What a registry is shown.

    Attributes:
        basic: name and password in Base64; ``None`` for nobody.
        bearer: a token that is ready to use.
        identity: a token that is shown where the registry's tokens are fetched, and nowhere else.
    """

    basic: str | None = None
    bearer: str | None = None
    identity: str | None = None

    @property
    def is_secret(self) -> bool:
        """Return whether there is anything that nobody else may read."""
        return (self.basic, self.bearer, self.identity) != (None, None, None)


@dataclass(frozen=True)
class BearerChallenge:
    """Where a registry wants a token to be fetched, and for what."""

    realm: str
    query: Mapping[str, str]


def registry_secret(host: str, environment: Mapping[str, str] = os.environ) -> RegistrySecret:
    """Return the secret for a registry; an empty one where there is none.

    Args:
        host: of the registry, with its port.
        environment: variables; ``DOCKER_CONFIG`` names the folder of a ``config.json``.

    Raises:
        ExchangeError: a name without a password, a file that is not what it should be, or a
            credential helper that is missing or fails.
    """
    if token := environment.get(TOKEN):
        return RegistrySecret(bearer=token)
    if name := environment.get(USERNAME):
        password = environment.get(PASSWORD)
        if not password:
            raise ExchangeError(f"{USERNAME}: expected {PASSWORD} beside it")
        return RegistrySecret(basic=base64.b64encode(f"{name}:{password}".encode()).decode())
    folder = environment.get("DOCKER_CONFIG") or Path(environment.get("HOME", "~")) / ".docker"
    stored = stored_login(Path(folder) / "config.json", host, environment)
    # Where both are kept the identity token is the newer way to sign in, and docker prefers it.
    return RegistrySecret(None if stored.identity else stored.basic, None, stored.identity)


def bearer_challenge(header: str) -> BearerChallenge | None:
    """Return what a header ``WWW-Authenticate`` asks for; ``None`` where it wants no token."""
    scheme, _, rest = header.partition(" ")
    values = dict(_PARAMETER.findall(rest))
    if scheme.lower() != "bearer" or "realm" not in values:
        return None
    return BearerChallenge(
        values["realm"], {n: values[n] for n in ("service", "scope") if n in values}
    )
