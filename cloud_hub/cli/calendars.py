"""``edge-hub calendar``: days that are known before, and what was trained on them."""

from __future__ import annotations

from typing import Annotated, Any, Final

import typer

from cloud_hub.cli.shared import types
from cloud_hub.cli.shared.hub_address import HubAddress
from cloud_hub.cli.shared.output import Result, TextTable, View, local_time
from cloud_hub.cli.shared.registration import RETRAIN, command, group

Version = Annotated[str, typer.Argument(metavar="VERSION", help="Trained on a rare day.")]
SHOWN: Final = 10
"""Days to come that ``show`` has; ``--json`` has all of the next 400 days."""


def add_commands(app: typer.Typer) -> None:
    """Add ``calendar``."""
    text = "Rare days: when they come, and what was trained on them."
    actions = group(app, "calendar", text, panel=RETRAIN)
    command(actions, "show", example="edge-hub calendar show digits")(_show)
    keep = "edge-hub calendar keep digits 1.4 --reason 'the new prices stay'"
    command(actions, "keep", example=keep)(_keep)


def _show(hub: HubAddress, model: types.Model) -> Result:
    """Show the days that are open and to come, and the versions that were trained on some."""
    return Result(hub.client().get(f"models/{model}/calendar"), _show_view)


def _keep(
    hub: HubAddress, model: types.Model, version: Version, reason: types.Reason = "by hand"
) -> Result:
    """Let a version of a rare day serve on when the day is over."""
    path = f"models/{model}/calendar/keep"
    kept = hub.client().post(path, version=version, reason=reason)
    return Result(kept, lambda mark: f"{model} {mark['version']}: stays; {mark['reason']}")


def _show_view(status: dict[str, Any]) -> View:
    days = [
        (day["day"], day["date"], local_time(day["begin"]), local_time(day["end"]), now)
        for now, days in (("open", status["open"]), ("", status["next"][:SHOWN]))
        for day in days
    ]
    versions = [
        (
            mark["version"], f"{mark['day']} of {mark['date']}", mark["before"],
            mark["outcome"] or ("waits" if status["waits_for"] else "goes back by itself"),
            mark["reason"] or (f"for the end of {status['waits_for']}" * bool(status["waits_for"])),
        )
        for mark in status["versions"]
    ]  # fmt: skip
    return [
        TextTable(("day", "date", "begins", "ends", "now"), days, empty="no rare days to come"),
        TextTable(
            ("version", "trained on", "before it", "outcome", "reason"),
            versions,
            "versions",
            "none",
        ),
    ]
