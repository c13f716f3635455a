"""``edge-hub freshness``: is it worth retraining more often?"""

from __future__ import annotations

import argparse
import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloud_hub.cli import types as words
from cloud_hub.cli.common import add_command, client_of

if TYPE_CHECKING:
    from cloud_hub.freshness.analysis import LabelledHistory, Train


def add_commands(commands: Any) -> None:
    """Add ``freshness`` to the commands of ``edge-hub``."""
    text = "is it worth retraining more often? measured on the history of a model"
    command = add_command(commands, "freshness", text, _freshness)
    command.add_argument(
        "--rows", type=Path, help=".npz with X, y and t (Unix seconds); default: what was shared"
    )
    command.add_argument("--entry", help="module:function of train; default: the policy's")
    command.add_argument("--alternative", help="another one: iterate on the model, not the data")
    command.add_argument("--path", help="put before Python's own, to find the functions")
    command.add_argument("--every", default="30d,7d,1d", help="schedules to compare")
    command.add_argument(
        "--label-delay", type=words.duration, default="0s", help="until a label is known"
    )
    command.add_argument(
        "--worthwhile",
        type=words.amount(1e9, zero=True),
        default=0.005,
        help="smallest gain that pays",
    )
    command.add_argument("--seed", type=words.whole(0), default=0)
    command.add_argument("--out", type=Path, help="report: .html, .png or .svg")
    command.add_argument("--json", action="store_true", help="every figure, for programs")


def _freshness(arguments: argparse.Namespace) -> Any:
    from cloud_hub.freshness.analysis import FreshnessQuestion, freshness
    from cloud_hub.freshness.report import check_report, reading, write_report
    from cloud_hub.text.durations import parse_duration

    if arguments.out:
        check_report(arguments.out)
    every = [parse_duration(part) for part in arguments.every.split(",")]
    entry, path = _entry(arguments)
    other = _function(arguments.alternative, path) if arguments.alternative else None
    found = freshness(
        _function(entry, path),
        _history(arguments),
        FreshnessQuestion(every, arguments.label_delay, arguments.worthwhile, seed=arguments.seed),
        alternative=other,
        progress=lambda line: print(line, file=sys.stderr, flush=True),
    )
    if arguments.out:
        title = f"{arguments.model}: is it worth retraining more often?"
        write_report(found, arguments.out, title=title)
    if arguments.json:
        return found.as_json()
    gains = [f"  {gain.text()}" for gain in (*found.gains, *found.iteration)]
    return "\n".join([found.verdict.text, *gains, reading(found)])


def _entry(arguments: argparse.Namespace) -> tuple[str, str | None]:
    from cloud_hub.errors import Invalid
    from cloud_hub.policy.schema import parse_policy

    if arguments.entry:
        return arguments.entry, arguments.path
    text = client_of(arguments).get(f"models/{arguments.model}/policy")["text"]
    train = parse_policy(text).train
    if train is None or train.entry is None:
        raise Invalid(f"{arguments.model}: its policy has no train.entry; say --entry")
    return train.entry, arguments.path or train.path


def _function(entry: str, path: str | None) -> Train:
    from cloud_hub.errors import Invalid
    from cloud_hub.runs.entry_point import function_of

    try:
        return function_of(entry, path)
    except Exception as error:  # whatever a module raises when it is imported
        raise Invalid(
            f"{entry}: expected module:function that can be imported here; "
            f"{type(error).__name__}: {error} (--path FOLDER says where the module is)"
        ) from error


def _history(arguments: argparse.Namespace) -> LabelledHistory:
    import zipfile

    import numpy as np

    from cloud_hub.errors import Invalid
    from cloud_hub.freshness.analysis import LabelledHistory

    if arguments.rows:
        raw = arguments.rows.read_bytes()
    else:
        raw = client_of(arguments).fetch(f"models/{arguments.model}/samples")
    try:
        with np.load(io.BytesIO(raw), allow_pickle=False) as file:
            return LabelledHistory.sorted(file["X"], file["y"], file["t"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise Invalid(
            f"{arguments.rows or 'rows'}: expected an .npz with X, y and t; {error}"
        ) from error
