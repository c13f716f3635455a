"""The help of edge-hub: grouped, an example a command, every option explained; nothing heavy."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

import pytest
import typer

from cloud_hub.cli.app import GROUPS, NAME, create_app
from cloud_hub.cli.main import main
from cloud_hub.cli.shared.registration import Invocation

ROOT = typer.main.get_command(create_app())


def leaves(command: Any, path: str = NAME) -> Iterator[tuple[str, Any]]:
    """Every command with the words that call it."""
    if not hasattr(command, "commands"):
        yield path, command
        return
    for name, inner in command.commands.items():
        yield from leaves(inner, f"{path} {name}")


COMMANDS = dict(leaves(ROOT))


@pytest.mark.parametrize("path", COMMANDS)
def test_a_command_has_a_sentence_an_example_and_help_for_every_option(path: str) -> None:
    command = COMMANDS[path]
    assert command.help.strip().endswith(".")
    assert command.epilog.startswith(f"Example: {path} ")
    for parameter in command.params:
        assert parameter.help, f"{path}: {parameter.name}"


@pytest.mark.parametrize("module", GROUPS)
def test_a_module_of_commands_has_those_that_are_named_for_it(module: str) -> None:
    alone: Any = typer.main.get_command(create_app(GROUPS[module][:1]))
    assert tuple(alone.commands) == GROUPS[module]


def test_a_command_that_there_is_not_is_looked_for_among_all() -> None:
    everything: Any = ROOT
    for words in ([], ["--help"], ["serv"], ["--version", "serve"]):
        offered: Any = typer.main.get_command(create_app(words))
        assert offered.commands.keys() == everything.commands.keys()


@pytest.mark.parametrize("path", COMMANDS)
def test_the_example_of_a_command_is_right_usage(path: str) -> None:
    example = COMMANDS[path].epilog.removeprefix("Example: ")
    parsed = ROOT.main(shlex.split(example)[1:], prog_name=NAME, standalone_mode=False)
    assert isinstance(parsed, Invocation)


def test_the_help_is_grouped_and_lists_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    panels = ["Set up", "Release", "Roll out", "Watch", "Retrain", "Administer"]
    places = [text.index(f"─ {panel} ─") for panel in panels]
    assert places == sorted(places)
    assert "Exit status: 0 done; 1 refused or failed" in text


def test_every_command_that_prints_data_prints_json_too() -> None:
    silent = {path for path, command in COMMANDS.items() if not has(command, "--json")}
    assert silent == {"edge-hub serve"}


def has(command: Any, option: str) -> bool:
    return any(option in parameter.opts for parameter in command.params)


WRONG = {
    "": "edge-hub: error: Missing command; see edge-hub --help",
    "nonsense": "edge-hub: error: No such command 'nonsense'; see edge-hub --help",
    "promote m": "edge-hub promote: error: Missing argument 'VERSION'; see edge-hub promote --help",
    "runs cancel 3": "edge-hub runs cancel: error: Missing option '--reason'",
    "audit --limitt 3": "edge-hub audit: error: No such option: --limitt",
    "runs start m --mode x": "edge-hub runs start: error: ",
}


@pytest.mark.parametrize("words", WRONG)
def test_wrong_usage_is_one_sentence_and_status_2(
    words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words.split()) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith(WRONG[words])
    assert (printed.err.count("\n"), printed.out) == (1, "")


def test_completion_is_offered(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_EDGE_HUB_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "edge-hub pro")
    monkeypatch.setenv("COMP_CWORD", "1")
    with pytest.raises(SystemExit):
        main([])
    assert capsys.readouterr().out.split() == ["promote"]
