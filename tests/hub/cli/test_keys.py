"""``edge-hub init`` with offline keys elsewhere, ``keys`` and ``health``: output, exit status."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

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
    "a key that is locked": (
        ["keys", "sign", "request.json", "--key", "locked.pem"],
        "locked.pem: is locked with a passphrase",
    ),
    "a key of a kind that nobody knows": (
        ["keys", "sign", "request.json", "--key", "unknown.pem"],
        "unknown.pem: expected an ed25519 private key in PEM",
    ),
    "a public key where a private one belongs": (
        ["keys", "sign", "request.json", "--key", "public.pem"],
        "public.pem: expected an ed25519 private key in PEM",
    ),
    "a key of another role": (
        ["keys", "sign", "request.json", "--key", "hub/keys/online.pem"],
        "online.pem: is the key",
    ),
    "a key of another role to renew with": (
        ["keys", "renew", "hub", "root", "--key", "hub/keys/releases.pem"],
        "releases.pem: is the key",
    ),
    "a key that is a folder": (
        ["keys", "renew", "hub", "--key", "hub"],
        "hub: expected a private key in PEM; Is a directory",
    ),
    "a request that is not signed": (
        ["keys", "import", "hub", "request.json"],
        "signatures are missing; root: 0 of 1 by the keys of root 1",
    ),
    "a request with a root of the wrong version": (
        ["keys", "import", "hub", "version.json"],
        "version.json: root: expected the version after 1",
    ),
    "a request of another hub": (
        ["keys", "import", "hub", "foreign.json"],
        "signatures are missing; root: 0 of 1 by the keys of root 1",
    ),
    "a request in place of a key": (
        ["keys", "export", "hub", "hub/keys/offline.pem", "root"],
        "offline.pem: is there already, and no signing request",
    ),
    "a request in no folder": (
        ["keys", "export", "hub", "nowhere/r.json", "root"],
        "nowhere/r.json: cannot be written; No such file",
    ),
    "all offline keys gone": (
        ["keys", "rotate", "hub", "offline", "--remove", "all"],
        "offline: no key would be left",
    ),
}


def _wrong_files() -> None:
    """Files that the table names, in the folder of the test, beside ``hub``."""
    assert main(["keys", "export", "hub", "request.json", "root"]) == 0
    document = json.loads(Path("request.json").read_text())
    document["next"]["root"]["signed"]["version"] = 5
    Path("version.json").write_text(json.dumps(document))
    assert main(["init", "other"]) == 0
    assert main(["keys", "export", "other", "foreign.json", "root"]) == 0
    assert main(["keys", "sign", "foreign.json", "--key", "other/keys/offline.pem"]) == 0
    key, pem = Ed25519PrivateKey.generate(), serialization.Encoding.PEM
    locked = serialization.BestAvailableEncryption(b"open sesame")
    Path("locked.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, locked)
    )
    public = serialization.PublicFormat.SubjectPublicKeyInfo
    Path("public.pem").write_bytes(key.public_key().public_bytes(pem, public))
    Path("unknown.pem").write_text(
        "-----BEGIN PRIVATE KEY-----\nMBQCAQAwBwYFKwUFBQUEBgQEAAAAAA==\n-----END PRIVATE KEY-----\n"
    )


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_is_refused_in_one_sentence(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    words, reason = WRONG[case]
    monkeypatch.chdir(tmp_path)
    assert main(["init", "hub"]) == 0
    (tmp_path / "admin.token").write_text("x")
    _wrong_files()
    before = _content(tmp_path / "hub" / "keys")
    capsys.readouterr()
    assert main(words) in (1, 2)
    error = capsys.readouterr().err
    assert reason in error
    assert error.count("\n") == 1
    assert _content(tmp_path / "hub" / "keys") == before


def _content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_request_that_lay_too_long_is_refused_and_one_is_in_force_once(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    sign = ["--key", "hub/keys/offline.pem"]
    assert main(["init", "hub"]) == 0
    assert main(["keys", "export", "hub", "short.json", "root", "--days", "1"]) == 0
    assert main(["keys", "sign", "short.json", *sign]) == 0
    assert main(["keys", "export", "hub", "long.json", "root"]) == 0
    assert main(["keys", "sign", "long.json", *sign]) == 0
    with monkeypatch.context() as later:
        clock = Clock(time.time() + 2 * DAY)
        later.setitem(Repository.__init__.__kwdefaults__, "clock", clock)
        capsys.readouterr()
        assert main(["keys", "import", "hub", "short.json"]) == 1
        assert "root: expired" in capsys.readouterr().err
    assert main(["keys", "import", "hub", "long.json"]) == 0
    capsys.readouterr()
    assert main(["keys", "import", "hub", "long.json"]) == 1
    assert "root: expected version 3, got 2" in capsys.readouterr().err


def test_a_key_that_alone_does_not_suffice_is_not_called_a_wrong_one(
    tmp_path: Path, capsys: Capture
) -> None:
    stick = tmp_path / "stick"
    words = ["--offline-keys", "2", "--threshold", "2", "--offline-keys-to", str(stick)]
    assert main(["init", str(tmp_path / "hub"), *words]) == 0
    capsys.readouterr()
    keys = [word for i in (1, 2) for word in ("--key", str(stick / f"offline-{i}.pem"))]
    assert main(["keys", "renew", str(tmp_path / "hub"), *keys[:2]]) == 1
    assert "the keys at hand do not suffice" in capsys.readouterr().err
    assert main(["keys", "renew", str(tmp_path / "hub"), *keys]) == 0


def test_a_key_that_is_named_twice_goes_once(tmp_path: Path, capsys: Capture) -> None:
    stick, hub = tmp_path / "stick", str(tmp_path / "hub")
    words = ["--offline-keys", "3", "--threshold", "2", "--offline-keys-to", str(stick)]
    assert main(["init", hub, *words]) == 0
    gone = ["--remove", str(stick / "offline-1.pub")]
    to = ["--to", str(tmp_path / "r.json")]
    assert main(["keys", "rotate", hub, "offline", *gone, *gone, *to]) == 0
    assert "keys of root: 2 of 2; removed" in capsys.readouterr().out
