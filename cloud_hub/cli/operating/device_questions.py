"""``edge-hub devices logs``, ``sync``, ``asked``, and ``groups``: asking devices, finding them."""

from __future__ import annotations

import time
from typing import Annotated, Any, Final
from urllib.parse import quote

import typer

from cloud_hub.cli.shared import types
from cloud_hub.cli.shared.hub_address import HubAddress
from cloud_hub.cli.shared.output import Result, TextTable, View, local_time
from cloud_hub.cli.shared.registration import WATCH, command, group

LOOK_SECONDS: Final = 0.5
"""Between two looks whether a device has answered."""

Device = Annotated[
    str, typer.Argument(parser=types.name, metavar="DEVICE", help="Name, as devices list says.")
]
Wait = Annotated[
    float,
    typer.Option(
        parser=types.duration, metavar="DURATION", help="How long to wait for its answer."
    ),
]
GroupName = Annotated[str, typer.Argument(metavar="NAME", help="Of the group.")]
Search = Annotated[
    str,
    typer.Argument(
        metavar="SEARCH", help="Such as 'region=eu health:lost kiosk'; all of it is met."
    ),
]


def add_to_devices(devices: typer.Typer) -> None:
    """Add what asks one device to the commands about devices."""
    logs = "edge-hub devices logs d-0123456789ab --wait 2m"
    command(devices, "logs", example=logs)(_logs)
    command(devices, "sync", example="edge-hub devices sync d-0123456789ab --wait 2m")(_sync)
    command(devices, "asked", example="edge-hub devices asked d-0123456789ab")(_asked)


def add_commands(app: typer.Typer) -> None:
    """Add ``groups``."""
    groups = group(app, "groups", "Groups of devices: searches with a name.", panel=WATCH)
    command(groups, "list", example="edge-hub groups list --json")(_groups)
    save = "edge-hub groups save Europe 'region=eu model:digits'"
    command(groups, "save", example=save)(_save_group)
    command(groups, "remove", example="edge-hub groups remove Europe")(_remove_group)


def _logs(hub: HubAddress, device: Device, wait: Wait = 90.0) -> Result:
    """Ask a device for the newest lines of its log, if its owner lets it send them."""
    return _ask(hub, device, "logs", wait)


def _sync(hub: HubAddress, device: Device, wait: Wait = 90.0) -> Result:
    """Ask a device to sync now; one that does not wait at the hub does so when it polls."""
    return _ask(hub, device, "sync", wait)


def _ask(hub: HubAddress, device: str, kind: str, wait: float) -> Result:
    """Ask, and wait for the answer; status 1 where it does not come or is a refusal."""
    client = hub.client()
    asked = client.post(f"devices/{device}/asks", kind=kind)
    end = time.monotonic() + wait
    while asked["state"] == "open" and time.monotonic() < end:
        time.sleep(LOOK_SECONDS)
        kept = client.get(f"devices/{device}/asks")
        asked = next((each for each in kept if each["id"] == asked["id"]), asked)
    return Result(asked, _ask_text, status=0 if asked["state"] == "answered" else 1)


def _ask_text(ask: dict[str, Any]) -> View:
    device, state = ask["device"], ask["state"]
    if state == "refused":
        return (
            f"{device}: its owner does not let it send its log; the application says "
            "DeviceConfig(logs=True), or edge run --send-log, where it may"
        )
    if state != "answered":
        return f"{device}: has not answered yet; edge-hub devices asked {device} says when it did"
    if ask["kind"] == "sync":
        return f"{device}: synced at {local_time(ask['answered_at'])}"
    return "\n".join(_line(line) for line in ask["lines"]) or f"{device}: has logged nothing yet"


def _line(line: dict[str, Any]) -> str:
    return f"{local_time(line['at'])} {line['level']:<7} {line['logger']}: {line['message']}"


def _asked(hub: HubAddress, device: Device) -> Result:
    """Show what a device was asked in the last seven days, and its newest log."""
    return Result(hub.client().get(f"devices/{device}/asks"), _asked_view)


def _asked_view(asks: list[dict[str, Any]]) -> View:
    columns = ("asked", "by", "for", "state", "answered", "lines")
    rows = [
        (
            local_time(a["asked_at"]), a["asked_by"], a["kind"], a["state"],
            local_time(a["answered_at"]) if a["answered_at"] else None, len(a["lines"]) or None,
        )
        for a in asks
    ]  # fmt: skip
    table = TextTable(columns, rows, empty="it was asked nothing in the last seven days")
    newest = next((a for a in asks if a["lines"]), None)
    return table if newest is None else [table, *map(_line, newest["lines"])]


def _groups(hub: HubAddress) -> Result:
    """List the groups: their names, and the searches that they stand for."""
    return Result(hub.client().get("device-groups"), _groups_table)


def _groups_table(groups: list[dict[str, Any]]) -> TextTable:
    rows = [(g["name"], g["made_by"], local_time(g["made_at"]), g["search"]) for g in groups]
    empty = "no groups; edge-hub groups save NAME SEARCH makes one"
    return TextTable(("name", "made by", "made", "search"), rows, empty=empty)


def _save_group(hub: HubAddress, name: GroupName, search: Search) -> Result:
    """Save a search as a group, in place of one of that name."""
    path = f"device-groups/{quote(name, safe='')}"
    saved = hub.client().response("PUT", path, search=search).json()
    return Result(saved, lambda g: f"group {g['name']}: {g['search']}")


def _remove_group(hub: HubAddress, name: GroupName) -> Result:
    """Remove a group; its devices stay as they are."""
    hub.client().response("DELETE", f"device-groups/{quote(name, safe='')}")
    return Result({"group": name}, lambda g: f"group {g['group']} is gone")
