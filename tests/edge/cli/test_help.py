"""Help of ``edge``: grouped, an example for every command, every option explained."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterator

import pytest

from edge_sdk.cli.main import _parser


def commands(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                below = list(commands(command))
                yield from below or [command]


COMMANDS = {command.prog: command for command in commands(_parser())}


def test_every_command_stands_in_the_help_of_the_program() -> None:
    text = _parser().format_help()
    for title in ("set up:", "operate:", "look into:", "measure:", "exit status:"):
        assert f"\n{title}\n" in text
    for name in COMMANDS:
        assert f"\n    {name.split()[1]} " in text


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_explained_and_examples_are_understood(name: str) -> None:
    command = COMMANDS[name]
    assert all(action.help for action in command._actions), name
    assert "exit status:" in (command.epilog or "")
    examples = [
        line.strip() for line in (command.epilog or "").splitlines() if line.startswith("  edge ")
    ]
    assert examples
    for example in examples:
        words = shlex.split(example.partition(" < ")[0])
        assert _parser().parse_args(words[1:]).run


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_but_the_stream_speaks_json(name: str) -> None:
    options = {option for action in COMMANDS[name]._actions for option in action.option_strings}
    assert "--json" in options or name in ("edge run", "edge serve")  # which speak nothing else
