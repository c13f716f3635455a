"""The command line of ``edge-hub`` as typer has it: every group of commands, and its own options.

A new command goes into the module of its group; a new group also into :data:`GROUPS`.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup

from cloud_hub.cli.shared.registration import HELP_OPTIONS, PANELS

NAME: Final = "edge-hub"

GROUPS: Final[Mapping[str, tuple[str, ...]]] = {
    "server": ("init", "serve", "settings", "db"),
    "access.login": ("login", "logout", "whoami"),
    "releases": ("publish", "models", "packs", "forms", "releases"),
    "registry.versions": ("versions",),
    "registry.exports": ("export",),
    "plans": ("plan", "promote", "rollback", "canary"),
    "access.approvals": ("approvals",),
    "experiments": ("experiments",),
    "simulate": ("simulate",),
    "data.personalise": ("personalise",),
    "devices": ("enrol-token", "tokens", "devices"),
    "operating.device_questions": ("groups",),
    "fleet": ("telemetry",),
    "monitoring": ("monitor",),
    "registry.costs": ("cost",),
    "alerting.events": ("events", "alarms"),
    "alerting.alerts": ("alerts",),
    "policy": ("policy",),
    "data.datasets": ("data",),
    "data.features": ("features",),
    "data.batch": ("batch", "predictions"),
    "triggers": ("triggers",),
    "calendars": ("calendar",),
    "runs": ("runs",),
    "pipelines": ("pipeline",),
    "freshness": ("freshness",),
    "access.people": ("people", "access-tokens"),
    "administration": ("audit", "health"),
    "doctor": ("doctor",),
    "data.backup": ("backup", "restore", "move"),
    "keys": ("keys",),
}
"""Modules of commands, and the first words of those that each has, in the order in which the help
lists them within the panels. A call of one of them loads its module alone: a hub that serves has no
use for the others, which take 8 MB."""

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


def create_app(words: Sequence[str] = ()) -> typer.Typer:
    """Return the command line.

    Args:
        words: of a call; where the first is a command, the others are left out.
    """
    app = typer.Typer(
        name=NAME,
        cls=_PanelOrder,
        help="Version, sign, roll out, watch and retrain edge models.",
        epilog=EXIT_STATUS,
        context_settings=HELP_OPTIONS,
        pretty_exceptions_enable=False,
    )
    app.callback()(_options)
    called = [module for module, commands in GROUPS.items() if {*words[:1]} & {*commands}]
    for module in called or GROUPS:
        importlib.import_module(f"cloud_hub.cli.{module}").add_commands(app)
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
