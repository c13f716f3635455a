"""Commands of ``edge-convert``. Everything heavy is imported inside them.

Each one reads its options, makes one call into the package, and prints. Errors are left to
:func:`converters.cli.main.main`, which turns them into a sentence and an exit code.
"""

from __future__ import annotations

import logging
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import typer
from typer.core import TyperGroup

from converters.cli import importing, options, output
from converters.cli.exchange import add_commands
from edge_sdk.cli.logs import configure_logging

if TYPE_CHECKING:
    from converters.cli.request import ConversionRequest

log = logging.getLogger(__name__)

PANEL: Final = "Release"

EXIT_CODES: Final = (
    "Exit codes: 0 done · 1 refused or failed, with the reason on stderr · 2 wrong usage · "
    "130 interrupted · 141 output closed."
)


class DefaultToConvert(TyperGroup):
    """Commands among which ``convert`` may be left out: ``edge-convert MODEL --data ...``."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Take what is not the name of a command for the model of ``convert``."""
        word = args[0]
        # A word without a suffix that is nearly a command is a typing error, not a model file.
        mistyped = not Path(word).suffix and get_close_matches(word, self.commands)
        if word not in self.commands and not word.startswith("-") and not mistyped:
            args = ["convert", *args]
        return super().resolve_command(ctx, args)


app = typer.Typer(
    cls=DefaultToConvert,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=EXIT_CODES,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: options.Version = False,
    log_level: options.Level = "warning",
    log_format: options.Format = "text",
) -> None:
    """Turn a trained model into a small, certified release."""
    if version:
        from importlib.metadata import version as version_of

        print("edge-convert", version_of("edge-deployment-sdk-core"))
        raise typer.Exit
    if context.invoked_subcommand is None:
        context.fail("Missing command: convert, verify, show, push, pull or sign.")
    configure_logging(log_level, log_format, ("converters", "edge_sdk"))


@app.command(
    "convert",
    rich_help_panel=PANEL,
    epilog="Example: edge-convert convert model.skops --data held-out.npz --name churn "
    f"--out churn-1.0 --budget 'size<=200KB p99<=50us'\n\n{EXIT_CODES}",
)
def _convert(
    model: options.ModelFile,
    data: options.Data,
    name: options.Name,
    out: options.Out,
    label: options.Label = None,
    group: options.Group = [],  # noqa: B006 (typer gives each call a list of its own)
    classes: options.Classes = None,
    outputs: options.Outputs = None,
    threshold: options.Threshold = None,
    kind: options.Kinds = [],  # noqa: B006 (likewise)
    embedding: options.Embedding = None,
    version: options.ReleaseVersion = "1.0",
    parent: options.Parent = None,
    licence: options.Licence = None,
    purpose: options.Purpose = "",
    limits_of_use: options.LimitsOfUse = [],  # noqa: B006 (as for --group)
    ignore_extra: options.IgnoreExtra = False,
    trust: options.Trust = False,
    variants: options.Variants = None,
    budget: options.Budget = None,
    target: options.Target = None,
    ship: options.Ship = None,
    seconds: options.Seconds = None,
    p99_ms: options.P99 = None,
    rss_mb: options.Memory = None,
    calibrate_against: options.Cloud = None,
    cascade_metric: options.Metric = "max_probability",
    cascade_disagreement: options.Disagreement = 0.02,
    plot: options.Plot = None,
    as_json: options.Json = False,
) -> None:
    """Convert a model file into a release folder, and print its certificate."""
    from converters.cli.request import ConversionRequest

    request = ConversionRequest(
        model, data, label, tuple(group), classes, outputs, threshold, tuple(kind), embedding,
        name, out, version, parent, licence, purpose, tuple(limits_of_use), ignore_extra,
        trust, variants, budget, target, ship, seconds, p99_ms, rss_mb,
        calibrate_against, cascade_metric, cascade_disagreement,
    )  # fmt: skip
    _run(request, plot, as_json=as_json)


def _run(request: ConversionRequest, plot: Path | None, *, as_json: bool) -> None:
    from converters.certification.picture import check_plot, write_plot
    from converters.conversion import convert

    if plot is not None:
        check_plot(plot)  # before the work of a minute, not after it
    log.info("converting %s, with the rows of %s", request.model, request.data)
    with output.progress() as report:
        release = request.run(convert, report)
    output.print_certificate(release, as_json)
    if plot is not None:
        write_plot(release.certificate(), plot)


app.command("import", rich_help_panel=PANEL, epilog=f"{importing.EXAMPLE}\n\n{EXIT_CODES}")(
    importing.import_model
)


@app.command(
    "verify",
    rich_help_panel=PANEL,
    epilog=f"Example: edge-convert verify churn-1.0\n\n{EXIT_CODES}",
)
def _verify(
    release: options.ReleaseFolder, digest: options.Digest = None, as_json: options.Json = False
) -> None:
    """Check a release again, on this machine, with the device's runtime."""
    from converters.certification.verify import verify
    from edge_sdk.errors import ReleaseError
    from edge_sdk.model.release import Release

    opened = Release.open(release)
    if digest not in (None, opened.digest):
        raise ReleaseError(f"{release}: expected the release {digest}, found {opened.digest}")
    output.print_verification(verify(opened), as_json)


@app.command(
    "show",
    rich_help_panel=PANEL,
    epilog=f"Example: edge-convert show churn-1.0 --json\n\n{EXIT_CODES}",
)
def _show(release: options.ReleaseFolder, as_json: options.Json = False) -> None:
    """Print the certificate of a release."""
    from edge_sdk.model.release import Release

    output.print_certificate(Release.open(release), as_json)


add_commands(app, EXIT_CODES)
