"""Options of ``serve`` about alarms of the hub as a whole, and where alerts may go."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from cloud_hub.cli.shared import types

PANEL = "Alarms and alerts"
DAY = 86_400.0


def _seconds(most: float, text: str, *, zero: bool = False) -> Any:
    parser = types.amount(most, zero=zero)
    return typer.Option(parser=parser, metavar="SECONDS", help=text, rich_help_panel=PANEL)


AlertNetworks = Annotated[
    list[str] | None,
    typer.Option(
        "--alert-network",
        metavar="NETWORK",
        help="A network of yours that alerts may be sent to: 10.0.0.0/8; may be given again.",
        rich_help_panel=PANEL,
    ),
]
OpenSeconds = Annotated[
    float,
    _seconds(DAY, "How long what is not critical is wrong before its alarm opens.", zero=True),
]
CloseSeconds = Annotated[
    float, _seconds(DAY, "How long it is right again before the alarm closes.", zero=True)
]
DeliverySeconds = Annotated[
    float, _seconds(3 * DAY, "How long a destination of alerts fails before that is an alarm.")
]
DiskShare = Annotated[
    float,
    typer.Option(
        parser=types.amount(1.0),
        metavar="SHARE",
        help="Free share of the disk below which it is an alarm, if less than 5 GiB are free, too.",
        rich_help_panel=PANEL,
    ),
]
