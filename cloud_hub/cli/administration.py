"""``edge-hub audit``: who did what, when and why; ``edge-hub health``: how the hub is."""

from __future__ import annotations

from typing import Any

import typer

from cloud_hub.cli.shared import types
from cloud_hub.cli.shared.hub_address import HubAddress
from cloud_hub.cli.shared.output import Result, TextTable, local_time, pairs
from cloud_hub.cli.shared.registration import ADMINISTER, command


def add_commands(app: typer.Typer) -> None:
    """Add ``audit`` and ``health``."""
    example = "edge-hub audit --model digits --since 7d"
    command(app, "audit", panel=ADMINISTER, example=example)(_audit)
    command(app, "health", panel=ADMINISTER, example="edge-hub health --data hub-data")(_health)


def _audit(
    hub: HubAddress,
    model: types.OnlyModel = None,
    since: types.Since = None,
    limit: types.Limit = None,
) -> Result:
    """Show who did what, when and why, oldest first."""
    query = {"model": model, "since": types.begin_of(since), "limit": limit}
    return Result(hub.client().get("audit", **query), _audit_table)


def _health(hub: HubAddress) -> Result:
    """Show how the hub is; exit status 1 if something fails or needs somebody soon."""
    health = hub.client().get("health")
    well = not health["loop"] and health["keys"] == "ok" and health["clock"] == "ok"
    well = well and all(check["state"] == "ok" for check in health.get("checks", ()))
    return Result(health, _health_text, status=0 if well else 1)


def _health_text(health: dict[str, Any]) -> str:
    lines = [f"loop: {part}: {error}" for part, error in health["loop"].items()] or ["loop: ok"]
    clock = [] if health["clock"] == "ok" else [f"clock: {health['clock']}; nothing is signed"]
    # The others are told above, in more words.
    checks = [
        f"{c['name']}: {c['says']}; {c['todo']}"
        for c in health.get("checks", ())
        if c["state"] != "ok" and c["name"] not in ("loop", "keys", "clock")
    ]
    return "\n".join([*lines, f"keys: {health['keys']}", *health["due"].values(), *clock, *checks])


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
