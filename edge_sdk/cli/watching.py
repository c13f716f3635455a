"""``edge status`` and ``edge health``: how a device is, in words, once or again and again."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from edge_sdk.cli.help import CommandGroups
from edge_sdk.cli.output import print_json, show_status
from edge_sdk.cli.reaching import add_state, reached

HEALTH: Final = "health.json"
"""Name of a health file that is looked for in the state folder, while an application runs it."""

CLEAR: Final = "\033[H\033[2J"
"""Empties a terminal."""


def add_status_command(commands: CommandGroups, parent: argparse.ArgumentParser) -> None:
    """Add ``edge status``."""
    text = "show how an enrolled device is, in words and figures"
    command = commands.add("status", text, ["edge status state/"], parent=parent)
    add_state(command)
    _add_watch(command)
    command.set_defaults(run=run_status)


def _add_watch(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--watch",
        type=_seconds,
        nargs="?",
        const=2.0,
        metavar="SECONDS",
        help="show it again and again, until Ctrl-C (default: every 2 seconds)",
    )


def add_health_command(commands: CommandGroups, parent: argparse.ArgumentParser) -> None:
    """Add ``edge health``."""
    command = commands.add(
        "health",
        "say from its health file whether a device is well; status 1 if not, for supervisors",
        ["edge health /run/edge/health.json", "edge health state/health.json --watch"],
        parent=parent,
    )
    command.add_argument("file", type=Path, help="a health file, as DeviceConfig(health_file=…)")
    _add_watch(command)
    command.set_defaults(run=run_health)


def run_status(arguments: argparse.Namespace) -> int:
    """Show the status of a state folder.

    It is asked of the process that runs the device. One that serves no others may write a health
    file. Where nobody runs it, it is opened here.
    """

    def once() -> int:
        told = _told_by_its_file(arguments.state)
        if told is None:
            with reached(arguments.state, arguments.hub, background=False) as device:
                told = device.status()
        show_status(told, as_json=arguments.json)
        return 0

    return _again(arguments, once)


def run_health(arguments: argparse.Namespace) -> int:
    """Show a health file; return 1 where a supervisor should act."""

    def once() -> int:
        status, why = _health(arguments.file)
        if arguments.json:
            print_json({"ok": why is None, "why": why, **status})
        else:
            print("well" if why is None else f"not well: {why}")
            print(*status["words"], sep="\n")
        return 0 if why is None else 1

    return _again(arguments, once)


def _told_by_its_file(state: Path) -> Mapping[str, Any] | None:
    """Return what a fresh health file says of a device that some process runs for itself alone."""
    from edge_sdk.errors import StateError
    from edge_sdk.system.owner_file import read_owner

    if read_owner(state) is not None or not (state / HEALTH).exists():
        return None
    try:
        status, _ = _health(state / HEALTH)
    except StateError:
        return None  # a device says more than a file that is damaged
    return status if time.time() < status["fresh_until"] else None


def _health(path: Path) -> tuple[dict[str, Any], str | None]:
    """Return what a health file says, as a status, and why it is not well."""
    from edge_sdk.fleet.health_file import read_health, verdict

    health = read_health(path)
    age = f"As process {health.pid} said {max(0.0, time.time() - health.at):.0f} s ago:"
    status = {**health.status, "words": [age, *health.words], "pid": health.pid,
              "fresh_until": health.fresh_until}  # fmt: skip
    return status, verdict(health, time.time())


def _again(arguments: argparse.Namespace, once: Callable[[], int]) -> int:
    """Show it once, or with ``--watch`` until Ctrl-C; trouble is shown, and may be over soon."""
    from edge_sdk.errors import EdgeError

    if arguments.watch is None:
        return once()
    while True:
        if sys.stdout.isatty():
            print(CLEAR, end="")
        try:
            once()
        except EdgeError as error:
            print(f"edge: {error}")
        sys.stdout.flush()
        time.sleep(arguments.watch)


def _seconds(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0.1 <= number <= 86_400:  # NaN is not
        raise argparse.ArgumentTypeError(f"expected seconds of at least 0.1, got {text!r}")
    return number
