"""``edge-hub init`` with offline keys elsewhere, ``keys`` and ``health``: output, exit status."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
import requests

from cloud_hub.cli.main import main
from cloud_hub.hub import open_hub
from cloud_hub.registry.repository import Repository
from cloud_hub.settings import Settings
from tests.clock import Clock
from tests.hub.registry.keys.old_hub import DAY
from tests.servers import HubProcess

Capture = pytest.CaptureFixture[str]


def test_a_hub_whose_offline_keys_were_never_in_its_folder_opens(
    tmp_path: Path, capsys: Capture
) -> None:
    data, stick = tmp_path / "hub", tmp_path / "stick"
    words = ["--offline-keys", "3", "--threshold", "2", "--offline-keys-to", str(stick)]
    assert main(["init", str(data), *words]) == 0
    assert "2 of 3 sign): keep them apart" in capsys.readouterr().out
    assert {p.name for p in (data / "keys").iterdir()} == {"online.pem", "releases.pem"}
    keys = sorted(stick.glob("*.pem"))
    assert len(keys) == 3
    assert {p.stat().st_mode & 0o777 for p in (*keys, *(data / "keys").iterdir())} == {0o600}
    open_hub(Settings(data)).close()
    assert main(["init", str(tmp_path / "other"), *words]) == 1  # the stick holds keys
    assert "keys are never overwritten" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()


def test_the_offline_key_may_be_moved_away_as_the_readme_says(
    tmp_path: Path, capsys: Capture
) -> None:
    data = tmp_path / "hub"
    assert main(["init", str(data)]) == 0
    (data / "keys" / "offline.pem").rename(tmp_path / "safe.pem")
    open_hub(Settings(data)).close()
    assert main(["keys", "renew", str(data), "root"]) == 1
    assert "name them with --key" in capsys.readouterr().err
    assert main(["keys", "renew", str(data), "--key", str(tmp_path / "safe.pem")]) == 0
    assert "root 1 -> 2" in capsys.readouterr().out


STATUSES = {200: ("ok", 0), 275.5: ("renew in 89 days", 1), 366: ("expired", 1)}


@pytest.mark.parametrize("days", STATUSES)
def test_the_status_of_keys_is_one_that_a_cron_job_can_read(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch, days: float
) -> None:
    data = tmp_path / "hub"
    assert main(["init", str(data)]) == 0
    (data / "keys" / "offline.pem").unlink()
    later = Clock(time.time() + days * DAY)
    monkeypatch.setitem(Repository.__init__.__kwdefaults__, "clock", later)
    hub = open_hub(Settings(data))
    hub.keys.confirm_clock()
    hub.loop.tick(later())
    hub.close()
    capsys.readouterr()
    said, status = STATUSES[days]
    assert main(["keys", "status", str(data), "--json"]) == status
    document = json.loads(capsys.readouterr().out)
    assert (document["keys"], document["clock"]) == (said, "ok")
    root = document["roles"][0]
    assert {"role", "version", "expires", "days_left", "threshold", "keys", "held"} <= set(root)
    assert (root["role"], root["version"], root["held"], root["renews"]) == ("root", 1, [], False)
    assert abs(root["days_left"] - 365 + days) < 0.1


def test_the_health_of_keys_is_told_to_administrators_only(
    hub: HubProcess, capsys: Capture
) -> None:
    stranger = requests.get(f"{hub.url}/v1/health", timeout=60).json()
    assert set(stranger) == {"ok"}
    assert hub.admin.get("health")["keys"] == "ok"
    assert main(["health", "--data", str(hub.data)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "keys: ok"


WRONG = {
    "a folder without a hub": (["keys", "status", "nowhere"], "holds no hub"),
    "a role that nobody knows": (["keys", "renew", "hub", "plans"], "expected root, targets"),
    "a request that is none": (["keys", "sign", "admin.token"], "expected a signing request"),
    "a request that is not there": (["keys", "import", "hub", "gone.json"], "cannot be read; No"),
    "a change of two groups at once": (
        ["keys", "rotate", "hub", "online", "releases", "--threshold", "2"],
        "for one group of keys at a time",
    ),
    "a threshold of online keys": (
        ["keys", "rotate", "hub", "online", "--threshold", "2"],
        "one signature is enough",
    ),
    "no change of offline keys": (["keys", "rotate", "hub", "offline"], "edge-hub keys new makes"),
    "a public key that is none": (
        ["keys", "rotate", "hub", "offline", "--add", "hub/admin.token"],
        "expected a public key in PEM",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_is_refused_in_one_sentence(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    words, reason = WRONG[case]
    monkeypatch.chdir(tmp_path)
    assert main(["init", "hub"]) == 0
    (tmp_path / "admin.token").write_text("x")
    capsys.readouterr()
    assert main(words) in (1, 2)
    error = capsys.readouterr().err
    assert reason in error
    assert error.count("\n") == 1
