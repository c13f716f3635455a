"""The command line of ``edge-hub`` as typer has it: every group of commands, and its own options.

A new command goes into the module of its group; a new group also into :data:`GROUPS`.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup

from cloud_hub.cli import (
    administration,
    calendars,
    devices,
    doctor,
    experiments,
    fleet,
    freshness,
    keys,
    monitoring,
    pipelines,
    plans,
    policy,
    releases,
    runs,
    server,
    simulate,
    triggers,
)
from cloud_hub.cli.access import approvals, login, people
from cloud_hub.cli.alerting import alerts, events
from cloud_hub.cli.data import backup, batch, datasets, features, personalise
from cloud_hub.cli.operating import device_questions
from cloud_hub.cli.registry import costs, exports, versions
from cloud_hub.cli.shared.registration import HELP_OPTIONS, PANELS

NAME: Final = "edge-hub"

GROUPS: Final = (
    server, login, releases, versions, exports, plans, approvals, experiments, simulate,
    personalise, devices, device_questions, fleet, monitoring, costs, events, alerts, policy,
    datasets, features, batch, triggers, calendars, runs, pipelines, freshness, people,
    administration, doctor, backup, keys,
)  # fmt: skip
"""In the order in which the help lists them, within the panels."""

EXIT_STATUS: Final = (
    "Exit status: 0 done; 1 refused or failed, with the reason on standard error; 2 wrong usage; "
    "3 policy plan --exit-code found changes; 130 interrupted; 141 output closed."
)


class _PanelOrder(TyperGroup):
    """Lists the panels in their order; typer begins with those that have a command of their own."""

    def list_commands(self, ctx: Any) -> list[str]:
        def place(name: str) -> int:
            return PANELS.index(getattr(self.commands[name], "rich_help_panel", ""))

        return sorted(super().list_commands(ctx), key=place)


def create_app() -> typer.Typer:
    """Return the whole command line."""
    app = typer.Typer(
        name=NAME,
        cls=_PanelOrder,
        help="Version, sign, roll out, watch and retrain edge models.",
        epilog=EXIT_STATUS,
        context_settings=HELP_OPTIONS,
        pretty_exceptions_enable=False,
    )
    app.callback()(_options)
    for group in GROUPS:
        group.add_commands(app)
    return app


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(NAME, version("edge-deployment-sdk-core"))
        raise typer.Exit


Version = Annotated[
    bool,
    typer.Option(
        "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
    ),
]


def _options(version: Version = False) -> None:
    """Options that stand before the command; typer calls it first."""
