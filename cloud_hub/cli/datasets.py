"""``edge-hub features``: batch features of entities, joined where devices predict."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from cloud_hub.cli import types
from cloud_hub.cli.hub_address import HubAddress
from cloud_hub.cli.output import Result, TextTable, View, local_time, pairs, plural
from cloud_hub.cli.registration import RELEASE, command

Put = Annotated[
    Path | None, typer.Option(metavar="CSV", help="Take features in: the entity, then columns.")
]
Defaults = Annotated[
    list[str] | None,
    typer.Option("--default", metavar="NAME=VALUE", help="Of a column, for other entities."),
]
Replace = Annotated[bool, typer.Option("--replace", help="Forget all entities of before.")]
Expiry = Annotated[
    float | None,
    typer.Option(
        parser=types.amount(types.LONGEST_HOURS),
        metavar="HOURS",
        help="After which devices stop using them.",
    ),
]


def add_commands(app: typer.Typer) -> None:
    """Add ``features``."""
    features = "edge-hub features shop --put users.csv --default orders=0"
    command(app, "features", panel=RELEASE, example=features)(_features)


def _features(
    hub: HubAddress,
    model: types.Model,
    put: Put = None,
    default: Defaults = None,
    replace: Replace = False,
    hours: Expiry = None,
) -> Result:
    """Show the batch features of a model's entities, or take new ones in."""
    from cloud_hub.errors import Invalid

    client, path = hub.client(), f"models/{model}/features"
    if put is None:
        if default or hours or replace:
            raise Invalid("--default, --hours and --replace say how a file is taken in; --put CSV")
        return Result(client.get(path), _features_view)
    # The file is read and checked here: a mistake in line 1,000,000 is told before the upload.
    from cloud_hub.features.reading import parse_defaults, read_csv
    from edge_sdk.contract.codec import encode

    table = read_csv(put, parse_defaults(default or []))
    expires = int(time.time() + 3_600 * hours) if hours else None
    answer = client.post(path, encode(table), expires=expires, replace=replace or None)
    return Result(answer, _features_view)


def _features_view(status: dict[str, Any]) -> View:
    lines = [f"{status['model']}: {plural(status['entities'], 'entity', 'entities')}"]
    lines.append(f"  defaults: {pairs(status['defaults']) or 'none'}")
    lines.append(f"  updated: {local_time(status['updated_at'])}")
    if status["expires"]:
        lines.append(f"  not used after: {local_time(status['expires'])}")
    rows = [(v, file["bytes"], file["sha256"][:12]) for v, file in status["files"].items()]
    files = TextTable(("version", "bytes", "sha256"), rows, empty="no plan hands them out yet")
    return ["\n".join(lines), files]
