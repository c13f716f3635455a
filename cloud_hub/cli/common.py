"""What the commands of ``edge-hub`` share. Imports nothing heavy: ``--help`` answers at once."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloud_hub.cli import types as words

if TYPE_CHECKING:
    from cloud_hub.client.admin import AdminClient

Command = Callable[[argparse.Namespace], Any]
"""Returns what is printed: a text, plain JSON, or an :class:`Answer`."""


@dataclass(frozen=True)
class Answer:
    """A text to print, and the exit status that goes with it."""

    text: str
    status: int


def add_command(
    commands: Any, name: str, text: str, run: Command, *, model: bool = True
) -> argparse.ArgumentParser:
    """A command that talks with a hub."""
    command: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text)
    if model:
        command.add_argument("model", type=words.name, help="name of the model")
    command.add_argument("--data", type=Path, help="data folder of a hub on this machine")
    command.add_argument("--hub", metavar="URL", help="of the hub; default $EDGE_HUB_URL")
    command.add_argument("--token", help="administrator's; default $EDGE_HUB_TOKEN")
    command.set_defaults(run=run)
    return command


def add_group(commands: Any, name: str, text: str) -> Any:
    """A command whose first word says what to do; add the words to what is returned."""
    group = commands.add_parser(name, help=text, description=text)
    return group.add_subparsers(required=True, metavar="ACTION")


def client_of(arguments: argparse.Namespace) -> AdminClient:
    """The client of the hub that the arguments name; raises Invalid."""
    from cloud_hub.client.admin import AdminClient
    from cloud_hub.errors import Invalid

    if arguments.data is not None:
        if arguments.hub:
            raise Invalid("say which hub: --data or --hub, not both")
        return AdminClient.of_data(arguments.data)
    hub = arguments.hub or os.environ.get("EDGE_HUB_URL")
    token = arguments.token or os.environ.get("EDGE_HUB_TOKEN")
    if not hub or not token:
        raise Invalid("say which hub: --data FOLDER, or --hub URL and --token TOKEN")
    return AdminClient(hub, token)


def getting(path: str) -> Command:
    """A command that prints what ``GET /v1/PATH`` gives."""

    def run(arguments: argparse.Namespace) -> Any:
        return client_of(arguments).get(path.format(**vars(arguments)))

    return run


def without_warning(answer: dict[str, Any]) -> dict[str, Any]:
    """The answer of a hub; a warning in it goes to standard error."""
    if "warning" in answer:
        print(f"edge-hub: warning: {answer['warning']}", file=sys.stderr)
    return {name: value for name, value in answer.items() if name != "warning"}
