"""``edge-hub freshness``: is it worth retraining more often?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cloud_hub.cli.shared import types
from cloud_hub.cli.shared.engine_options import EngineKind, Processes, RayAddress, side_by_side
from cloud_hub.cli.shared.hub_address import HubAddress
from cloud_hub.cli.shared.output import Result, progress
from cloud_hub.cli.shared.registration import RETRAIN, command

if TYPE_CHECKING:
    from cloud_hub.engine.engine import Engine
    from cloud_hub.freshness.analysis import FreshnessQuestion, Known, LabelledHistory, Train

Rows = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help=".npz with X, y and t (Unix seconds), Parquet or CSV; default: shared rows.",
    ),
]
Label = Annotated[
    str | None,
    typer.Option("--label", metavar="COLUMN", help="Column of the labels in --rows; default: y."),
]
Time = Annotated[
    str | None,
    typer.Option("--time", metavar="COLUMN", help="Column of the times in --rows; default: t."),
]
Entry = Annotated[
    str | None,
    typer.Option(metavar="MODULE:FUNCTION", help="Training function; default: the policy's."),
]
Alternative = Annotated[
    str | None,
    typer.Option(
        metavar="MODULE:FUNCTION", help="Another one: iterate on the model, not on the data."
    ),
]
PythonPath = Annotated[
    str | None,
    typer.Option("--path", metavar="FOLDER", help="Where the modules of the functions are."),
]
Every = Annotated[str, typer.Option(metavar="DURATIONS", help="Schedules to compare.")]
LabelDelay = Annotated[
    float,
    typer.Option(
        parser=types.duration,
        metavar="DURATION",
        help="Time until a label is known.",
        show_default="0s",
    ),
]
Worthwhile = Annotated[
    float,
    typer.Option(
        parser=types.amount(1e9, zero=True), metavar="GAIN", help="Smallest gain that pays."
    ),
]
Seed = Annotated[
    int, typer.Option(parser=types.whole(0), metavar="NUMBER", help="Of the random numbers.")
]
Out = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Report to write: .html, .png or .svg.")
]


def add_commands(app: typer.Typer) -> None:
    """Add ``freshness``."""
    example = "edge-hub freshness digits --every 30d,7d --out report.html"
    command(app, "freshness", panel=RETRAIN, example=example)(_freshness)


def _freshness(
    hub: HubAddress,
    model: types.Model,
    rows: Rows = None,
    label: Label = None,
    time: Time = None,
    entry: Entry = None,
    alternative: Alternative = None,
    path: PythonPath = None,
    every: Every = "30d,7d,1d",
    label_delay: LabelDelay = 0.0,
    worthwhile: Worthwhile = 0.005,
    seed: Seed = 0,
    out: Out = None,
    processes: Processes = 1,
    engine: EngineKind = "local",
    ray_address: RayAddress = "",
) -> Result:
    """Measure on a model's history whether more frequent retraining pays."""
    from cloud_hub.freshness.analysis import FreshnessQuestion, freshness
    from cloud_hub.freshness.report import check_report, reading, write_report
    from cloud_hub.text.durations import parse_duration

    if out:
        check_report(out)  # before minutes of training, not after them
    schedules = [parse_duration(part) for part in every.split(",")]
    if entry is None:
        entry, path = _policy_entry(hub, model, path)
    train, other = _function(entry, path), _function(alternative, path) if alternative else None
    history = _history(hub, model, rows, label, time)
    question = FreshnessQuestion(schedules, label_delay, worthwhile, seed=seed)
    where = side_by_side(engine, ray_address, processes)
    report = freshness(
        train,
        history,
        question,
        alternative=other,
        known=_known(where, (entry, alternative), path, history, question),
        progress=progress,
    )
    if out:
        write_report(report, out, title=f"{model}: is it worth retraining more often?")
    gains = [f"  {gain.text()}" for gain in (*report.gains, *report.iteration)]
    text = "\n".join([report.verdict.text, *gains, reading(report)])
    return Result(report.as_json(), lambda _: text)


def _known(
    engine: Engine | None,
    entries: tuple[str, str | None],
    path: str | None,
    history: LabelledHistory,
    question: FreshnessQuestion,
) -> tuple[Known, Known]:
    """What both trainings came to, where an engine trains."""
    from cloud_hub.freshness.spreading import spread_losses

    if engine is None:
        return {}, {}
    first, second = (
        spread_losses(engine, entry, path, history, question, progress) if entry else {}
        for entry in entries
    )
    return first, second


def _policy_entry(hub: HubAddress, model: str, path: str | None) -> tuple[str, str | None]:
    """The training function of the policy in force, and the folder of its module."""
    from cloud_hub.errors import Invalid
    from cloud_hub.policy.schema import parse_policy

    text = hub.client().get(f"models/{model}/policy")["text"]
    train = parse_policy(text).train
    if train is None or train.entry is None:
        raise Invalid(f"{model}: its policy has no train.entry; say --entry")
    return train.entry, path or train.path


def _function(entry: str, path: str | None) -> Train:
    from cloud_hub.errors import Invalid
    from cloud_hub.runs.entry_point import function_of

    try:
        return function_of(entry, path)
    except Exception as error:  # importing a module raises anything
        raise Invalid(
            f"{entry}: expected module:function that can be imported here; "
            f"{type(error).__name__}: {error} (--path FOLDER says where the module is)"
        ) from error


def _history(
    hub: HubAddress, model: str, rows: Path | None, label: str | None, time: str | None
) -> LabelledHistory:
    from cloud_hub.data.dataset import Dataset
    from cloud_hub.freshness.analysis import LabelledHistory

    if rows is not None:
        return LabelledHistory.of(Dataset.read(rows, label=label, time=time), str(rows))
    shared = hub.client().fetch(f"models/{model}/samples", format="parquet")
    return LabelledHistory.of(Dataset.from_bytes(shared), "shared rows")
