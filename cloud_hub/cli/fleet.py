"""``edge-hub telemetry``: what the fleet reports."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

import typer

from cloud_hub.cli.shared import types
from cloud_hub.cli.shared.hub_address import HubAddress
from cloud_hub.cli.shared.output import Result, TextTable, View, local_time, plural
from cloud_hub.cli.shared.registration import WATCH, command
from cloud_hub.cli.shared.stored_features import stored_features_lines

QUANTILES: Final = ("p50", "p95", "p99")
SCREEN: Final = 15
"""Windows that ``telemetry`` shows unless ``--limit`` says otherwise."""


def add_commands(app: typer.Typer) -> None:
    """Add ``telemetry``."""
    telemetry = "edge-hub telemetry digits --since 12h"
    command(app, "telemetry", panel=WATCH, example=telemetry)(_telemetry)


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
        "window", "version", "arm", "devices", "predictions", "errors", "correct", "mae", "p50 ms",
        "p95", "p99",
    )  # fmt: skip
    table = TextTable(columns, [_window_row(w) for w in windows[-limit:]], empty="no windows")
    view: list[str | TextTable] = [table]
    if len(windows) > limit:
        view.append(f"the newest {limit} of {len(windows):,} windows; --limit shows more")
    made = sum(report["devices"].values())
    view.append(f"{plural(len(report['devices']), 'device')}, {plural(made, 'prediction')} ever")
    names = ("stale", "defaulted")
    view += stored_features_lines(
        {name: sum(window[name] for window in windows) for name in names}
        | {"predictions": sum(sum(window["predictions"].values()) for window in windows)}
    )
    happened = Counter((event["version"], event["outcome"]) for event in report["events"])
    view += [
        f"{version} {outcome}: {plural(count, 'time')}"
        for (version, outcome), count in sorted(happened.items())
    ]
    return view


def _window_row(window: dict[str, Any]) -> tuple[Any, ...]:
    """``correct`` is the share of labelled answers of the device's own model that were right, and
    ``mae`` how far off its numbers were on average.
    """
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
        None if window.get("mae") is None else f"{window['mae']:.4g}",
        *(micros[name] / 1_000 if name in micros else None for name in QUANTILES),
    )
