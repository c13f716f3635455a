"""The hub that a command asks: one on this machine, or one elsewhere."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from cloud_hub.client.admin import AdminClient
    from cloud_hub.client.profiles import Profile

PANEL = "Which hub"

DataOption = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="FOLDER",
        help="Data folder of a hub on this machine.",
        rich_help_panel=PANEL,
    ),
]
HubOption = Annotated[
    str | None,
    typer.Option(
        "--hub", metavar="URL", help="URL of the hub; default $EDGE_HUB_URL.", rich_help_panel=PANEL
    ),
]
TokenOption = Annotated[
    str | None,
    typer.Option(
        "--token",
        metavar="TOKEN",
        help="Yours, or the administrator's; default $EDGE_HUB_TOKEN.",
        rich_help_panel=PANEL,
    ),
]

ProfileOption = Annotated[
    str | None,
    typer.Option(
        "--profile",
        metavar="NAME",
        help="Of edge-hub login; default $EDGE_HUB_PROFILE, then the one named default.",
        rich_help_panel=PANEL,
    ),
]


@dataclass(frozen=True)
class HubAddress:
    """Data folder, URL and token, or a profile, as the options give them."""

    data: Path | None = None
    url: str | None = None
    token: str | None = None
    profile: str | None = None

    def client(self, *, timeout: float = 60.0) -> AdminClient:
        """Return a client of the hub.

        Options win over the environment, and that over the profile named ``default``. The token
        of a profile goes to the hub of that profile alone.

        Args:
            timeout: seconds for each request.

        Raises:
            Invalid: no hub is named, or two are.
        """
        from cloud_hub.client.admin import AdminClient
        from cloud_hub.errors import Invalid

        if self.data is not None:
            if self.url:  # the one of the environment may stand: --data is more particular
                raise Invalid("say which hub: --data or --hub, not both")
            return AdminClient.of_data(self.data, timeout=timeout)
        if self.profile is not None:
            if self.url:
                raise Invalid("say which hub: --profile or --hub, not both")
            return self._of_profile(self.profile, timeout)
        url = self.url or os.environ.get("EDGE_HUB_URL")
        token = self.token or os.environ.get("EDGE_HUB_TOKEN")
        if url and token:
            return AdminClient(url, token, timeout=timeout)
        return self._signed_in(url, timeout)

    def _signed_in(self, url: str | None, timeout: float) -> AdminClient:
        """Return a client of a hub that this user has signed in to; raises Invalid."""
        from cloud_hub.client.profiles import DEFAULT, profile_of, read_profiles
        from cloud_hub.errors import Invalid

        if url is not None:
            found = profile_of(url)
        else:
            chosen = os.environ.get("EDGE_HUB_PROFILE")
            if chosen:
                return self._of_profile(chosen, timeout)
            found = read_profiles().get(DEFAULT)
        if found is None:
            raise Invalid(
                "say which hub: --data FOLDER, or --hub URL and --token TOKEN, or sign in once: "
                "edge-hub login URL"
            )
        return self._of(found, timeout)

    def _of_profile(self, name: str, timeout: float) -> AdminClient:
        from cloud_hub.client.profiles import find_profile

        return self._of(find_profile(name), timeout)

    def _of(self, profile: Profile, timeout: float) -> AdminClient:
        from cloud_hub.client.admin import AdminClient

        token = self.token or profile.token
        return AdminClient(profile.hub, token, timeout=timeout, verify=profile.ca or True)
