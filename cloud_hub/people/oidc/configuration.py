"""The file that says which provider people sign in at, and what its groups may do. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from cloud_hub.api.roles import ROLES, Role
from edge_sdk.contract.errors import require
from edge_sdk.contract.fleet import check_models

LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class GroupGrant:
    """What the members of a group may do; without ``models`` on all."""

    group: str
    role: str
    models: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        words = [role.word for role in Role]
        require(self.role in words, f"role: expected one of {ROLES}, got {self.role:.40}")
        check_models(self.models)


@dataclass(frozen=True)
class OidcConfiguration:
    """A provider of OpenID Connect.

    Attributes:
        issuer: its URL, as its tokens name it.
        client_id: by which it knows this hub.
        secret_env: name of the hub's environment variable with the client's secret; empty for a
            public client.
        scopes: that are asked for, with spaces between them.
        name_claim: claim with the name by which the audit knows people.
        groups_claim: claim with their groups.
        grants: what groups may do; without any, people may what ``edge-hub people`` says.
        redirect_uri: address to come back to, where the hub cannot tell from requests.
        clock_skew: seconds by which the provider's clock may differ.
    """

    issuer: str
    client_id: str
    secret_env: str = ""
    scopes: str = "openid profile email"
    name_claim: str = "preferred_username"
    groups_claim: str = "groups"
    grants: tuple[GroupGrant, ...] = ()
    redirect_uri: str = ""
    clock_skew: float = 60.0

    def __post_init__(self) -> None:
        require(is_private(self.issuer), f"issuer: expected https://, got {self.issuer:.100}")
        require(bool(self.client_id), "client_id: expected the name of this hub at the provider")
        require("openid" in self.scopes.split(), "scopes: expected openid among them")
        require(0 <= self.clock_skew <= 600, "clock_skew: expected 0 to 600 seconds")


def is_private(url: str) -> bool:
    """Return whether nobody on the way reads what is sent to an address: TLS, or this machine."""
    parts = urlsplit(url)
    loopback = parts.scheme == "http" and parts.hostname in LOOPBACK
    return bool(parts.hostname) and (parts.scheme == "https" or loopback)


def rights_of(
    groups: Collection[str], grants: Collection[GroupGrant]
) -> tuple[Role, tuple[str, ...] | None] | None:
    """Return what somebody may do who is in these groups: the highest role that one gives.

    Args:
        groups: as the provider names them.
        grants: what groups may do.

    Returns:
        The role, and the models of all groups that give it (``None`` for all models); or ``None``
        where no group gives any.
    """
    given = [grant for grant in grants if grant.group in groups]
    if not given:
        return None
    role = max(Role.of(grant.role) for grant in given)
    highest = [grant for grant in given if Role.of(grant.role) == role]
    if any(not grant.models for grant in highest):
        return role, None
    return role, tuple(sorted({model for grant in highest for model in grant.models}))
