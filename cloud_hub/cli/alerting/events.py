"""``edge-hub events``: what happened; ``edge-hub alarms``: what is wrong now."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from cloud_hub.cli.shared import types
from cloud_hub.cli.shared.hub_address import HubAddress
from cloud_hub.cli.shared.output import Result, TextTable, local_time, note, pairs
from cloud_hub.cli.shared.registration import WATCH, command, group

LONGEST_POLL = 25.0

Kinds = Annotated[
    list[str] | None,
    typer.Option("--kind", metavar="KIND", help="Only such as rollout; may be given again."),
]
Models = Annotated[
    list[str] | None,
    typer.Option(
        "--model", parser=types.name, metavar="MODEL", help="Only of it; may be given again."
    ),
]
LeastSevere = Annotated[
    str, typer.Option("--severity", metavar="LEVEL", help="Least: info, warning or critical.")
]
AboutDevice = Annotated[
    str | None, typer.Option("--device", metavar="DEVICE", help="Only about this device.")
]
After = Annotated[
    int | None,
    typer.Option(parser=types.whole(0), metavar="ID", help="Only what came after this event."),
]
Follow = Annotated[
    bool, typer.Option("--follow", "-f", help="Go on, and print events as they happen.")
]
AsLines = Annotated[
    bool, typer.Option("--lines", help="With --follow: one JSON object a line, for programs.")
]
Past = Annotated[
    int, typer.Option(parser=types.whole(0, 1_000), metavar="NUMBER", help="Closed ones besides.")
]
Key = Annotated[str, typer.Argument(metavar="KEY", help="Of the alarm, as the list has it.")]


def add_commands(app: typer.Typer) -> None:
    """Add ``events`` and ``alarms``."""
    example = "edge-hub events --model digits --severity warning --follow"
    command(app, "events", panel=WATCH, example=example)(_events)
    alarms = group(app, "alarms", "What is wrong now, and who has seen it.", panel=WATCH)
    command(alarms, "list", example="edge-hub alarms list --past 20")(_alarms)
    acknowledge = "edge-hub alarms acknowledge devices_lost:digits"
    command(alarms, "acknowledge", example=acknowledge)(_acknowledge)


def _events(
    hub: HubAddress,
    kind: Kinds = None,
    model: Models = None,
    severity: LeastSevere = "info",
    device: AboutDevice = None,
    after: After = None,
    limit: types.Limit = None,
    follow: Follow = False,
    lines: AsLines = False,
) -> Result:
    """Show what happened, oldest first; --follow goes on until Ctrl-C."""
    query = {"kind": kind, "model": model, "severity": severity, "device": device, "limit": limit}
    page = hub.client().get("events", after=after, **query)
    if follow:
        _follow(hub, page, query, as_json=lines)
    return Result(page, _events_table)


def _follow(hub: HubAddress, page: Any, query: dict[str, Any], *, as_json: bool) -> None:
    for event in _arriving(hub, page, query):
        # At once, also into a pipe: whoever reads it waits for this line.
        print(json.dumps(event, sort_keys=True) if as_json else _line(event), flush=True)


def _arriving(hub: HubAddress, page: Any, query: dict[str, Any]) -> Iterator[dict[str, Any]]:
    from cloud_hub.errors import Unavailable

    client = hub.client(timeout=LONGEST_POLL + 60.0)
    while True:
        yield from page["events"]
        try:
            page = client.get("events", **{**query, "after": page["next"], "wait": LONGEST_POLL})
        except Unavailable as error:
            note(f"{error}; trying again")
            page = {"events": [], "next": page["next"]}


def _alarms(hub: HubAddress, model: types.OnlyModel = None, past: Past = 0) -> Result:
    """Show open alarms with what to do, oldest first; exit status 1 if one is critical."""
    found = hub.client().get("alarms", model=model, past=past)
    is_bad = any(a["severity"] == "critical" and a["closed_at"] is None for a in found)
    return Result(found, _alarms_table, status=int(is_bad))


def _acknowledge(hub: HubAddress, key: Key) -> Result:
    """Say that you have seen an alarm."""
    hub.client().post("alarms/acknowledge", key=key)
    return Result({"key": key}, lambda _: f"{key} is acknowledged")


def _line(event: dict[str, Any]) -> str:
    about = [event["model"], event["version"], event["device"]]
    data = event["data"]
    said = data.get("says") or data.get("reason") or data.get("signal") or ""
    words = [
        local_time(event["time"]), event["severity"], event["type"].removeprefix("edge."),
        *(part for part in about if part), f"by {event['actor']}",
    ]  # fmt: skip
    return " ".join(words) + (f": {said}" if said else "")


def _events_table(page: dict[str, Any]) -> TextTable:
    columns = ("id", "time", "severity", "type", "model", "actor", "detail")
    rows = [
        (
            str(e["id"]), local_time(e["time"]), e["severity"], e["type"].removeprefix("edge."),
            e["model"], e["actor"], _shortened(pairs(e["data"])),
        )
        for e in page["events"]
    ]  # fmt: skip
    return TextTable(columns, rows, empty="no events")


def _alarms_table(alarms: list[dict[str, Any]]) -> TextTable:
    columns = ("key", "severity", "since", "state", "what", "what to do")
    rows = [
        (a["key"], a["severity"], local_time(a["opened_at"]), _state(a), a["says"], a["todo"])
        for a in alarms
    ]
    return TextTable(columns, rows, empty="no alarms")


def _state(alarm: dict[str, Any]) -> str:
    if alarm["closed_at"] is not None:
        return "closed"
    return f"seen by {alarm['acknowledged_by']}" if alarm["acknowledged_by"] else "open"


def _shortened(text: str, most: int = 160) -> str:
    return text if len(text) <= most else text[: most - 3] + "..."
