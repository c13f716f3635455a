"""``edge-hub audit``: who did what, when and why."""

from __future__ import annotations

from typing import Any

import typer

from cloud_hub.cli import types
from cloud_hub.cli.hub_address import HubAddress
from cloud_hub.cli.output import Result, TextTable, local_time, pairs
from cloud_hub.cli.registration import ADMINISTER, command


def add_commands(app: typer.Typer) -> None:
    """Add ``audit``."""
    example = "edge-hub audit --model digits --since 7d"
    command(app, "audit", panel=ADMINISTER, example=example)(_audit)


def _audit(
    hub: HubAddress,
    model: types.OnlyModel = None,
    since: types.Since = None,
    limit: types.Limit = None,
) -> Result:
    """Show who did what, when and why, oldest first."""
    query = {"model": model, "since": types.begin_of(since), "limit": limit}
    return Result(hub.client().get("audit", **query), _audit_table)


def _audit_table(entries: list[dict[str, Any]]) -> TextTable:
    columns = ("time", "actor", "action", "model", "detail")
    rows = [
        (
            local_time(entry["at"]), entry["actor"], entry["action"], entry["model"],
            _shortened(pairs(entry["detail"])),
        )
        for entry in entries
    ]  # fmt: skip
    return TextTable(columns, rows, empty="no entries")


def _shortened(text: str, most: int = 160) -> str:
    return text if len(text) <= most else text[: most - 3] + "..."
