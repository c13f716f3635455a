"""The options that say where heavy work is computed."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

PANEL = "Where heavy work is computed"

EngineKind = Annotated[
    Literal["local", "ray"],
    typer.Option(
        "--engine", envvar="HUB_ENGINE", help="This machine, or a Ray cluster.",
        rich_help_panel=PANEL,
    ),
]  # fmt: skip
RayAddress = Annotated[
    str,
    typer.Option(
        "--ray-address", envvar="HUB_RAY_ADDRESS", metavar="HOST:PORT",
        help="Of the cluster; ray://HOST:10001 where this machine is no node of it.",
        rich_help_panel=PANEL,
    ),
]  # fmt: skip
