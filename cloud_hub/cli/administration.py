"""``edge-hub audit``: who did what, when and why."""

from __future__ import annotations

import time
from typing import Any

import typer

from cloud_hub.cli import types
from cloud_hub.cli.hub_address import HubAddress
from cloud_hub.cli.output import Result, Table, local_time, pairs
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
    # With --since the hub is asked for all that it gives, or old rows would be cut off unseen.
    most = limit or (types.ROWS if since is not None else None)
    entries = hub.client().get("audit", model=model, limit=most)
    if since is not None:
        begin = time.time() - since
        entries = [entry for entry in entries if entry["at"] >= begin]
    return Result(entries, _audit_table)


def _audit_table(entries: list[dict[str, Any]]) -> Table:
    columns = ("time", "actor", "action", "model", "detail")
    rows = [
        (
            local_time(entry["at"]), entry["actor"], entry["action"], entry["model"],
            _shortened(pairs(entry["detail"])),
        )
        for entry in entries
    ]  # fmt: skip
    return Table(columns, rows, empty="no entries")


def _shortened(text: str, most: int = 160) -> str:
    return text if len(text) <= most else text[: most - 3] + "..."
