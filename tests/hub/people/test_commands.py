"""People and their tokens by ``edge-hub``, and a hub that is signed in to once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cloud_hub.cli.main import main
from tests.conftest import Publish
from tests.servers import HubProcess


@pytest.fixture
def profiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "profiles" / "profiles.json"
    monkeypatch.setenv("EDGE_HUB_PROFILES", str(file))
    for name in ("EDGE_HUB_URL", "EDGE_HUB_TOKEN", "EDGE_HUB_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    return file


class Shell:
    """Runs commands and reads what they print."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def json(self, *words: str) -> Any:
        assert main([*words, "--json"]) == 0, self._capsys.readouterr().err
        return json.loads(self._capsys.readouterr().out)

    def refused(self, *words: str) -> str:
        assert main(words) == 1
        return self._capsys.readouterr().err


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str], profiles: Path) -> Shell:
    return Shell(capsys)


def test_a_person_is_made_signs_in_from_elsewhere_and_out_again(
    hub: HubProcess, shell: Shell, profiles: Path, publish: Publish
) -> None:
    publish("mine", promote=False)
    publish("theirs")
    here = ("--data", str(hub.data))
    added = shell.json("people", "add", "mia", "--role", "operator", "--model", "mine", *here)
    assert added["models"] == ["mine"]
    first = ("access-tokens", "new", "--person", "mia", "--name", "first", "--days", "1")
    made = shell.json(*first, *here)
    who = shell.json("login", hub.url, "--token", made["token"])
    assert (who["name"], who["role"]) == ("mia", "operator")
    assert profiles.stat().st_mode & 0o777 == 0o600
    # From here on no command says which hub.
    assert shell.json("whoami")["models"] == ["mine"]
    assert [row["model"] for row in shell.json("models")] == ["mine"]
    shell.json("promote", "mine", "1.0", "--reason", "mia wants it")
    assert "no such model among those of mia" in shell.refused("promote", "theirs", "1.0")
    assert "needs the role administrator" in shell.refused("people", "list")
    assert shell.json("audit", "--model", "mine")[-1]["actor"] == "mia"
    assert [t["name"] for t in shell.json("access-tokens", "list")] == ["first"]
    spare = shell.json("access-tokens", "new", "--name", "spare", "--days", "1")
    assert shell.json("access-tokens", "revoke", spare["id"])["name"] == "spare"
    # A token goes to its own hub alone.
    elsewhere = shell.refused("whoami", "--hub", "http://127.0.0.1:9")
    assert "edge-hub login URL" in elsewhere
    assert shell.json("whoami", "--hub", hub.url)["name"] == "mia"
    assert shell.json("logout")["revoked"] is True
    assert "edge-hub login URL" in shell.refused("whoami")
    assert "revoked" in shell.refused("whoami", "--hub", hub.url, "--token", made["token"])


def test_a_file_of_tokens_that_others_may_read_is_refused(
    hub: HubProcess, shell: Shell, profiles: Path
) -> None:
    token = (hub.data / "admin.token").read_text()
    shell.json("login", hub.url, "--token", token, "--profile", "work")
    assert shell.json("whoami", "--profile", "work")["name"] == "admin"
    assert "only: work" in shell.refused("whoami", "--profile", "play")
    profiles.chmod(0o644)
    assert "chmod 600" in shell.refused("whoami", "--profile", "work")
    profiles.chmod(0o600)
    profiles.write_text("[1]")
    assert "as edge-hub login writes them" in shell.refused("whoami")
