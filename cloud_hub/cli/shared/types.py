"""Rules for what may be written on the command line of ``edge-hub``, and the options that recur.

A value that means nothing is refused here, before a hub is asked: it would otherwise name another
place in a URL, or be a number that no database takes. Each parser serves as typer's ``parser``.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from edge_sdk.contract.errors import ContractError
from edge_sdk.contract.names import Version, check_name

LARGEST: Final = 2**31 - 1
"""The largest whole number that a database counts with."""

LONGEST_HOURS: Final = 10 * 366 * 24.0

ROWS: Final = 10_000
"""Rows that a hub returns at most."""


def name(text: str) -> str:
    """Accept the name of a model, a trigger, an experiment or an arm."""
    try:
        check_name("", text)
    except ContractError as error:
        raise typer.BadParameter(str(error).removeprefix(": ")) from error
    return text


def version(text: str) -> str:
    """Accept ``MAJOR.MINOR``."""
    try:
        return str(Version.parse(text))
    except ContractError as error:
        raise typer.BadParameter(str(error)) from error


def version_word(text: str) -> str:
    """Accept a version, a major number or an alias: ``1.2``, ``3``, ``@champion``."""
    from cloud_hub.aliases.reference import parse_version_word

    return _of_reference(lambda: parse_version_word(text).word or "")


def _of_reference(read: Callable[[], str]) -> str:
    from cloud_hub.errors import Invalid

    try:
        return read()
    except Invalid as error:
        raise typer.BadParameter(str(error).removeprefix("version: ")) from error


def reference(text: str) -> str:
    """Accept ``MODEL``, ``MODEL@ALIAS``, ``MODEL/VERSION`` or ``models:/MODEL/VERSION``."""
    from cloud_hub.aliases.reference import parse_reference

    return _of_reference(lambda: text if parse_reference(text) else "")


def reason(text: str) -> str:
    """Accept the reason for an action; it stays on a record, so it may not be empty."""
    if not text.strip():
        raise typer.BadParameter("expected a reason, in words")
    return text


def whole(least: int, most: int = LARGEST) -> Callable[[str], int]:
    """Return a parser of whole numbers from ``least`` to ``most``."""

    def parse(text: str) -> int:
        try:
            number = int(text)
        except ValueError:  # words, or more digits than Python converts
            number = least - 1
        # str() below: typer passes a default of a number through the parser as it is.
        if not least <= number <= most:
            raise typer.BadParameter(
                f"expected a whole number from {least} to {most}, got {str(text)[:40]!r}"
            )
        return number

    return parse


def amount(most: float, *, zero: bool = False) -> Callable[[str], float]:
    """Return a parser of numbers above 0 (with ``zero`` also 0), up to ``most``."""

    def parse(text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            number = -1.0
        if not 0 <= number <= most or (number == 0 and not zero):  # every comparison with NaN fails
            least = "from 0" if zero else "above 0"
            raise typer.BadParameter(
                f"expected a number {least}, up to {most:g}, got {str(text)[:40]!r}"
            )
        return number

    return parse


def duration(text: Any) -> float:
    """Return the seconds in ``90s``, ``10m``, ``36h``, ``7d``."""
    from cloud_hub.errors import Invalid
    from cloud_hub.text.durations import parse_duration

    try:
        return parse_duration(str(text))
    except Invalid as error:
        raise typer.BadParameter(str(error)) from error


Model = Annotated[str, typer.Argument(parser=name, metavar="MODEL", help="Name of the model.")]

OnlyModel = Annotated[
    str | None, typer.Option("--model", parser=name, metavar="MODEL", help="Of one model only.")
]

ModelVersion = Annotated[
    str,
    typer.Argument(
        parser=version_word, metavar="VERSION", help="Version: 1.1, @ALIAS, @latest, @serving."
    ),
]

ModelReference = Annotated[
    str,
    typer.Argument(
        parser=reference, metavar="REFERENCE", help="MODEL, MODEL/VERSION or MODEL@ALIAS."
    ),
]

Trigger = Annotated[
    str, typer.Argument(parser=name, metavar="TRIGGER", help="Name of the rule in the policy.")
]

ExperimentId = Annotated[
    str, typer.Argument(parser=name, metavar="ID", help="Of the experiment: digits-canary-1.")
]

RunNumber = Annotated[
    int, typer.Argument(parser=whole(1), metavar="NUMBER", help="Number of the run.")
]

Reason = Annotated[
    str, typer.Option(parser=reason, metavar="REASON", help="Why; it stays on the record.")
]

NeededReason = Annotated[
    str,
    typer.Option("--reason", parser=reason, metavar="REASON", help="Why; it stays on the record."),
]


def since(default: str | None = None) -> Any:
    """Return the option ``--since``; ``default`` is how the help writes the default."""
    return typer.Option(
        parser=duration,
        metavar="DURATION",
        help="How far back, for example 12h or 30d.",
        show_default=default or False,
    )


Since = Annotated[float | None, since()]
SinceDay = Annotated[float, since("1d")]
SinceWeek = Annotated[float, since("7d")]
SinceMonth = Annotated[float, since("30d")]
DAY: Final = 86_400.0


def begin_of(since: float | None) -> float | None:
    """Return the moment (Unix seconds) so many seconds ago; ``None`` for no limit."""
    return None if since is None else time.time() - since


Limit = Annotated[
    int | None,
    typer.Option(parser=whole(1, ROWS), metavar="ROWS", help="The newest rows, at most so many."),
]

DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Show what would change, and change nothing.")
]

YamlFile = Annotated[Path, typer.Argument(metavar="FILE", help="YAML file.")]
