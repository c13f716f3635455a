"""``edge-hub pipeline``: versions of the code that trains a model, and the way back to one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from cloud_hub.cli.shared import types
from cloud_hub.cli.shared.hub_address import HubAddress
from cloud_hub.cli.shared.output import Result, TextTable, local_time, note, plural
from cloud_hub.cli.shared.registration import RETRAIN, command, group

PipelineNumber = Annotated[
    int, typer.Argument(parser=types.whole(1), metavar="NUMBER", help="Number of the pipeline.")
]
To = Annotated[Path, typer.Argument(metavar="FILE", help="To write: a .zip.")]
SHOWN = 10
"""Packages of another version that are named."""


def add_commands(app: typer.Typer) -> None:
    """Add ``pipeline``."""
    text = "Versions of the code that trains a model; going back to one."
    actions = group(app, "pipeline", text, panel=RETRAIN)
    command(actions, "list", example="edge-hub pipeline list digits")(_list)
    command(actions, "show", example="edge-hub pipeline show digits 3")(_show)
    use = "edge-hub pipeline use digits 2 --reason 'the new features leak'"
    command(actions, "use", example=use)(_use)
    follow = "edge-hub pipeline follow digits --reason 'the leak is mended'"
    command(actions, "follow", example=follow)(_follow)
    command(actions, "export", example="edge-hub pipeline export digits 2 code.zip")(_export)


def _list(hub: HubAddress, model: types.Model) -> Result:
    """List the versions of a model's training code."""
    return Result(hub.client().get(f"models/{model}/pipelines"), _table)


def _show(hub: HubAddress, model: types.Model, number: PipelineNumber) -> Result:
    """Show one version: its files, and which packages are others now."""
    return Result(hub.client().get(f"models/{model}/pipelines/{number}"), _text)


def _use(
    hub: HubAddress, model: types.Model, number: PipelineNumber, reason: types.NeededReason
) -> Result:
    """Go back: train with a version from now on, whatever the policy names."""
    answer = hub.client().post(f"models/{model}/pipelines/{number}/hold", reason=reason)
    return Result(answer, lambda a: f"{model}: held at pipeline {number}\n{_packages(a)}")


def _follow(hub: HubAddress, model: types.Model, reason: types.NeededReason) -> Result:
    """Train with what the policy names again."""
    answer = hub.client().post(f"models/{model}/pipelines/follow", reason=reason)
    return Result(answer, lambda _: f"{model}: follows its policy again")


def _export(hub: HubAddress, model: types.Model, number: PipelineNumber, file: To) -> Result:
    """Write the kept files of a version to a ZIP."""
    from cloud_hub.errors import Invalid
    from edge_sdk.system.files import write_atomic

    raw = hub.client().fetch(f"models/{model}/pipelines/{number}/files")
    try:
        write_atomic(file, raw)
    except OSError as error:
        raise Invalid(f"{file}: cannot be written; {error.strerror}") from error
    note(f"pipeline {number} is in {file}")
    return Result({"file": str(file), "bytes": len(raw)}, lambda a: f"{a['bytes']:,} bytes")


def _table(answer: dict[str, Any]) -> TextTable:
    held = answer["held"]
    rows = [
        (
            v["number"], "held" * (held is not None and held["number"] == v["number"]),
            v["digest"][:12], v["lock"][:12] or "none", len(v["files"]), v["left_out"],
            _call(v), local_time(v["created_at"]),
        )
        for v in answer["versions"]
    ]  # fmt: skip
    names = ("pipeline", "", "digest", "lock", "files", "left out", "trains by", "first seen")
    return TextTable(names, rows, empty="no pipelines; a run notes the code that it trains with")


def _text(version: dict[str, Any]) -> str:
    lines = [
        f"{version['model']}: pipeline {version['number']}, {version['digest']}",
        f"  trains by {_call(version)}; {plural(len(version['files']), 'file')}, "
        f"{version['left_out']} left out; lock {version['lock'] or 'none'}",
        _packages(version),
    ]
    return "\n".join([*lines, *(f"  {path}" for path in version["files"])])


def _call(version: dict[str, Any]) -> str:
    if version["elsewhere"] is not None:
        return f"webhook, with {version['elsewhere']}"
    return str(version["entry"] or " ".join(version["command"] or ()))


def _packages(version: dict[str, Any]) -> str:
    """What going back cannot bring back: packages that were installed then."""
    if version["elsewhere"] is not None:
        return "  code and packages: elsewhere; the webhook is asked for this version"
    if not version["files"]:
        return "  code: of the machine, since train.path names no folder; only its name is kept"
    others = version["other_packages"]
    if not others:
        return "  packages: as they were when it was first seen"
    more = f" and {len(others) - SHOWN} more" if len(others) > SHOWN else ""
    return f"  packages: others than then: {'; '.join(others[:SHOWN])}{more}"
