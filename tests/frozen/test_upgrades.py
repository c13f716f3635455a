"""A device and a hub that a released version left behind go on with this one, in either order."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cloud_hub.backup.restoring import RestoreOptions, open_backup, restore
from cloud_hub.cli.main import main as edge_hub
from cloud_hub.settings import Settings
from edge_sdk import EdgeDevice
from tests.e2e.live import PATIENT
from tests.edge.builders import make_release, rows
from tests.frozen.making import answers
from tests.frozen.test_formats import VERSIONS
from tests.servers import HubProcess

pytestmark = [
    pytest.mark.slow,
    pytest.mark.parametrize("frozen", VERSIONS, ids=lambda path: path.name),
]
NOWHERE = "http://127.0.0.1:1"


def unpacked(frozen: Path, name: str, folder: Path) -> Path:
    with tarfile.open(frozen / f"{name}.tar.xz") as tar:
        tar.extractall(folder / name, filter="tar")
    return folder / name


def expected(frozen: Path) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads((frozen / "expected.json").read_text())
    return plain


def device_of(state: Path, hub: str) -> EdgeDevice:
    return EdgeDevice(state, hub=hub, background=False, config=PATIENT)


def upgraded(folder: Path) -> HubProcess:
    """The hub of a folder, as its owner brings it to this version, however long after."""
    data = str(folder / "hub")
    assert edge_hub(["db", "upgrade", data]) == 0
    assert edge_hub(["keys", "confirm-clock", data]) == 0
    assert edge_hub(["keys", "renew", data]) == 0  # what its offline keys signed lasts a year
    return HubProcess(folder, made=True)


def test_device_first_it_answers_as_before_and_keeps_what_waits(
    frozen: Path, tmp_path: Path
) -> None:
    told = expected(frozen)
    with device_of(unpacked(frozen, "device", tmp_path), NOWHERE) as device:
        np.testing.assert_allclose(answers(device), told["answers"], atol=1e-6)
        status = device.status()
        assert status["device"] == told["device"]
        assert status["models"]["demo"]["version"] == told["serving"]
        assert status["waiting"] > 0


def test_hub_first_it_serves_devices_of_the_version_before(frozen: Path, tmp_path: Path) -> None:
    told = expected(frozen)
    unpacked(frozen, "hub", tmp_path)
    hub = upgraded(tmp_path)
    try:
        check_hub(hub, told)
        with device_of(unpacked(frozen, "device", tmp_path), hub.url) as device:
            check_fleet(hub, device, told, tmp_path)
    finally:
        hub.close()


def check_hub(hub: HubProcess, told: dict[str, Any]) -> None:
    assert [each["version"]["version"] for each in hub.admin.get("models/demo/versions")] == [
        *("1.0", "1.1", "2.0"),
    ]
    assert hub.admin.get("models/demo/plan")["serial"] >= told["serial"]
    (trial,) = hub.admin.get("models/demo/experiments")
    assert (trial["candidate"], trial["strategy"]) == ("2.0", "canary")
    assert [each["device"] for each in hub.admin.get("devices")] == [told["device"]]
    assert len(hub.admin.get("audit", model="demo")) >= told["events"]
    assert "nightly" in json.dumps(hub.admin.get("models/demo/policy"))
    assert "ada" in json.dumps(hub.admin.get("people"))


def check_fleet(hub: HubProcess, device: EdgeDevice, told: dict[str, Any], made: Path) -> None:
    """The device is known, what waited is told, and the next version comes."""
    assert device.sync().reached
    assert device.status()["waiting"] == 0
    release = make_release(made / "made", "demo", "2.1", seed=5)
    hub.admin.publish(release.folder, hub.key, override="upgrade")
    hub.admin.post("models/demo/promote", version="2.1")
    device.sync()
    assert device.predict(rows(1)[0]).version == "2.1"
    assert [each["standing"] for each in hub.admin.get("devices")] == ["active"]


def test_a_backup_of_it_becomes_a_hub_that_its_fleet_goes_on_with(
    frozen: Path, tmp_path: Path
) -> None:
    told = expected(frozen)
    restore(
        open_backup(unpacked(frozen, "backup", tmp_path)),
        Settings(tmp_path / "hub"),
        RestoreOptions(confirm_clock=True),
    )
    hub = upgraded(tmp_path)
    try:
        check_hub(hub, told)
        with device_of(unpacked(frozen, "device", tmp_path), hub.url) as device:
            check_fleet(hub, device, told, tmp_path)
    finally:
        hub.close()
