"""The hub that a command asks: one on this machine, or one elsewhere."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from cloud_hub.client.admin import AdminClient

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
        help="The administrator's; default $EDGE_HUB_TOKEN.",
        rich_help_panel=PANEL,
    ),
]


@dataclass(frozen=True)
class HubAddress:
    """Data folder, or URL and token, as the options give them."""

    data: Path | None = None
    url: str | None = None
    token: str | None = None

    def client(self, *, timeout: float = 60.0) -> AdminClient:
        """Return a client of the hub.

        The environment is read only where no option names a hub: an explicit ``--data`` wins.

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
        url = self.url or os.environ.get("EDGE_HUB_URL")
        token = self.token or os.environ.get("EDGE_HUB_TOKEN")
        if not url or not token:
            raise Invalid("say which hub: --data FOLDER, or --hub URL and --token TOKEN")
        return AdminClient(url, token, timeout=timeout)
