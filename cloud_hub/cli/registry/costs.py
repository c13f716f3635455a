"""``edge-hub cost``: what a model costs, and what packs and the cascade save."""

from __future__ import annotations

from typing import Any

import typer

from cloud_hub.cli.shared import types
from cloud_hub.cli.shared.hub_address import HubAddress
from cloud_hub.cli.shared.output import Result, TextTable, View
from cloud_hub.cli.shared.registration import WATCH, command

_COLUMNS = ("training core s", "batch core s", "sent MB", "of the bucket MB", "cloud answers")


def add_commands(app: typer.Typer) -> None:
    """Add ``cost``."""
    command(app, "cost", panel=WATCH, example="edge-hub cost digits --since 7d")(_cost)


def _cost(hub: HubAddress, model: types.Model, since: types.SinceMonth = 30 * types.DAY) -> Result:
    """Show what a model cost by day, run and experiment, and what packs and the cascade saved."""
    report = hub.client().get(f"models/{model}/cost", since=types.begin_of(since))
    return Result(report, _view)


def _view(report: dict[str, Any]) -> View:
    parts = [("day", "days"), ("version", "versions"), ("run", "runs"), ("batch", "batches")]
    tables = [
        TextTable((word, *_COLUMNS), _rows(report[name]), title=f"by {word}")
        for word, name in [*parts, ("experiment", "experiments")]
        if report[name]
    ]
    return [_head(report), *tables]


def _rows(amounts: dict[str, dict[str, float]]) -> list[tuple[Any, ...]]:
    return [(name or "of no version", *_figures(each)) for name, each in amounts.items()]


def _figures(each: dict[str, float]) -> tuple[float, ...]:
    return (
        round(each["training_core_seconds"], 1), round(each["batch_core_seconds"], 1),
        round(each["bytes_sent"] / 1e6, 3), round(each.get("bucket_bytes", 0.0) / 1e6, 3),
        int(each["cloud_answers"]),
    )  # fmt: skip


def _head(report: dict[str, Any]) -> str:
    training, batch, sent, bucket, answers = _figures(report["amounts"])
    of_bucket = f", {bucket:,.3f} MB at most by the bucket" if bucket else ""
    saved, money = report["saved"], report["money"]
    stored = sum(report["stored"].values()) / 1e6
    lines = [
        f"{report['model']}: {training + batch:,.1f} core-seconds, {sent:,.3f} MB sent{of_bucket}, "
        f"{answers:,} answers of the cloud; {stored:,.1f} MB stored",
        f"  {saved['pack_answers']:,} answers came from packs, {saved['device_answers']:,} from "
        f"devices, {saved['cloud_answers']:,} from the cloud",
    ]
    if money is not None:
        unit = report["currency"]
        lines.append(f"  {money['whole']:,.2f} {unit} of what has a price")
        if saved["by_packs"] is not None:
            lines.append(
                f"  saved: {saved['by_packs']:,.2f} {unit} by packs, "
                f"{saved['by_cascade']:,.2f} {unit} by answers of devices"
            )
    return "\n".join(lines)
