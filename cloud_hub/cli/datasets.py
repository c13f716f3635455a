"""``edge-hub dataset``: rows that a model is trained and judged on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from cloud_hub.cli import types
from cloud_hub.cli.hub_address import HubAddress
from cloud_hub.cli.npz import check_arrays
from cloud_hub.cli.output import Result, plural, warn
from cloud_hub.cli.registration import RETRAIN, command

Kind = Annotated[
    Literal["holdout", "catalogue", "train"],
    typer.Argument(
        metavar="KIND",
        help="holdout: versions are compared on it; catalogue: a pack answers it; train: trained "
        "on.",
    ),
]


def add_commands(app: typer.Typer) -> None:
    """Add ``dataset``."""
    dataset = "edge-hub dataset digits holdout held-out.npz"
    command(app, "dataset", panel=RETRAIN, example=dataset)(_dataset)


def _dataset(
    hub: HubAddress,
    model: types.Model,
    kind: Kind,
    file: Annotated[Path, typer.Argument(metavar="FILE", help=".npz with X and, labelled, y.")],
) -> Result:
    """Give rows to a model: holdout, catalogue or train."""
    client, raw = hub.client(), file.read_bytes()
    check_arrays(raw, ["X"] if kind == "catalogue" else ["X", "y"], str(file))
    answer = client.post(f"models/{model}/datasets/{kind}", raw)
    if "warning" in answer:
        warn(answer["warning"])
    return Result(answer, lambda a: f"{model}: {plural(a['rows'], 'row')} for {kind}")
