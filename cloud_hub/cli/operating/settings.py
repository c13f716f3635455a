"""``edge-hub settings show``: what ``serve`` would do, and what says so."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import typer

from cloud_hub.cli.shared.output import Result, TextTable
from cloud_hub.cli.shared.registration import ADMINISTER, command, group
from cloud_hub.cli.shared.settings_file import in_force


def add_settings(app: typer.Typer, serve: Callable[..., None], environment: str) -> None:
    """Add ``settings``.

    Args:
        app: the command line.
        serve: the command whose options they are.
        environment: prefix of variables that set them.
    """
    text = "Settings of the hub's process: by option, variable or file."
    settings = group(app, "settings", text, panel=ADMINISTER)
    show = functools.partial(_show)
    functools.update_wrapper(show, _show)
    show.__signature__ = _signature(serve)  # type: ignore[attr-defined]
    example = "edge-hub settings show hub-data --port 8443"
    command(settings, "show", example=example, environment=environment)(show)


def _show(**values: Any) -> Result:
    """Show the settings that serve would have with these options here, and what sets each."""
    context = values["context"]
    rows = [row._asdict() for row in in_force(context)]
    data = str(context.params["data"])
    return Result({"data": data, "settings": rows}, lambda shown: _table(shown["settings"]))


def _table(rows: list[dict[str, Any]]) -> TextTable:
    told = [(row["key"], row["value"], row["source"]) for row in rows]
    return TextTable(("setting", "value", "set by"), told)


def _signature(serve: Callable[..., None]) -> inspect.Signature:
    """Return the options of ``serve``, which this command takes as they are."""
    parameters = inspect.signature(serve, eval_str=True).parameters.values()
    context = inspect.Parameter(
        "context", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context
    )
    return inspect.Signature([context, *parameters], return_annotation=Result)
