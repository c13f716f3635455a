"""``edge-hub telemetry``: what the fleet reports."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from cloud_hub.cli.shared import types
from cloud_hub.cli.shared.hub_address import HubAddress
from cloud_hub.cli.shared.output import Result, TextTable, View, local_time, pairs, plural
from cloud_hub.cli.shared.registration import WATCH, command, group
from cloud_hub.cli.shared.stored_features import stored_features_lines
from edge_sdk.contract.limits import UPLOAD_MESSAGES

QUANTILES: Final = ("p50", "p95", "p99")
SCREEN: Final = 15
"""Windows that ``telemetry`` shows unless ``--limit`` says otherwise."""


ReportsFile = Annotated[
    Path, typer.Argument(metavar="FILE", help="Messages, one a line, as edge replay writes them.")
]
ReplayName = Annotated[
    str,
    typer.Option("--as", parser=types.name, metavar="NAME", help="Name: replay-NAME."),
]

Out = Annotated[
    Path | None,
    typer.Option("--out", metavar="FOLDER", help="Save each here as ID.npz, with its label."),
]

READ_BYTES: Final = 8 << 20
"""Of messages that are sent at once, about: half of what a hub takes."""


def add_commands(app: typer.Typer) -> None:
    """Add ``telemetry``."""
    text = "What devices report, and reports that were made elsewhere."
    actions = group(app, "telemetry", text, panel=WATCH)
    command(actions, "show", example="edge-hub telemetry show digits --since 12h")(_telemetry)
    example = "edge-hub telemetry import digits june.reports --as june"
    command(actions, "import", example=example)(_import)
    example = "edge-hub telemetry tensors faces --out shared/"
    command(actions, "tensors", example=example)(_tensors)


def _import(hub: HubAddress, model: types.Model, file: ReportsFile, name: ReplayName) -> Result:
    """Take the reports of a replayed history, as those of a device of its own."""
    taken = Counter[str]()
    reasons: dict[str, None] = {}
    sent: dict[str, Any] = {"device": None}
    for upload in _uploads(file):
        sent = hub.client().post(f"models/{model}/telemetry/import", upload, name=name)
        taken.update({key: sent[key] for key in ("accepted", "duplicates")})
        taken["rejected"] += len(sent["rejected"])
        reasons |= dict.fromkeys(each["reason"] for each in sent["rejected"])
    result = {"device": sent["device"], **taken, "reasons": list(reasons)[:5]}
    return Result(result, lambda r: pairs(r))


def _tensors(hub: HubAddress, model: types.Model, out: Out = None) -> Result:
    """Show inputs that are no table, as devices shared them with labels; --out saves them."""
    client, path, after = hub.client(), f"models/{model}/tensors", 0
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
    found = client.get(path)
    some = found["samples"]
    while out is not None and some:
        for each in some:
            client.save(f"{path}/{each['id']}", out / f"{each['id']}.npz")
        after = some[-1]["id"]
        some = client.get(path, after=after)["samples"]
    return Result(found, _tensors_view)


def _tensors_view(found: dict[str, Any]) -> View:
    columns = ("id", "taken", "version", "device", "label", "shapes", "bytes")
    lines = [
        (s["id"], local_time(s["taken"]), s["version"], s["device"], s["label"],
         ", ".join(f"{n} {'x'.join(map(str, shape))}" for n, shape in s["shapes"].items()),
         s["bytes"])
        for s in found["samples"][-SCREEN:]
    ]  # fmt: skip
    table = TextTable(columns, lines, empty="nothing was shared")
    return [table, f"{plural(found['count'], 'input')}, {found['bytes']:,} bytes compressed"]


def _uploads(file: Path) -> Iterator[bytes]:
    """Yield bodies for ``POST /v1/messages``; raises BadParameter for what is no such file."""
    waiting: list[bytes] = []
    try:
        with file.open("rb") as lines:
            for line in lines:
                if waiting and (
                    len(waiting) == UPLOAD_MESSAGES
                    or sum(map(len, waiting)) + len(line) > READ_BYTES
                ):
                    yield _upload(waiting)
                    waiting = []
                waiting.append(line.strip())
    except OSError as error:
        raise typer.BadParameter(f"{file}: {error.strerror}") from error
    if waiting:
        yield _upload(waiting)


def _upload(messages: list[bytes]) -> bytes:
    return b'{"messages":[' + b",".join(filter(None, messages)) + b"]}"


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
