"""``edge-convert import``: models of MLflow and Hugging Face. Heavy imports are in the command."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Final

import typer

from converters.cli import options, output

if TYPE_CHECKING:
    from edge_sdk.model.release import Release

Source = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        help="Folder with MLmodel (MLflow) or config.json (Hugging Face), an mlruns folder, or the "
        "URL of an MLflow server.",
    ),
]
Run = Annotated[str | None, typer.Option("--run", metavar="ID", help="Run of MLflow.")]
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


def add_commands(app: typer.Typer, convert: Callable[..., Release], *, panel: str) -> None:
    """Add ``import``.

    Args:
        app: the command line.
        convert: :func:`converters.conversion.convert`, loaded when it is called.
        panel: of the help that the command stands in.
    """

    @app.command("import", rich_help_panel=panel, epilog=EXAMPLE)
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
        from converters.importing.opening import open_import

        rows = read_rows(data, label, ())
        with (
            TemporaryDirectory(prefix="edge-convert-import-") as place,
            output.progress() as report,
        ):
            found = open_import(
                source, run=run, registered=registered, trust=trust, place=Path(place)
            )
            release = convert(
                found.model, rows.X, found.named_labels(rows.y), name=name, out=out,
                version=version, trust=trust, licence=licence or found.licence, origin=found.origin,
                reported=found.reported, budget=budget, progress=report, **found.layout(),
            )  # fmt: skip
        output.print_certificate(release, as_json)
