"""edge-hub doctor: what is wrong inside of a hub's data and outside, what to do, and the status."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from cloud_hub.cli.main import main
from cloud_hub.hub import open_keys
from cloud_hub.observability.checks import HealthCheck
from cloud_hub.observability.doctor import examine_answers, examine_data
from cloud_hub.settings import Settings
from tests.new_hub import initialise
from tests.servers import HubProcess


def examined(data: Path) -> dict[str, HealthCheck]:
    found = examine_data(Settings(data), lambda: open_keys(data))
    return {check.name: check for check in found}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "hub"
    initialise(Settings(folder))
    return folder


def test_a_new_hub_is_well_and_nothing_is_left_behind(data: Path) -> None:
    before = {path for path in data.rglob("*") if path.is_file()}
    found = examined(data)
    wrong = {name for name, check in found.items() if check.state == "fail"}
    assert wrong == set()
    assert set(found) == {
        *("data", "permissions", "tokens", "database", "artifacts", "backups"),
        *("keys", "clock", "disk"),
    }
    assert {path for path in data.rglob("*") if path.is_file()} == before


def block_artifacts(data: Path) -> None:
    shutil.rmtree(data / "blobs", ignore_errors=True)
    (data / "blobs").write_text("in the way")


WRONGS: dict[str, tuple[Callable[[Path], Any], str, str]] = {
    "anybody can read a key": (
        lambda data: (data / "keys" / "online.pem").chmod(0o644), "permissions", "warn",
    ),
    "no token of the administrator": (
        lambda data: (data / "admin.token").write_text(""), "tokens", "fail",
    ),
    "a hub of before, without a token of metrics": (
        lambda data: (data / "metrics.token").unlink(), "tokens", "warn",
    ),
    "a file in place of the artifacts": (block_artifacts, "artifacts", "fail"),
    "no database at all": (lambda data: (data / "hub.db").write_bytes(b"no database" * 99),
                           "database", "fail"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONGS)
def test_each_wrong_is_found_and_comes_with_what_to_do(data: Path, case: str) -> None:
    break_, name, state = WRONGS[case]
    break_(data)
    found = examined(data)
    assert (found[name].state, bool(found[name].todo)) == (state, True)
    assert {n for n, check in found.items() if check.state == "fail"} <= {name}


def test_a_folder_of_no_hub_is_one_finding(tmp_path: Path) -> None:
    (check,) = examined(tmp_path / "nothing").values()
    assert (check.name, check.state) == ("data", "fail")


def test_a_clock_that_differs_is_told_with_its_direction() -> None:
    now = time.time()
    for off, word in ((3_600, "ahead of"), (-3_600, "behind")):
        _, clocks = examine_answers(None, formatdate(now + off, usegmt=True), now=now)
        assert (clocks.state, word in clocks.says) == ("warn", True)
    _, clocks = examine_answers(None, formatdate(now, usegmt=True), now=now)
    assert clocks.state == "ok"


def test_a_hub_that_runs_is_examined_from_both_sides(
    hub: HubProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["doctor", "--data", str(hub.data), "--json"])
    found = {check["name"]: check["state"] for check in json.loads(capsys.readouterr().out)}
    assert {"data", "database", "answers", "clocks", "hub: database", "hub: loop"} <= set(found)
    assert "fail" not in found.values()
    token = (hub.data / "admin.token").read_text().strip()
    main(["doctor", "--hub", hub.url, "--token", token])
    shown = capsys.readouterr().out
    assert "hub: database" in shown
    assert "permissions" not in shown


def test_a_hub_that_is_not_served_is_told_and_its_data_is_examined_all_the_same(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", "--data", str(data)]) == 1
    shown = capsys.readouterr().out
    assert "database" in shown
    assert "to do:" in shown
    assert "edge-hub serve" in shown
