"""Functions as commands: their own options, those of the hub, ``--json``, an example.

typer only parses: what it returns is a :class:`Invocation` that ``main`` runs afterwards. So the
errors of a command, a closed pipe and Ctrl-C reach ``main`` as they are raised; typer would turn
some of them into messages of its own.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Container
from dataclasses import dataclass
from typing import Annotated, Any, Final, TypeVar

import typer
from typer.core import TyperCommand

from cloud_hub.cli.shared.hub_address import (
    DataOption,
    HubAddress,
    HubOption,
    ProfileOption,
    TokenOption,
)
from cloud_hub.cli.shared.output import Result

SET_UP: Final = "Set up"
RELEASE: Final = "Release"
ROLL_OUT: Final = "Roll out"
WATCH: Final = "Watch"
RETRAIN: Final = "Retrain"
ADMINISTER: Final = "Administer"
PANELS: Final = (SET_UP, RELEASE, ROLL_OUT, WATCH, RETRAIN, ADMINISTER)
"""Panels of the help, in this order."""

HELP_OPTIONS: Final = {"help_option_names": ["-h", "--help"]}

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Command = TypeVar("Command", bound=Callable[..., Result | None])


@dataclass(frozen=True)
class Invocation:
    """A command with its arguments, ready to run."""

    run: Callable[[], Result | None]
    as_json: bool


class _ModelAndVersion(TyperCommand):
    """A command whose MODEL and VERSION may be one word: ``digits@champion``, ``digits/1.2``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        names = [param.name for param in self.params]
        if "model" in names and "version" in names:
            takes_none = {
                opt for p in self.params if getattr(p, "is_flag", False) for opt in p.opts
            }
            args = _divided(args, takes_none)
        return super().parse_args(ctx, args)


def _divided(words: list[str], flags: Container[str] = ()) -> list[str]:
    """Return the words with a first argument that is a whole reference as model and version.

    Args:
        words: of the command line, after the command.
        flags: options that take no value.
    """
    from cloud_hub.aliases.reference import is_reference, parse_reference

    for place, word in enumerate(words):
        before = words[place - 1] if place else ""
        # What follows an option is its value, unless it takes none or has it behind a ``=``.
        follows_option = before.startswith("-") and "=" not in before and before not in flags
        if not follows_option and is_reference(word):
            found = parse_reference(word)
            return [*words[:place], str(found.model), str(found.word), *words[place + 1 :]]
        if not word.startswith("-") and not follows_option:
            break  # the first argument is a model alone, so the version has a word of its own
    return words


def group(app: typer.Typer, name: str, text: str, *, panel: str) -> typer.Typer:
    """Add a command whose next word says what to do, and return it.

    Args:
        app: to add it to.
        name: first word of its commands.
        text: help, one sentence.
        panel: of the help that it stands in.
    """
    actions = typer.Typer(context_settings=HELP_OPTIONS)
    app.add_typer(actions, name=name, help=text, rich_help_panel=panel)
    return actions


def command(
    app: typer.Typer,
    name: str,
    *,
    example: str,
    panel: str | None = None,
    environment: str | None = None,
) -> Callable[[Command], Command]:
    """Register a function as a command; its docstring is the help.

    A parameter ``hub`` of type :class:`HubAddress` becomes the options ``--data``, ``--hub``,
    ``--token`` and ``--profile``. A command that returns a :class:`Result` also has ``--json``.

    Args:
        app: the command line, or a group of it.
        name: word on the command line.
        example: a whole command, for the help.
        panel: of the help that it stands in; none within a group.
        environment: prefix of variables that set its options; none of them does without one.
    """

    def register(function: Command) -> Command:
        add = app.command(
            name,
            cls=_ModelAndVersion,
            epilog=f"Example: {example}",
            rich_help_panel=panel,
            context_settings={**HELP_OPTIONS, "auto_envvar_prefix": environment},
        )
        add(_parsed(function))
        return function  # not the wrapper: tests and other commands may call it

    return register


def _parsed(function: Callable[..., Result | None]) -> Callable[..., Invocation]:
    """``function`` as typer sees it: with all options, and without being run."""
    signature = inspect.signature(function, eval_str=True)
    asks_hub, prints = "hub" in signature.parameters, signature.return_annotation is Result

    @functools.wraps(function)
    def parse(**values: Any) -> Invocation:
        as_json = values.pop("as_json", False)
        if asks_hub:
            place = (
                values.pop("data"),
                values.pop("hub_url"),
                values.pop("token"),
                values.pop("profile"),
            )
            values["hub"] = HubAddress(*place)
        return Invocation(functools.partial(function, **values), as_json)

    # The wrapped signature: own parameters first, so that arguments keep their order.
    options = {name: p for name, p in signature.parameters.items() if name != "hub"}
    if asks_hub:
        options |= {
            "data": _option("data", DataOption, None),
            "hub_url": _option("hub_url", HubOption, None),
            "token": _option("token", TokenOption, None),
            "profile": _option("profile", ProfileOption, None),
        }
    if prints:
        options["as_json"] = _option("as_json", JsonOption, False)
    # typer reads both: the signature for names and defaults, the annotations for types.
    parse.__signature__ = inspect.Signature(list(options.values()))  # type: ignore[attr-defined]
    parse.__annotations__ = {name: p.annotation for name, p in options.items()}
    return parse


def _option(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, kind, default=default, annotation=annotation)
