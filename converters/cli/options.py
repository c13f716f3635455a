"""Options of ``edge-convert``: the type, the help and the panel of each, in the order of the help.

Typer reads them from the annotations of the commands in :mod:`converters.cli.app`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final, Literal

import typer

_ROWS: Final = "Rows"
_RELEASE: Final = "Release"
_CHOICE: Final = "Choice of the file"
_DEVICE: Final = "Budget on a device"
_CASCADE: Final = "Cascade"
_OUTPUT: Final = "Output"


def _option(panel: str, *names: str, help: str, metavar: str | None = None) -> Any:  # noqa: A002
    return typer.Option(*names, help=help, metavar=metavar, rich_help_panel=panel)


LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["text", "json"]
CascadeMetric = Literal["max_probability", "margin", "entropy"]

Version = Annotated[bool, typer.Option("--version", help="Print the version, and end.")]
Level = Annotated[
    LogLevel, typer.Option("--log-level", help="Least severe messages that stderr gets.")
]
Format = Annotated[
    LogFormat,
    typer.Option("--log-format", help="Log lines for people, or one JSON object a line."),
]
Json = Annotated[bool, _option(_OUTPUT, "--json", help="Print one JSON object instead of tables.")]

ReleaseFolder = Annotated[
    Path, typer.Argument(metavar="RELEASE", help="A release folder.", show_default=False)
]
Digest = Annotated[
    str | None,
    typer.Option(help="SHA-256 that its manifest must have: the release's name.", metavar="SHA256"),
]

ModelFile = Annotated[
    Path,
    typer.Argument(
        metavar="MODEL",
        help="An .onnx, .pt2, .keras, .skops, .pkl or .joblib file.",
        show_default=False,
    ),
]
Trust = Annotated[
    bool,
    typer.Option(
        "--trust",
        help="Allow loading a file that may run code: a pickle, or a .pt2 or .keras that has some.",
    ),
]
Data = Annotated[
    Path, _option(_ROWS, "--data", help="Held-out rows: .npz (X, y), .csv or .parquet.")
]
Label = Annotated[
    str | None,
    _option(
        _ROWS,
        "--label",
        help="Column of a table, or array of an .npz, that holds the labels. Default: y.",
        metavar="COLUMN",
    ),
]
Group = Annotated[
    list[str],
    _option(
        _ROWS,
        "--group",
        help="Column by which rows are grouped, once for each: sex, or age:30,60.",
        metavar="COLUMN:CUTS",
    ),
]
Classes = Annotated[
    str | None,
    _option(
        _ROWS,
        "--classes",
        help="Labels of a network in the order of the columns of its output, by comma.",
        metavar="LABELS",
    ),
]
Outputs = Annotated[
    str | None,
    _option(
        _ROWS,
        "--output",
        help="Meaning of the output of a network: logits, probabilities, multilabel, "
        "multilabel-logits or values; or NAME=KIND of several by comma.",
        metavar="KIND",
    ),
]
Threshold = Annotated[
    float | None,
    _option(
        _ROWS,
        "--threshold",
        help="Score from which a multilabel model gives a label. Default: 0.5.",
        metavar="SCORE",
    ),
]
Kinds = Annotated[
    list[str],
    _option(
        _ROWS,
        "--kind",
        help="What an input of a network holds: image, audio, tokens, series, text or tensor; "
        "once for each. Monitoring watches it as that.",
        metavar="INPUT=KIND",
    ),
]
Embedding = Annotated[
    str | None,
    _option(
        _ROWS,
        "--embedding",
        help="Output or inner tensor of a network that monitoring watches along its principal "
        "directions, or none. Default: the input of a classifier's last layer.",
        metavar="TENSOR",
    ),
]

Name = Annotated[str, _option(_RELEASE, "--name", help="Name of the model.")]
Out = Annotated[Path, _option(_RELEASE, "--out", help="Folder to write. It must not exist.")]
ReleaseVersion = Annotated[
    str, _option(_RELEASE, "--version", help="Version of the release.", metavar="MAJOR.MINOR")
]
Parent = Annotated[
    str | None,
    _option(
        _RELEASE,
        "--parent",
        help="Version that this one continues (stateful training).",
        metavar="MAJOR.MINOR",
    ),
]
Licence = Annotated[
    str | None,
    _option(
        _RELEASE, "--licence", help="Licence of the model, as an SPDX identifier.", metavar="SPDX"
    ),
]

Purpose = Annotated[
    str, _option(_RELEASE, "--purpose", help="What it is for, for the model card.", metavar="TEXT")
]
LimitsOfUse = Annotated[
    list[str],
    _option(
        _RELEASE,
        "--limit-of-use",
        help="What it must not be used for, for the model card; once for each.",
        metavar="TEXT",
    ),
]

IgnoreExtra = Annotated[
    bool,
    _option(
        _RELEASE,
        "--ignore-extra",
        help="Devices leave out columns that are no features, instead of refusing the input.",
    ),
]

Variants = Annotated[
    str | None,
    _option(
        _CHOICE,
        "--variants",
        help="Files to try, by comma, or all. Default: those that pay most often.",
        metavar="NAMES",
    ),
]
Budget = Annotated[
    str | None,
    _option(
        _CHOICE,
        "--budget",
        help="Limits of the file: 'size<=200KB p99<=50us flips<=0.1% accuracy-drop<=0.2%'.",
        metavar="LIMITS",
    ),
]
Target = Annotated[
    str | None,
    _option(
        _CHOICE,
        "--target",
        help="Where it must run: any, pi4, pi3, jetson, laptop or legacy.",
        metavar="NAME",
    ),
]

Ship = Annotated[
    str | None,
    _option(
        _CHOICE,
        "--ship",
        help="Variants that the release holds besides the chosen one, by comma.",
        metavar="NAMES",
    ),
]

Seconds = Annotated[
    float | None,
    _option(
        _CHOICE,
        "--seconds",
        help="Processor time of the search; after it no other variant is begun. Default: 90.",
        metavar="SECONDS",
    ),
]

P99 = Annotated[
    float | None,
    _option(_DEVICE, "--p99-ms", help="99th percentile of one row, in ms.", metavar="MS"),
]
Memory = Annotated[
    float | None,
    _option(_DEVICE, "--rss-mb", help="Memory of the process, in MiB.", metavar="MIB"),
]

Cloud = Annotated[
    Path | None,
    _option(
        _CASCADE,
        "--calibrate-against",
        help="Release of the cloud model: certify when a device need not ask it.",
        metavar="RELEASE",
    ),
]
Metric = Annotated[
    CascadeMetric,
    _option(_CASCADE, "--cascade-metric", help="Measure of how sure an answer is."),
]
Disagreement = Annotated[
    float,
    _option(
        _CASCADE,
        "--cascade-disagreement",
        help="Certified share of answers that stand and differ from the cloud's.",
        metavar="SHARE",
    ),
]

Plot = Annotated[
    Path | None,
    _option(
        _OUTPUT, "--plot", help="Picture of the variants to write, a .png or .svg.", metavar="FILE"
    ),
]
