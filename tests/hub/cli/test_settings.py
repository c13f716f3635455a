"""Settings of ``serve`` by option and by variable, and the page that has all of them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import typer

from cloud_hub.cli.app import create_app
from cloud_hub.cli.main import main
from cloud_hub.cli.server import ENVIRONMENT

PAGE = Path(__file__).parents[3] / "docs" / "SETTINGS.md"


def test_the_page_has_every_option_of_serve_with_its_variable_and_default() -> None:
    command: Any = typer.main.get_command(create_app())
    options = [p for p in command.commands["serve"].params if p.opts[0].startswith("--")]
    expected = {
        (
            p.opts[0],
            p.envvar or f"{ENVIRONMENT}_{p.name.upper()}",
            "–" if p.name == "settings" else p.opts[0][2:],
            str(p.default or ""),
        )
        for p in options
        if p.name != "help"
    }
    row = r"^\| `(--[a-z-]+)` \| `(\w+)` \| `?(.*?)`? \| `?(.*?)`? \|"
    rows = re.findall(row, PAGE.read_text(), re.M)
    assert set(rows) == expected


def test_a_variable_sets_what_no_option_says(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"PORT": "9", "WORKER_NETWORK": "1", "WORKER_ENV": "A B"}.items():
        monkeypatch.setenv(f"{ENVIRONMENT}_{name}", value)
    command: Any = typer.main.get_command(create_app())

    def settings(*words: str) -> dict[str, Any]:
        parsed = command.main(["serve", "data", *words], standalone_mode=False)
        return dict(parsed.run.keywords)

    told = settings()
    assert (told["port"], told["worker_network"], told["worker_env"]) == (9, True, ["A", "B"])
    assert settings("--port", "10")["port"] == 10
    monkeypatch.setenv(f"{ENVIRONMENT}_PORT", "many")
    with pytest.raises(typer.TyperException):
        settings()


def shown(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, tuple[Any, str]]:
    """What ``settings show`` says: value and source, by key."""
    assert main(["settings", "show", "data", "--json", *words]) == 0
    rows = json.loads(capsys.readouterr().out)["settings"]
    return {row["key"]: (row["value"], row["source"]) for row in rows}


def test_an_option_passes_over_a_variable_that_over_the_file_that_over_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "hub.toml"
    file.write_text(
        'port = 9\ntick = 4\nhost = "a"\n\nworker-env = ["A", "B"]\nworker-network = true\n'
        'database = "postgresql://hub:secret@db/hub"\n'
    )
    monkeypatch.setenv(f"{ENVIRONMENT}_TICK", "5")
    monkeypatch.setenv(f"{ENVIRONMENT}_HOST", "b")
    settings = shown(capsys, "--settings", str(file), "--host", "c")
    assert settings["host"] == ("c", "option")
    assert settings["tick"] == (5.0, f"variable {ENVIRONMENT}_TICK")
    assert settings["port"] == (9, f"{file}:1")
    assert settings["worker-env"] == (["A", "B"], f"{file}:5")
    assert settings["worker-network"] == (True, f"{file}:6")
    assert settings["workers"] == (1, "default")
    assert "secret" not in str(settings["database"])
    command: Any = typer.main.get_command(create_app())
    monkeypatch.setenv(f"{ENVIRONMENT}_SETTINGS", str(file))
    told = command.main(["serve", "data"], standalone_mode=False).run.keywords
    assert (told["port"], told["worker_env"]) == (9, ["A", "B"])


WRONG_FILES = {
    "a key that is none": ("port = 1\nprot = 2\n", ":2: prot: unknown; did you mean port"),
    "a table": ("[serve]\nport = 1\n", ":1: serve: unknown"),
    "a number out of range": ("\nport = 70000\n", ":2: port: expected a whole number"),
    "a word that is no choice": ('log-level = "loud"', ":1: log-level: 'loud' is not one of"),
    "a flag that is a text": ('worker-network = "yes"', ":1: worker-network: expected true or"),
    "a text in place of a list": ('worker-env = "A"', ":1: worker-env: expected a list"),
    "a truth in place of a number": ("port = true", ":1: port: expected a text or a number"),
    "no TOML": ("port: 8000", "expected TOML; "),
    "a file in a file": ('settings = "other.toml"', ":1: settings: unknown"),
}


@pytest.mark.parametrize("case", WRONG_FILES)
def test_a_wrong_file_is_one_sentence_with_its_line(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text, expected = WRONG_FILES[case]
    file = tmp_path / "hub.toml"
    file.write_text(text)
    assert main(["serve", str(tmp_path), "--settings", str(file)]) == 2
    told = capsys.readouterr().err
    assert f"argument --settings: {file}{expected}" in told or expected in told
    assert len(told.splitlines()) == 1


def test_a_file_that_is_not_there_is_refused_in_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", str(tmp_path), "--settings", str(tmp_path / "no.toml")]) == 2
    assert "no.toml: cannot be read; No such file" in capsys.readouterr().err
