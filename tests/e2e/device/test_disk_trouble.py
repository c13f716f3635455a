"""A disk that is full or read-only, on real file systems: the device serves, and recovers."""

from __future__ import annotations

import contextlib
import gc
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_sdk import EdgeDevice
from edge_sdk.errors import StateError
from edge_sdk.state_db import StateDatabase
from tests.conftest import Publish
from tests.e2e.live import PATIENT
from tests.edge.builders import rows, softmax
from tests.servers import HubProcess
from tests.waiting import PATIENCE

ROWS = rows(8)


class Disk:
    """A small file system of its own."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.state = place / "state"
        self._filler = place / "filler"

    def mount(self, options: str) -> None:
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(self.place)]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=PATIENCE
        )
        if done.returncode != 0:
            pytest.skip(f"mounting is not permitted here (it needs root): {done.stderr.strip()}")

    def remount(self, options: str) -> None:
        gc.collect()  # a file that is still mapped for writing keeps the disk busy
        command = ["mount", "-o", f"remount,{options}", str(self.place)]
        subprocess.run(command, check=True, timeout=PATIENCE)

    def fill(self) -> None:
        """Take every byte that is free."""
        handle = os.open(self._filler, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for size in (1 << 16, 1 << 12, 1):
            with contextlib.suppress(OSError):
                while True:
                    os.write(handle, bytes(size))
        os.close(handle)

    def make_room(self) -> None:
        self._filler.unlink()

    def close(self) -> None:
        subprocess.run(
            ["umount", "-l", str(self.place)], check=False, capture_output=True, timeout=PATIENCE
        )


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    disk = Disk(tmp_path / "disk")
    disk.place.mkdir()
    disk.mount("size=3m")
    yield disk
    disk.close()


def opened(disk: Disk, hub: HubProcess, model: str, **more: Any) -> EdgeDevice:
    return EdgeDevice(
        disk.state, hub=hub.url, model=model, config=PATIENT, background=False, **more
    )


def answers(device: EdgeDevice, seed: int) -> bool:
    probabilities = [device.predict(x).probabilities for x in ROWS]
    return bool(np.allclose(probabilities, softmax(ROWS, seed), atol=1e-5))


def test_a_device_starts_on_a_disk_that_is_full_says_so_and_recovers(
    hub: HubProcess, publish: Publish, disk: Disk
) -> None:
    publish("full-start")
    with opened(disk, hub, "full-start", token=hub.token("full-start")) as device:
        name = device.status()["device"]
    disk.fill()
    with opened(disk, hub, "full-start") as device:
        assert answers(device, 0)
        storage = device.status()["storage"]
        assert (storage["state"], device.status()["device"]) == ("memory", name)
        assert "full" in storage["reason"] or "space" in storage["reason"]
        publish("full-start", "1.1", seed=4)
        assert "No space left on device" in device.sync().errors["plan"]
        assert answers(device, 0)
        disk.make_room()
        assert device.sync().update == "activated"
        assert device.status()["storage"]["state"] == "disk"
        assert answers(device, 4)
    with opened(disk, hub, "full-start") as device:
        assert (device.status()["version"], device.status()["device"]) == ("1.1", name)


def test_a_disk_that_fills_while_the_device_runs_loses_no_message(
    hub: HubProcess, publish: Publish, disk: Disk
) -> None:
    publish("fills")
    with opened(disk, hub, "fills", token=hub.token("fills")) as device:
        disk.fill()
        assert answers(device, 0)
        p = device.predict(ROWS[0])
        device.feedback(p.id, label=0)
        device._service.collect(final=True)  # a window of predictions goes to the outbox
        status = device.status()
        assert (status["storage"]["state"], status["waiting"] > 0) == ("memory", True)
        assert "reports" not in device.sync().errors
        device._service.collect(final=True)
        disk.make_room()
        assert device.sync().errors == {}
        assert device.status()["storage"]["state"] == "disk"
    windows = hub.admin.get("models/fills/telemetry")["windows"]
    assert sum(sum(w["predictions"].values()) for w in windows) == len(ROWS) + 1


@pytest.mark.parametrize("ended", ["closed", "killed"])
def test_a_device_starts_on_a_disk_that_is_read_only_and_recovers(
    hub: HubProcess, publish: Publish, disk: Disk, ended: str
) -> None:
    model = f"read-only-{ended}"
    publish(model)
    with opened(disk, hub, model, token=hub.token(model)) as device:
        name, floors = device.status()["device"], device._link.store.get("trust_floors")  # type: ignore[union-attr]
        if ended == "killed":  # its log is not written back
            shutil.copytree(disk.state, disk.place / "killed")
    if ended == "killed":
        shutil.rmtree(disk.state)
        (disk.place / "killed").rename(disk.state)
    del device
    disk.remount("ro")
    with opened(disk, hub, model) as device:
        assert answers(device, 0)
        status = device.status()
        assert (status["device"], status["version"]) == (name, "1.0")
        assert device._link is not None
        assert device._link.store.get("trust_floors") == floors
        device.sync()
        assert device.status()["storage"]["state"] == "memory"
        assert answers(device, 0)
        disk.remount("rw")
        assert device.sync().errors == {}
        assert device.status()["storage"] == {"state": "disk", "reason": None, "damaged": {}}


def test_floors_that_were_learnt_without_a_disk_hold_and_are_on_it_when_it_is_back(
    disk: Disk,
) -> None:
    store = StateDatabase(disk.state)
    store.put("trust_floors", {"root": 3})
    disk.fill()
    store.put("trust_floors", {"root": 4})
    assert (store.on_disk, store.get("trust_floors")) == (False, {"root": 4})
    assert not store.return_to_disk()
    disk.make_room()
    assert store.return_to_disk()
    store.close()
    store = StateDatabase(disk.state)
    assert store.get("trust_floors") == {"root": 4}
    store.close()


def test_no_state_folder_is_begun_where_nothing_can_be_kept(disk: Disk) -> None:
    disk.fill()
    with pytest.raises(StateError, match=r"cannot begin a state folder here.*free space"):
        StateDatabase(disk.state)
    disk.make_room()
    disk.remount("ro")
    with pytest.raises(StateError, match="Read-only file system"):
        StateDatabase(disk.place / "other")
