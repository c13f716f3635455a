"""The options that say where heavy work is computed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cloud_hub.cli.shared import types

if TYPE_CHECKING:
    from cloud_hub.engine.engine import Engine

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
Processes = Annotated[
    int,
    typer.Option(
        parser=types.whole(1, 64), metavar="NUMBER", rich_help_panel=PANEL,
        help="Side by side on this machine.",
    ),
]  # fmt: skip


def side_by_side(kind: Literal["local", "ray"], address: str, processes: int) -> Engine | None:
    """Return the engine of a command that computes much; ``None``: this process, in turn.

    Args:
        kind: this machine, or a cluster.
        address: of the cluster.
        processes: of this machine.

    Raises:
        Invalid: Ray without an address.
    """
    from cloud_hub.engine.local import LocalEngine
    from cloud_hub.engine.opening import engine_of
    from cloud_hub.settings import EngineSettings

    if kind == "ray":
        return engine_of(EngineSettings(kind, address))
    return LocalEngine(processes, processes=True) if processes > 1 else None
