"""The reference of the three programs, from the parsers that they run."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

OPENING: Final = "<!-- Made from the code by handbook/commands.py. -->\n\n"


def edge() -> str:
    """Return the page of ``edge``."""
    from edge_sdk.cli.main import _parser

    lines = ["# The command `edge`", "", "What a device's machine runs.", ""]
    return OPENING + "\n".join([*lines, *_of_argparse(_parser(), "edge", 2)])


def edge_convert() -> str:
    """Return the page of ``edge-convert``."""
    from converters.cli.app import app

    about = "What makes releases of trained models, and checks them."
    return OPENING + _of_typer(app, "edge-convert", about)


def edge_hub() -> str:
    """Return the page of ``edge-hub``."""
    from cloud_hub.cli.app import create_app

    about = (
        "What an administrator, an operator or CI does with a hub. `--data FOLDER` means a hub on "
        "this machine, `--hub URL --token T` one elsewhere, and `edge-hub login URL` spares both."
    )
    return OPENING + _of_typer(create_app(), "edge-hub", about)


def _of_argparse(parser: argparse.ArgumentParser, name: str, level: int) -> Iterator[str]:
    for action in parser._actions:
        if not isinstance(action, argparse._SubParsersAction):
            continue
        for word, command in action.choices.items():
            yield from (f"{'#' * level} {name} {word}", "", command.description or "", "")
            yield from _table(_rows_of_argparse(command))
            yield from _example(command.epilog or "")
            yield from _of_argparse(command, f"{name} {word}", level + 1)


def _rows_of_argparse(command: argparse.ArgumentParser) -> Iterator[tuple[str, str]]:
    for action in command._actions:
        hidden = action.help == argparse.SUPPRESS or isinstance(action, argparse._HelpAction)
        if hidden or isinstance(action, argparse._SubParsersAction):
            continue
        value = "" if action.nargs == 0 else f" {_metavar(action)}"
        names = [f"{option}{value}" for option in action.option_strings]
        yield ", ".join(names) or _metavar(action), _filled_in(action, command)


def _metavar(action: argparse.Action) -> str:
    if isinstance(action.metavar, tuple):
        return " ".join(action.metavar)
    return action.metavar or action.dest.upper()


def _filled_in(action: argparse.Action, command: argparse.ArgumentParser) -> str:
    known = {**vars(action), "prog": command.prog}
    return (action.help or "") % known


def _of_typer(app: Any, name: str, about: str) -> str:
    import typer

    root = typer.main.get_command(app)
    lines = [f"# The command `{name}`", "", about, ""]
    return "\n".join([*lines, *_commands(root, name, 2)])


def _commands(group: Any, name: str, level: int) -> Iterator[str]:
    for word, command in getattr(group, "commands", {}).items():
        if command.hidden:
            continue
        text, _, rest = (command.help or "").partition("\n\n")
        yield from (f"{'#' * level} {name} {word}", "", " ".join(text.split()), "")
        yield from ([" ".join(rest.split()), ""] if rest else [])
        yield from _table(_rows_of_typer(command))
        yield from _example(command.epilog or "")
        yield from _commands(command, f"{name} {word}", level + 1)


def _rows_of_typer(command: Any) -> Iterator[tuple[str, str]]:
    for parameter in command.params:
        if getattr(parameter, "hidden", False) or parameter.name == "help":
            continue
        value = parameter.metavar or parameter.name.upper()
        if parameter.param_type_name == "argument":
            yield value, getattr(parameter, "help", None) or ""
            continue
        names = [*parameter.opts, *parameter.secondary_opts]
        shown = names if parameter.is_flag else [f"{option} {value}" for option in names]
        yield ", ".join(shown), parameter.help or ""


def _table(rows: Iterator[tuple[str, str]]) -> Sequence[str]:
    lines = [f"| `{name}` | {_cell(text)} |" for name, text in rows]
    return ["| option | says |", "|---|---|", *lines, ""] if lines else []


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def _example(help_text: str) -> Sequence[str]:
    found = re.search(r"^examples?:\s*(.*?)(?:\n\s*\n|\Z)", help_text, re.DOTALL | re.I | re.M)
    lines = [line.strip() for line in found[1].splitlines()] if found else []
    return ["```console", *lines, "```", ""] if lines else []
