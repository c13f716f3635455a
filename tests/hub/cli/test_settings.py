"""Settings of ``serve`` by option and by variable, and the page that has all of them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import typer

from cloud_hub.cli.app import create_app
from cloud_hub.cli.server import ENVIRONMENT

PAGE = Path(__file__).parents[3] / "docs" / "SETTINGS.md"


def test_the_page_has_every_option_of_serve_with_its_variable_and_default() -> None:
    command: Any = typer.main.get_command(create_app())
    options = [p for p in command.commands["serve"].params if p.opts[0].startswith("--")]
    expected = {
        (p.opts[0], p.envvar or f"{ENVIRONMENT}_{p.name.upper()}", str(p.default or ""))
        for p in options
        if p.name != "help"
    }
    rows = re.findall(r"^\| `(--[a-z-]+)` \| `(\w+)` \| `?(.*?)`? \|", PAGE.read_text(), re.M)
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
