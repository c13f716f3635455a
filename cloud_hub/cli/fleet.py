"""``edge-hub enrol-token``, ``devices`` and ``telemetry``: the fleet and what it reports."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any, Final

import typer

from cloud_hub.cli import types
from cloud_hub.cli.hub_address import HubAddress
from cloud_hub.cli.output import Result, TextTable, View, local_time, pairs, plural, warn
from cloud_hub.cli.registration import SET_UP, WATCH, command

QUANTILES: Final = ("p50", "p95", "p99")
SCREEN: Final = 15
"""Windows that ``telemetry`` shows unless ``--limit`` says otherwise."""

Uses = Annotated[
    int,
    typer.Option(
        parser=types.whole(1, 10_000_000), metavar="NUMBER", help="Devices that may join with it."
    ),
]
Hours = Annotated[
    float,
    typer.Option(
        parser=types.amount(types.LONGEST_HOURS), metavar="HOURS", help="How long it is valid."
    ),
]


def add_commands(app: typer.Typer) -> None:
    """Add ``enrol-token``, ``devices`` and ``telemetry``."""
    token = "edge-hub enrol-token digits --uses 100 --hours 48"
    command(app, "enrol-token", panel=SET_UP, example=token)(_enrol_token)
    devices = "edge-hub devices --model digits --since 1h"
    command(app, "devices", panel=WATCH, example=devices)(_devices)
    telemetry = "edge-hub telemetry digits --since 12h"
    command(app, "telemetry", panel=WATCH, example=telemetry)(_telemetry)


def _enrol_token(
    hub: HubAddress, model: types.Model, uses: Uses = 1, hours: Hours = 24.0
) -> Result:
    """Make a token with which devices join; it is shown only now."""
    client, seconds = hub.client(), hours * 3_600
    answer = client.post("enrolment-tokens", model=model, uses=uses, seconds=seconds)
    if "warning" in answer:
        warn(answer["warning"])
    return Result(answer, lambda a: str(a["token"]))


def _devices(
    hub: HubAddress,
    model: types.OnlyModel = None,
    since: types.Since = None,
    limit: types.Limit = None,
) -> Result:
    """List devices and their health, in the order in which they joined."""
    begin = types.begin_of(since)
    devices = hub.client().get("devices", model=model, since=begin, limit=limit)
    return Result(devices, _devices_table)


def _devices_table(devices: list[dict[str, Any]]) -> View:
    columns = ("device", "model", "health", "serves", "plan", "seen", "attributes, failures, flags")
    rows = [
        (
            device["device"], device["model"], device["health"], device["version"],
            device["plan"] or None, local_time(device["seen_at"]), _remarks(device),
        )
        for device in devices
    ]  # fmt: skip
    health = Counter(device["health"] for device in devices)
    total = f"{plural(len(devices), 'device')}: {pairs(health)}" if devices else ""
    table = TextTable(columns, rows, empty="no devices; edge-hub enrol-token MODEL lets some join")
    return [table, total] if total else table


def _remarks(device: dict[str, Any]) -> str:
    failed = f"failed: {', '.join(name[:12] for name in device['failed'])}"
    parts = [pairs(device["attributes"]), failed if device["failed"] else ""]
    parts += [
        f"flagged {plural(flag['count'], 'time')}: {flag['reason']}"
        for flag in device.get("flags", ())
    ]
    return "; ".join(part for part in parts if part)


def _telemetry(
    hub: HubAddress,
    model: types.Model,
    since: types.SinceDay = types.DAY,
    limit: types.Limit = None,
) -> Result:
    """Show what devices report by window, in figures; --json has every latency bin."""
    path = f"models/{model}/telemetry"
    report = hub.client().get(path, seconds=since, limit=limit)
    return Result(report, lambda r: _telemetry_view(r, limit or SCREEN))


def _telemetry_view(report: dict[str, Any], limit: int) -> View:
    windows = report["windows"]
    columns = (
        "window", "version", "arm", "devices", "predictions", "errors", "correct", "p50 ms", "p95",
        "p99",
    )  # fmt: skip
    table = TextTable(columns, [_window_row(w) for w in windows[-limit:]], empty="no windows")
    view: list[str | TextTable] = [table]
    if len(windows) > limit:
        view.append(f"the newest {limit} of {len(windows):,} windows; --limit shows more")
    made = sum(report["devices"].values())
    view.append(f"{plural(len(report['devices']), 'device')}, {plural(made, 'prediction')} ever")
    happened = Counter((event["version"], event["outcome"]) for event in report["events"])
    view += [
        f"{version} {outcome}: {plural(count, 'time')}"
        for (version, outcome), count in sorted(happened.items())
    ]
    return view


def _window_row(window: dict[str, Any]) -> tuple[Any, ...]:
    """``correct`` is the share of labelled answers of the device's own model."""
    labelled = window["own_labelled"]
    micros = window.get("latency_us") or {}
    return (
        local_time(window["start"]),
        window["version"],
        window["arm"],
        window["devices"],
        sum(window["predictions"].values()),
        sum(window["errors"].values()),
        f"{window['own_correct'] / labelled:.1%}" if labelled else None,
        *(micros[name] / 1_000 if name in micros else None for name in QUANTILES),
    )
