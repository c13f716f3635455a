"""What words on the command line of ``edge-hub`` may be: a rule for each, as argparse's ``type``.

A word that means nothing is refused here, before a hub is asked: it would else name another place
in a URL, or a number that no database takes.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Final

from edge_sdk.contract.errors import ContractError
from edge_sdk.contract.names import Version, check_name

MOST: Final = 2**31 - 1
"""The largest whole number that anybody means."""

LONGEST_HOURS: Final = 10 * 366 * 24.0


def name(text: str) -> str:
    """The name of a model, a trigger, an experiment, an arm."""
    try:
        check_name("", text)
    except ContractError as error:
        raise argparse.ArgumentTypeError(str(error).removeprefix(": ")) from error
    return text


def version(text: str) -> str:
    """``MAJOR.MINOR``."""
    try:
        return str(Version.parse(text))
    except ContractError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def reason(text: str) -> str:
    """Why somebody does something; it stays on a record."""
    if not text.strip():
        raise argparse.ArgumentTypeError("expected a reason, in words")
    return text


def whole(least: int, most: int = MOST) -> Callable[[str], int]:
    """A whole number from ``least`` to ``most``."""

    def read(text: str) -> int:
        try:
            number = int(text)
        except ValueError:  # words, or more digits than Python converts
            number = least - 1
        if not least <= number <= most:
            raise argparse.ArgumentTypeError(
                f"expected a whole number from {least} to {most}, got {text[:40]!r}"
            )
        return number

    return read


def amount(most: float, *, zero: bool = False) -> Callable[[str], float]:
    """A number above 0, or also ``zero``, up to ``most``."""

    def read(text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            number = -1.0
        if not 0 <= number <= most or (number == 0 and not zero):  # NaN is not
            least = "from 0" if zero else "above 0"
            raise argparse.ArgumentTypeError(
                f"expected a number {least}, up to {most:g}, got {text[:40]!r}"
            )
        return number

    return read


def duration(text: str) -> float:
    """Seconds of ``90s``, ``10m``, ``36h``, ``7d``."""
    from cloud_hub.errors import Invalid
    from cloud_hub.text.durations import parse_duration

    try:
        return parse_duration(text)
    except Invalid as error:
        raise argparse.ArgumentTypeError(str(error)) from error
