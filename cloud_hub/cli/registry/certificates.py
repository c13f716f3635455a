"""``edge-hub releases certify``: does a certificate still hold, on other rows?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from cloud_hub.cli.shared.engine_options import EngineKind, Processes, RayAddress, side_by_side
from cloud_hub.cli.shared.output import Result, TextTable, View, progress
from cloud_hub.cli.shared.registration import command

ReleaseFolder = Annotated[Path, typer.Argument(metavar="RELEASE", help="Release folder.")]
Rows = Annotated[
    Path,
    typer.Option(
        metavar="FILE",
        help="CSV, Parquet or .npz; of tensors an .npz with each input by its name.",
    ),
]
Label = Annotated[
    str | None,
    typer.Option(metavar="COLUMN", help="Labels in --rows; default: y, if it is there."),
]


def add_certify(actions: typer.Typer) -> None:
    """Add ``certify`` to the commands about releases."""
    example = "edge-hub releases certify digits-1.0 --rows lately.parquet --processes 4"
    command(actions, "certify", example=example)(_certify)


def _certify(
    release: ReleaseFolder,
    rows: Rows,
    label: Label = None,
    processes: Processes = 1,
    engine: EngineKind = "local",
    ray_address: RayAddress = "",
) -> Result:
    """Ask every variant of a release on other rows; status 1 if its certificate does not hold."""
    from dataclasses import asdict

    from cloud_hub.certificates.answers import variant_answers
    from cloud_hub.certificates.holding import held
    from cloud_hub.certificates.rows import rows_of
    from cloud_hub.engine.local import LocalEngine
    from cloud_hub.errors import Invalid
    from edge_sdk.errors import EdgeError
    from edge_sdk.model.release import Release
    from edge_sdk.model.session import row_count

    where = side_by_side(engine, ray_address, processes) or LocalEngine()
    try:
        opened = Release.open(release)
        opened.verify()
        feed, truth = rows_of(opened, rows, label)
        answers = variant_answers(
            where, opened, feed, lambda share: progress(f"{share:.0%} of all answers")
        )
        count = row_count(feed, opened.manifest.signature)
        found = held(opened, answers, truth, count)
    except EdgeError as error:
        raise Invalid(f"{release}: {error}") from error
    told = {**asdict(found), "holds": found.holds}
    return Result(told, _text, status=0 if found.holds else 1)


def _text(found: dict[str, Any]) -> View:
    columns = ("variant", "bytes", "labels differ", "difference", "score", "certified", "verdict")
    rows = [
        (
            each["name"], each["bytes"], f"{each['label_flips']:.2%}",
            f"{each['max_difference']:.3g}", _number(each["score"]),
            _number(each["certified_score"]), each["reason"] or "holds",
        )
        for each in found["variants"]
    ]  # fmt: skip
    head = (
        f"{found['model']} {found['version']} on {found['rows']:,} rows, held to "
        f"{found['reference']}; bounds at {found['confidence']:.0%} confidence"
    )
    return [head, TextTable(columns, rows)]


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"
