"""Words on the command line of edge-hub that mean nothing: one error, before a hub is asked."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
import requests
import typer

from cloud_hub.cli.main import main
from cloud_hub.cli.shared.types import amount, duration, name, version, whole
from cloud_hub.database.migrate import open_engine
from cloud_hub.errors import HubFault
from cloud_hub.server import serve
from cloud_hub.settings import Settings
from tests.new_hub import initialise
from tests.servers import HubProcess
from tests.waiting import PATIENCE

NAME = "expected 1 to 64 of a-z 0-9 . _ -"
WORDS = {
    "plan iris/x": f"argument model: {NAME}",
    "plan ../devices": f"argument model: {NAME}",
    "plan ''": f"argument model: {NAME}",
    "promote m 1.x": "argument version: expected a version such as 1.2, a major number",
    "canary m 1.0.0": "argument version: expected a version such as 1.2",
    "enrol-token m --uses 0": "argument --uses: expected a whole number from 1 to 10000000",
    "enrol-token m --hours nan": "argument --hours: expected a number above 0",
    "enrol-token m --hours 1e300": "argument --hours: expected a number above 0, up to 87840",
    "features put m f.csv --hours -3": "argument --hours: expected a number above 0",
    "triggers log m --limit -1": "argument --limit: expected a whole number from 1 to 10000",
    "triggers fire m ../x": f"argument trigger: {NAME}",
    "triggers dry-run m --since soon": "argument --since: expected seconds, or 90s, 10m, 36h, 7d",
    "monitor history m --since x": "argument --since: expected seconds, or 90s, 10m, 36h, 7d",
    "runs logs 99999999999999999999": "argument number: expected a whole number from 1",
    "runs logs 0": "argument number: expected a whole number from 1",
    "runs logs 1 --tail -3": "argument --tail: expected a whole number from 1",
    "experiments status ../x": f"argument id: {NAME}",
    "serve h --port 70000": "argument --port: expected a whole number from 0 to 65535",
    "serve h --tick nan": "argument --tick: expected a number from 0, up to 3600",
    "serve h --trainings 0": "argument --trainings: expected a whole number from 1 to 64",
    "freshness m --seed -1": "argument --seed: expected a whole number from 0",
    "freshness m --worthwhile nan": "argument --worthwhile: expected a number from 0",
    "freshness m --label-delay x": "argument --label-delay: expected seconds",
}


@pytest.mark.parametrize("command", WORDS)
def test_a_word_that_means_nothing_is_wrong_usage(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([word.strip("'") for word in command.split()]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"error: {WORDS[command]}" in line
    assert line.endswith(" --help")


def test_words_that_mean_something_are_taken_as_they_are() -> None:
    assert (name("a.b-c_1"), version("12.0")) == ("a.b-c_1", "12.0")
    assert (whole(1)("7"), whole(0)("0"), amount(5)("0.5")) == (7, 0, 0.5)
    assert (amount(5, zero=True)("0"), duration("2h")) == (0.0, 7_200.0)
    for read, word in ((whole(1), "9" * 5_000), (amount(5), "inf"), (amount(5), "0")):
        with pytest.raises(typer.BadParameter, match="expected a"):
            read(word)


FILES = {
    "policy plan bin": "bin: expected UTF-8",
    "policy apply folder": "folder: Is a directory",
    "experiments plan bin": "bin: expected UTF-8",
    "experiments start nothing": "nothing: No such file",
    "triggers dry-run M --policy bin": "bin: expected UTF-8",
    "features put M nothing": "nothing: cannot read it; No such file",
    "features import s nothing": "nothing: cannot read it; No such file",
    "data add M train empty": "expected Parquet, an .npz, or CSV",
    "publish folder": "folder: expected a release folder",
    "freshness M --rows empty --entry json:loads": "empty: expected Parquet, an .npz, or CSV",
}


@pytest.mark.parametrize("command", FILES)
def test_a_file_that_is_none_is_one_error(
    hub: HubProcess,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: str,
) -> None:
    (tmp_path / "bin").write_bytes(b"\xff\xfe\x00bad")
    (tmp_path / "empty").touch()
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    hub.admin.put("models/filed/policy", b"model: filed\n")
    words = command.replace("M", "filed").split()
    assert main([*words, "--data", str(hub.data)]) == 1
    printed = capsys.readouterr()
    assert FILES[command] in printed.err
    assert (printed.err.count("\n"), printed.out) == (1, "")


OUT_OF_BOUNDS = [
    "runs/99999999999999999999/log", "runs/0/log", "audit?limit=-1", "audit?limit=99999999999",
    "models/filed/triggers/evaluations?limit=0", "models/filed/monitor/history?limit=-5",
]  # fmt: skip


@pytest.mark.parametrize("path", OUT_OF_BOUNDS)
def test_a_number_that_no_database_takes_is_refused_and_fails_nothing(
    hub: HubProcess, path: str
) -> None:
    hub.admin.put("models/filed/policy", b"model: filed\n")
    token = (hub.data / "admin.token").read_text()
    bearer = {"Authorization": f"Bearer {token}"}
    answer = requests.get(f"{hub.url}/v1/{path}", headers=bearer, timeout=PATIENCE)
    assert answer.status_code == 422
    assert "should be" in answer.json()["error"]
    assert ", got " in answer.json()["error"]


DATABASES = {
    "nonsense": "expected a URL such as",
    "moon://host/name": "expected a URL such as",
    "postgresql+pg8000://u:secret@h/n": "its driver is not installed",
    "sqlite:////proc/x.db": "unable to open database file",
    "sqlite:///FOLDER/text": "file is not a database",
}


@pytest.mark.parametrize("url", DATABASES)
def test_a_database_that_is_none_is_one_error_without_its_password(
    tmp_path: Path, url: str
) -> None:
    (tmp_path / "text").write_text("this is no database " * 100)
    settings = Settings(tmp_path, url.replace("FOLDER", str(tmp_path)))
    with pytest.raises(HubFault, match=DATABASES[url]) as caught:
        open_engine(settings)
    assert str(caught.value).startswith("database: ")
    assert "secret" not in str(caught.value)


def test_an_address_that_cannot_be_listened_on_is_one_error(tmp_path: Path) -> None:
    initialise(Settings(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(HubFault, match=f"127.0.0.1:{port}: cannot listen; Address already"):
            serve(Settings(tmp_path, port=port))
    with pytest.raises(HubFault, match="hub.invalid:0: cannot listen; "):
        serve(Settings(tmp_path, host="hub.invalid", port=0))
    assert not (tmp_path / "hub.url").exists()
