"""A disk that is full or read-only, on real file systems: the device serves, and recovers."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cloud_hub.registry.key_folder import OfflineKeys, public_key
from cloud_hub.registry.keys.changes import KeyChange
from edge_sdk import EdgeDevice
from edge_sdk.errors import StateError
from edge_sdk.state_db import StateDatabase
from edge_sdk.system.files import remove
from tests.conftest import Publish
from tests.e2e.device.aging_hub import aging_hub
from tests.e2e.live import PATIENT
from tests.edge.builders import rows, softmax, variant_of
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

    def leave(self, pages: int) -> None:
        """Take all but so many blocks of 4096 bytes."""
        self.fill()
        os.truncate(self._filler, self._filler.stat().st_size - 4_096 * pages)

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
        # Small files may still fit: then it is the update that waits, not the plan.
        assert "No space left on device" in str(device.sync().errors)
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


def cached(disk: Disk) -> dict[str, bytes]:
    """The metadata that a device has verified, by file."""
    cache = disk.state / "tuf"
    return {str(f.relative_to(cache)): f.read_bytes() for f in cache.rglob("*.json")}


@pytest.mark.parametrize("left", [0, 1, 2])
def test_metadata_that_finds_no_room_costs_none_that_was_verified(
    hub: HubProcess, publish: Publish, disk: Disk, left: int
) -> None:
    model = f"no-room-{left}"
    publish(model)
    with opened(disk, hub, model, token=hub.token(model)) as device:
        publish(model, "1.1", seed=4)
        before = cached(disk)
        disk.leave(left)
        reason = device.sync().errors["plan"]
        assert "cannot be stored; No space left on device" in reason
        # What has room may be newer.
        assert cached(disk).keys() == before.keys()
        if not left:
            assert cached(disk) == before
        assert answers(device, 0)
        disk.make_room()
        assert device.sync().update == "activated"


def test_what_lies_in_the_place_of_the_metadata_gives_way(
    hub: HubProcess, publish: Publish, tmp_path: Path
) -> None:
    publish("misplaced")
    disk = Disk(tmp_path)
    with opened(disk, hub, "misplaced", token=hub.token("misplaced")) as device:
        places = {
            "tuf": Path.touch,
            "tuf/timestamp.json": Path.mkdir,
            "tuf/root_history": Path.touch,
        }
        for i, (name, put) in enumerate(places.items()):
            publish("misplaced", f"1.{i + 1}", seed=4)
            remove(disk.state / name)
            put(disk.state / name)
            assert "refused" in device.sync().errors["plan"]
            assert device.sync().update == "activated"


def test_a_key_that_was_revoked_while_the_disk_was_full_stays_revoked(
    disk: Disk, tmp_path: Path
) -> None:
    with aging_hub(tmp_path / "aging") as old, old.device(disk.state) as device:
        metadata = old.repository.files.path
        shutil.copytree(metadata, tmp_path / "before")
        OfflineKeys(tmp_path / "more", 8).make()
        added = tuple(public_key(tmp_path / "more" / f"offline-{i}.pub") for i in range(1, 9))
        change = {"online": KeyChange(), "offline": KeyChange(added)}
        old.sign_elsewhere(old.keys.rotate(change, 365, to_file=True))
        pages = [blocks(metadata / f"{version}.root.json") for version in (1, 2)]
        assert pages[0] < pages[1]
        disk.fill()
        device.sync()  # from now on its database is in memory, and takes no room
        disk.leave(pages[0])  # the root that it trusts has room, the next one has none
        assert "No space left on device" in device.sync().errors["plan"]
        disk.make_room()
        shutil.rmtree(metadata)  # somebody on the way shows the world of before
        shutil.copytree(tmp_path / "before", metadata)
        assert device._link is not None
        device._link.syncer.ask_again()
        assert "signed by 0/1 keys" in device.sync().errors["plan"]


def blocks(file: Path) -> int:
    return -(-file.stat().st_size // 4_096)


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


def test_a_transaction_that_reads_and_writes_goes_on_in_memory_whole(disk: Disk) -> None:
    store = StateDatabase(disk.state)
    disk.fill()
    with store.transaction() as db:
        assert db.execute("SELECT content FROM value WHERE name = ?", ("seen",)).fetchall() == []
        db.execute("INSERT INTO value VALUES (?, ?)", ("seen", json.dumps("x" * 100_000)))
    assert not store.on_disk
    assert store.get("seen") == "x" * 100_000
    store.close()


def test_a_disk_that_fills_while_variants_come_condemns_no_release(
    hub: HubProcess, publish: Publish, disk: Disk
) -> None:
    publish("fills-variants")
    token = hub.token("fills-variants")
    with opened(disk, hub, "fills-variants", token=token) as device:
        half = variant_of("half")
        publish("fills-variants", "1.1", alternatives=(half,), defect="nan", padding=40_000)
        for pages in (0, 8, 16, 20, 24, 28):
            disk.leave(pages)
            device.sync()
            assert device.predict(ROWS[0]).version in ("1.0", "1.1")
            disk.make_room()
        for _ in range(2):  # the first may only bring the database back
            device.sync()
        assert (device.status()["version"], device.status()["variant"]) == ("1.1", "half")
