"""Who a device is: theft, clones, restored backups, approval, kills; at a real hub process."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from pathlib import Path

import pytest

from cloud_hub.cli.main import main as edge_hub
from edge_sdk import EdgeDevice, EdgeError
from edge_sdk.cli.main import main as edge
from edge_sdk.fleet import identity
from tests.clock import Clock
from tests.conftest import Publish
from tests.e2e.live import PATIENT
from tests.edge.builders import rows
from tests.processes.ready import run_ready
from tests.servers import HubProcess, Proxy

MOST_POINTS = 40
NOBODY = "http://127.0.0.1:9"


def opened(
    state: Path,
    hub: HubProcess,
    model: str | None = None,
    *,
    url: str | None = None,
    **more: object,
) -> EdgeDevice:
    options = {"config": PATIENT, "background": False, "hub": url or hub.url} | more
    if model is not None and "token" not in options:
        options["token"] = hub.token(model)
    return EdgeDevice(state, model=model, **options)  # type: ignore[arg-type]


def ask(hub: HubProcess, *words: str) -> int:
    return edge_hub([*words, "--data", str(hub.data)])


def standings(hub: HubProcess, model: str) -> list[str]:
    return [device["standing"] for device in hub.admin.get("devices", model=model)]


def test_a_stolen_device_is_revoked_serves_on_offline_and_counts_no_more(
    hub: HubProcess, publish: Publish, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    publish("stolen")
    with opened(tmp_path / "d", hub, "stolen") as device:
        name = device.status()["device"]
        assert ask(hub, "devices", "revoke", name, "--reason", "stolen") == 0
        device.predict(rows(1)[0])
        publish("stolen", "1.1", seed=5)
        result = device.sync()
        assert (set(result.errors), result.refused) == ({"plan", "reports"}, "revoked")
        status = device.status()
        assert (status["standing"], "was revoked" in status["refused"]) == ("revoked", True)
        assert device.predict(rows(1)[0]).version == "1.0"
    with opened(tmp_path / "d", hub, url=NOBODY) as device:
        assert device.predict(rows(1)[0]).version == "1.0"
    telemetry = hub.admin.get("models/stolen/telemetry")
    assert telemetry["windows"] == []
    capsys.readouterr()
    assert ask(hub, "devices", "list", "--model", "stolen") == 0
    assert "not active: revoked=1" in capsys.readouterr().out


def test_of_a_cloned_disk_both_copies_are_stopped_within_two_syncs(
    hub: HubProcess, publish: Publish, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    publish("cloned")
    with opened(tmp_path / "a", hub, "cloned"):
        pass
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    with opened(tmp_path / "a", hub) as first, opened(tmp_path / "b", hub) as second:
        refused = [(first.sync().refused, second.sync().refused) for _ in range(3)]
        assert refused[-1] == ("cloned", "cloned")
        for device in (first, second):
            assert device.predict(rows(1)[0]).version == "1.0"
            assert "edge enrol STATE --again" in device.status()["refused"]
    capsys.readouterr()
    ask(hub, "devices", "list", "--model", "cloned")
    assert "cloned: two copies of one disk" in capsys.readouterr().out
    audit = [entry["action"] for entry in hub.admin.get("audit")]
    assert "cloned" in audit
    # Each copy gets an identity of its own; what it has it goes on serving meanwhile.
    for copy in ("a", "b"):
        words = ["--hub", hub.url, "--token", hub.token("cloned"), "--model", "cloned", "--again"]
        assert edge(["enrol", str(tmp_path / copy), *words]) == 0
        with opened(tmp_path / copy, hub) as device:
            assert device.sync().errors == {}
    assert standings(hub, "cloned") == ["cloned", "active", "active"]


def test_a_device_restored_from_a_backup_is_told_so_and_goes_on_when_approved(
    hub: HubProcess, publish: Publish, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    publish("restored")
    state = tmp_path / "d"
    with opened(state, hub, "restored"):
        pass
    shutil.copytree(state, tmp_path / "backup")
    for _ in range(3):
        with opened(state, hub) as device:
            assert device.sync().errors == {}
    shutil.rmtree(state)
    shutil.copytree(tmp_path / "backup", state)
    with opened(state, hub) as device:
        assert "restored from a backup" in device.sync().errors["plan"]
        assert device.predict(rows(1)[0]).version == "1.0"
        assert ask(hub, "devices", "approve", device.status()["device"]) == 0
        assert device.sync().errors == {}
        assert device.status()["standing"] == "active"


def test_a_new_identity_that_the_hub_refuses_leaves_the_old_one(
    hub: HubProcess, publish: Publish, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    publish("again")
    with opened(tmp_path / "d", hub, "again") as device:
        name = device.status()["device"]
    words = ["enrol", str(tmp_path / "d"), "--hub", hub.url, "--model", "again", "--again"]
    assert edge([*words, "--token", "enrol_guess"]) == 1
    assert "unknown to this hub" in capsys.readouterr().err
    assert edge(words) == 1
    assert "it needs an enrolment token" in capsys.readouterr().err
    with opened(tmp_path / "d", hub) as device:
        assert (device.status()["device"], device.sync().errors) == (name, {})


def test_a_device_that_waits_for_approval_gets_its_release_when_it_has_it(
    hub: HubProcess, publish: Publish, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    publish("waiting")
    ask(hub, "enrol-token", "waiting", "--approve", "--attribute", "region=eu")
    token = capsys.readouterr().out.strip()
    attributes = {"region": "us", "shop": "7"}
    with opened(tmp_path / "d", hub, "waiting", token=token, attributes=attributes) as device:
        assert (device.status()["standing"], device.status()["version"]) == ("pending", None)
        with pytest.raises(EdgeError, match="waits for approval"):
            device.predict(rows(1)[0])
        assert ask(hub, "devices", "approve", device.status()["device"]) == 0
        assert device.sync().update == "activated"
        assert device._link is not None
        # What the hub fixed holds on the device as well: both choose the same arm.
        assert device._link.describe().attributes == {"region": "eu", "shop": "7"}
    (record,) = hub.admin.get("devices", model="waiting")
    assert record["attributes"] == {"region": "eu", "shop": "7"}


def test_a_registered_serial_joins_with_the_key_that_the_factory_read(
    hub: HubProcess, publish: Publish, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    publish("serials")
    assert edge(["identity", str(tmp_path / "d")]) == 0
    facts = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    csv = tmp_path / "serials.csv"
    csv.write_text(f"serial,public_key\nSN-1,{facts['public_key']}\nSN-2,\n")
    assert ask(hub, "devices", "register", str(csv), "--model", "serials") == 0
    header, first, second = capsys.readouterr().out.splitlines()
    assert (header, first) == ("serial,public_key,secret", f"SN-1,{facts['public_key']},")
    with opened(tmp_path / "d", hub, "serials", token=None, serial="SN-1") as device:
        assert device.sync().errors == {}
    secret = second.split(",")[2]
    words = ["--hub", hub.url, "--model", "serials", "--serial", "SN-2", "--token", secret]
    assert edge(["enrol", str(tmp_path / "e"), *words]) == 0
    assert standings(hub, "serials") == ["active", "active"]


def test_a_busy_hub_is_left_alone_for_as_long_as_it_asks(
    hub: HubProcess, proxy: Proxy, publish: Publish, tmp_path: Path
) -> None:
    publish("busy")
    with opened(tmp_path / "d", hub, "busy", url=proxy.url) as device:
        proxy.fault = "busy"
        asked = len(proxy.busy)
        result = device.sync()
        assert result.retry_after == pytest.approx(120, abs=5)
        assert len(proxy.busy) == asked + 1  # the other parts of the sync did not ask
        assert device.predict(rows(1)[0]).version == "1.0"
        assert device.status()["standing"] == "active"


def test_a_device_that_was_forgotten_is_told_so_and_serves_on(
    hub: HubProcess, publish: Publish, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    publish("forgotten")
    with opened(tmp_path / "d", hub, "forgotten") as device:
        name = device.status()["device"]
        assert ask(hub, "devices", "forget", name, "--reason", "its owner left") == 0
        result = device.sync()
        assert (result.refused, "enrol it again" in result.errors["plan"]) == ("unknown", True)
        assert device.predict(rows(1)[0]).version == "1.0"
    assert standings(hub, "forgotten") == []


def test_a_credential_that_the_hub_lets_expire_first_is_renewed_within_the_request(
    hub: HubProcess, publish: Publish, tmp_path: Path
) -> None:
    publish("slept")
    # In 1970 too: its life is counted on the monotonic clock, which stands still while one sleeps.
    with opened(tmp_path / "d", hub, "slept", clock=Clock(0.0)) as device:
        for _ in range(2):
            with contextlib.closing(sqlite3.connect(hub.data / "hub.db", timeout=60)) as db, db:
                db.execute("UPDATE identities SET credential_at = 1000")
            assert device.sync().errors == {}
    assert standings(hub, "slept") == ["active"]


DAMAGE = {
    "gone": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "torn": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_an_identity_outlives_the_damage_of_its_file(
    hub: HubProcess, publish: Publish, tmp_path: Path, damage: str
) -> None:
    model, state = f"damaged-{damage}", tmp_path / "d"
    publish(model)
    with opened(state, hub, model) as device:
        name = device.status()["device"]
    DAMAGE[damage](state / identity.FILE)
    for _ in range(2):
        with opened(state, hub) as device:
            assert (device.sync().errors, device.status()["device"]) == ({}, name)
    assert standings(hub, model) == ["active"]


def test_an_identity_outlives_the_loss_of_the_whole_database(
    hub: HubProcess, publish: Publish, tmp_path: Path
) -> None:
    publish("no-database")
    state = tmp_path / "d"
    with opened(state, hub, "no-database") as device:
        name = device.status()["device"]
    for path in state.glob("device.db*"):
        path.unlink()
    for _ in range(2):
        with opened(state, hub) as device:
            assert (device.sync().errors, device.status()["device"]) == ({}, name)
    assert standings(hub, "no-database") == ["active"]


def test_a_device_killed_at_any_write_of_enrolment_and_renewal_is_one_device(
    hub: HubProcess, publish: Publish, tmp_path: Path
) -> None:
    publish("killed", promote=False)
    tokens = [hub.token("killed") for _ in range(MOST_POINTS)]
    done = run_ready("device", ["-m", "tests.e2e.killed_identity", tmp_path, hub.url, *tokens])
    assert done.returncode == 0, done.stderr
    points = done.stdout.splitlines()
    assert MOST_POINTS > len(points) >= 10, points
    assert [line for line in points if not line.endswith(": active")] == []
    assert standings(hub, "killed") == ["active"] * (len(points) + 1)
