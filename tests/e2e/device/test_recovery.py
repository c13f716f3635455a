"""Trouble that is not the release's fault does not condemn it; damage on the device is mended."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

import pytest

from edge_sdk import EdgeDevice
from edge_sdk.errors import StateError
from edge_sdk.update.slots import Slots
from tests.conftest import Publish
from tests.e2e.live import PATIENT
from tests.edge.builders import rows
from tests.model_folder import model_folder
from tests.processes.ready import run_ready
from tests.servers import HubProcess, Proxy
from tests.waiting import PATIENCE, wait_for


def opened(state: Path, hub: HubProcess, model: str, url: str | None = None) -> EdgeDevice:
    token = hub.token(model)
    return EdgeDevice(
        state, hub=url or hub.url, token=token, model=model, config=PATIENT, background=False
    )


@pytest.mark.parametrize("fault", ["error", "flip", "cut"])
def test_a_fault_on_the_way_is_forgotten_at_the_next_sync(
    hub: HubProcess, proxy: Proxy, publish: Publish, tmp_path: Path, fault: str
) -> None:
    model = f"way-{fault}"
    publish(model)
    with opened(tmp_path / "d", hub, model, proxy.url) as device:
        publish(model, "1.1", seed=3)
        proxy.fault, proxy.only = fault, "model.onnx"
        assert "update" in device.sync().errors
        proxy.fault = "none"
        assert device.sync().update == "activated"
    events = hub.admin.get(f"models/{model}/telemetry")["events"]
    assert {event["outcome"] for event in events} == {"activated"}


def test_a_partial_download_torn_by_a_power_cut_is_fetched_again(
    hub: HubProcess, proxy: Proxy, publish: Publish, tmp_path: Path
) -> None:
    publish("torn")
    with opened(tmp_path / "d", hub, "torn", proxy.url) as device:
        publish("torn", "1.1", seed=8, padding=400_000)
        proxy.fault, proxy.only = "cut", "certificate.json"
        device.sync()
        (part,) = (tmp_path / "d").glob("models/*/releases/.*/certificate.json.part")
        part.write_bytes(bytes(part.stat().st_size))
        proxy.fault = "none"
        assert device.sync().errors
        assert device.sync().update == "activated"


def test_a_full_disk_stops_the_update_and_the_next_one_completes(
    hub: HubProcess, publish: Publish, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish("full")
    with opened(tmp_path / "d", hub, "full") as device:
        publish("full", "1.1", seed=8)

        def no_space(self: Slots, manifest: str) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(Slots, "stage", no_space)
            assert "No space left" in device.sync().errors["update"]
        assert device.predict(rows(1)[0]).version == "1.0"
        assert device.sync().update == "activated"


def test_a_release_damaged_on_the_device_gives_way_to_the_one_before_and_comes_back(
    hub: HubProcess, publish: Publish, tmp_path: Path
) -> None:
    publish("damaged")
    with opened(tmp_path / "d", hub, "damaged") as device:
        publish("damaged", "1.1", seed=8)
        device.sync()
        assert device._link is not None
        slot = device._models.own._link.updater.slot()
    assert slot is not None
    (slot.release / "model.onnx").unlink()
    with EdgeDevice(tmp_path / "d", hub=hub.url, config=PATIENT, background=False) as device:
        assert device.predict(rows(1)[0]).version == "1.0"
        device.sync()
        assert device.predict(rows(1)[0]).version == "1.1"


@pytest.mark.parametrize("lost", ["a file", "the folder", "all folders"])
def test_a_release_that_the_disk_lost_while_it_was_activated_gives_way_and_comes_back(
    hub: HubProcess, publish: Publish, tmp_path: Path, lost: str
) -> None:
    model = f"halfway-{lost.replace(' ', '-')}"
    publish(model)
    opened(tmp_path / "d", hub, model).close()
    release = publish(model, "1.1", seed=8)
    words = ["-m", "tests.e2e.device.killed", tmp_path / "d", hub.url, "", model, "activate"]
    run_ready("device", words)
    releases = model_folder(tmp_path / "d") / "releases"
    if lost == "a file":
        (releases / release.digest / "model.onnx").unlink()
    else:
        shutil.rmtree(releases / release.digest if lost == "the folder" else releases)
    with EdgeDevice(tmp_path / "d", hub=hub.url, config=PATIENT, background=False) as device:
        if lost != "all folders":
            assert device.predict(rows(1)[0]).version == "1.0"
        assert device.sync().errors == {}
        assert device.predict(rows(1)[0]).version == "1.1"
        assert device.status()["failures"] == {}


@pytest.mark.parametrize("lost", ["packs", "patches"])
def test_a_folder_that_is_lost_while_the_device_runs_costs_no_update(
    hub: HubProcess, publish: Publish, tmp_path: Path, lost: str
) -> None:
    publish(f"without-{lost}")
    with opened(tmp_path / "d", hub, f"without-{lost}") as device:
        (model_folder(tmp_path / "d") / lost).rmdir()
        publish(f"without-{lost}", "1.1", seed=8)
        result = device.sync()
        assert (result.update, result.errors) == ("activated", {})
        assert device.predict(rows(1)[0]).version == "1.1"


def test_an_error_in_the_background_does_not_end_the_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from edge_sdk.system.repeater import Repeater

    called: list[int] = []

    def work() -> float:
        called.append(1)
        if len(called) == 1:
            raise StateError("disk full")
        return 3_600.0

    monkeypatch.setattr("edge_sdk.system.repeater.AFTER_ERROR", 0.01)
    repeater = Repeater("test", work)
    repeater.start()
    wait_for(lambda: len(called) == 2, "another call")
    repeater.stop(timeout=PATIENCE)
    assert len(called) == 2


def test_a_message_of_an_unknown_kind_is_refused_alone(
    hub: HubProcess, publish: Publish, tmp_path: Path
) -> None:
    publish("kinds")
    with opened(tmp_path / "d", hub, "kinds") as device:
        assert device._link is not None
        with device._link.store.transaction() as db:
            db.execute(
                "INSERT INTO outbox (boot, sequence, kind, body, bytes) "
                "VALUES ('aa', 1, 'from-the-future', '{}', 2)"
            )
        assert device.sync().errors == {}
        assert device.status()["waiting"] == 0
