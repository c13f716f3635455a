"""``edge-convert import``: models of MLflow and Hugging Face. Heavy imports are in the command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from converters.cli import options, output

Source = Annotated[
    Path,
    typer.Argument(
        metavar="FOLDER",
        help="With MLmodel (MLflow) or config.json (Hugging Face), or an mlruns folder.",
    ),
]
Run = Annotated[str | None, typer.Option("--run", metavar="ID", help="Run of the mlruns folder.")]
Registered = Annotated[
    str | None,
    typer.Option(
        "--model", metavar="NAME/VERSION", help="Registered model; also NAME@ALIAS, models:/NAME/3."
    ),
]
EXAMPLE: Final = (
    "Example: edge-convert import mlruns --model churn@champion --data held-out.npz --name churn "
    "--out churn-1.0 --trust"
)


def import_model(
    source: Source,
    data: options.Data,
    name: options.Name,
    out: options.Out,
    run: Run = None,
    registered: Registered = None,
    label: options.Label = None,
    version: options.ReleaseVersion = "1.0",
    licence: options.Licence = None,
    trust: options.Trust = False,
    budget: options.Budget = None,
    as_json: options.Json = False,
) -> None:
    """Make a release of a model of MLflow or Hugging Face, with its parameters and metrics."""
    from converters.cli.row_files import read_rows
    from converters.conversion import convert
    from converters.importing.opening import open_import

    found = open_import(source, run=run, registered=registered, trust=trust)
    rows = read_rows(data, label, ())
    with output.progress() as report:
        release = convert(
            found.model, rows.X, rows.y, name=name, out=out, version=version, trust=trust,
            licence=licence or found.licence, origin=found.origin, reported=found.reported,
            budget=budget, progress=report,
        )  # fmt: skip
    output.print_certificate(release, as_json)
