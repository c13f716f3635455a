"""A device and a real hub process: the whole conversation, and what goes wrong in it."""

from __future__ import annotations

import contextlib
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cloud_hub.cli.main import main as edge_hub
from cloud_hub.errors import HubFault
from edge_sdk import EdgeDevice, EdgeError
from tests.clock import Clock
from tests.conftest import Publish
from tests.e2e.live import PATIENT
from tests.edge.builders import make_release, rows, softmax
from tests.servers import HubProcess, Proxy, running_hub
from tests.waiting import PATIENCE, wait_for

POLICY = b"reporting: {window: 1s, minimum_observations: 10}\n"


def open_device(
    state: Path, hub: HubProcess, model: str, *, url: str | None = None, **more: Any
) -> EdgeDevice:
    options = {"config": PATIENT, "background": False} | more
    return EdgeDevice(state, hub=url or hub.url, token=hub.token(model), model=model, **options)


def test_a_new_device_enrols_updates_and_answers_as_its_release_says(
    hub: HubProcess, publish: Publish, tmp_path: Path
) -> None:
    publish("fresh")
    with open_device(tmp_path / "d", hub, "fresh") as device:
        x = rows(20)
        answered = np.stack([device.predict(row).probabilities for row in x])
        assert np.allclose(answered, softmax(x, 0), atol=1e-6)
        assert device.status()["version"] == "1.0"


def test_a_new_plan_moves_a_running_device_and_old_predictions_still_take_labels(
    hub: HubProcess, publish: Publish, tmp_path: Path
) -> None:
    publish("moving")
    with open_device(tmp_path / "d", hub, "moving") as device:
        before = device.predict(rows(1)[0])
        publish("moving", "1.1", seed=5)
        assert device.sync().update == "activated"
        after = device.predict(rows(1)[0])
        assert (before.version, after.version) == ("1.0", "1.1")
        device.feedback(before.id, label=1)


def test_what_a_device_did_is_counted_exactly_once_at_the_hub(
    hub: HubProcess, publish: Publish, tmp_path: Path
) -> None:
    hub.admin.put("models/counted/policy", POLICY)
    publish("counted")
    with open_device(tmp_path / "d", hub, "counted") as device:
        name = device.status()["device"]
        for row in rows(50):
            prediction = device.predict(row)
            device.feedback(prediction.id, label=prediction.label)
        device.predict_batch(rows(30))
        with pytest.raises(EdgeError):
            device.predict([1.0])
    told = hub.admin.get("models/counted/telemetry")
    assert told["devices"][name] == 80
    windows = told["windows"]
    assert sum(w["labelled"] for w in windows) == sum(w["correct"] for w in windows) == 50
    assert sum(w["errors"].get("shape", 0) for w in windows) == 1


def test_a_restarted_device_serves_without_its_hub(
    hub: HubProcess, publish: Publish, tmp_path: Path
) -> None:
    publish("alone")
    open_device(tmp_path / "d", hub, "alone").close()
    nowhere = "http://127.0.0.1:9"
    with EdgeDevice(tmp_path / "d", hub=nowhere, config=PATIENT, background=False) as device:
        assert device.predict(rows(1)[0]).version == "1.0"
        assert set(device.sync().errors) == {"plan", "checkin"}


@pytest.mark.parametrize("fault", ["error", "garbage", "cut", "flip", "away"])
def test_a_device_keeps_what_it_serves_while_the_hub_misbehaves_and_goes_on_afterwards(
    hub: HubProcess, proxy: Proxy, publish: Publish, tmp_path: Path, fault: str
) -> None:
    model = f"faulty-{fault}"
    publish(model)
    with open_device(tmp_path / "d", hub, model, url=proxy.url) as device:
        publish(model, "1.1", seed=3)
        proxy.fault = fault
        assert device.sync().errors
        assert device.predict(rows(1)[0]).version == "1.0"
        proxy.fault = "none"
        publish(model, "1.2", seed=4)
        assert device.sync().errors == {}
        assert device.predict(rows(1)[0]).version == "1.2"


def test_an_interrupted_download_is_resumed_and_not_begun_again(
    hub: HubProcess, proxy: Proxy, publish: Publish, tmp_path: Path
) -> None:
    publish("resumed")
    with open_device(tmp_path / "d", hub, "resumed", url=proxy.url) as device:
        publish("resumed", "1.1", seed=8, padding=400_000)
        proxy.fault, proxy.only = "cut", "certificate.json"
        assert "update" in device.sync().errors
        (part,) = (tmp_path / "d").glob("models/*/releases/.*/certificate.json.part")
        assert 0 < part.stat().st_size < 400_000
        proxy.fault = "none"
        assert device.sync().update == "activated"
        assert 206 in proxy.statuses


def test_a_release_that_fails_its_golden_vectors_here_is_never_served(
    hub: HubProcess, publish: Publish, tmp_path: Path
) -> None:
    publish("golden")
    with open_device(tmp_path / "d", hub, "golden") as device:
        publish("golden", "1.1", seed=2, golden_seed=1)
        result = device.sync()
        assert "golden vectors" in result.errors["update"]
        assert device.predict(rows(1)[0]).version == "1.0"
        assert device.sync().update == "known_bad"  # it is not tried again under this plan
    events = hub.admin.get("models/golden/telemetry")["events"]
    assert [(e["outcome"], e["version"]) for e in events] == [
        ("activated", "1.0"),
        ("failed", "1.1"),
    ]


def test_a_model_that_fails_in_service_is_taken_back_by_the_device_itself(
    hub: HubProcess, publish: Publish, tmp_path: Path
) -> None:
    publish("failing")
    with open_device(tmp_path / "d", hub, "failing", background=True) as device:
        publish("failing", "1.1", seed=6)
        device.sync()
        assert device.predict(rows(1)[0]).version == "1.1"
        serving = device._service.serving
        assert serving is not None
        serving.errors = PATIENT.trial_errors  # what failing calls count up to
        wait_for(lambda: device.predict(rows(1)[0]).version == "1.0", "the way back to 1.0")


def test_two_processes_cannot_share_a_state_folder(
    hub: HubProcess, publish: Publish, tmp_path: Path
) -> None:
    publish("shared")
    with (
        open_device(tmp_path / "d", hub, "shared"),
        pytest.raises(EdgeError, match="another process uses this state folder"),
    ):
        open_device(tmp_path / "d", hub, "shared")


def test_a_wrong_enrolment_token_is_refused_with_the_reason(
    hub: HubProcess, tmp_path: Path
) -> None:
    with pytest.raises(EdgeError, match="enrolment token: unknown to this hub"):
        EdgeDevice(tmp_path / "d", hub=hub.url, token="guess", model="mine", background=False)


def test_a_hub_that_is_killed_loses_nothing_and_comes_back(tmp_path: Path) -> None:
    clock = Clock()
    with running_hub(tmp_path) as hub, contextlib.closing(Proxy(hub.url)) as way:
        release = make_release(tmp_path / "made", "killed")
        hub.admin.put("models/killed/policy", POLICY)
        hub.admin.publish(release.folder, hub.key)
        hub.admin.post("models/killed/promote", version="1.0")
        with open_device(tmp_path / "d", hub, "killed", url=way.url, clock=clock) as device:
            name = device.status()["device"]
            for row in rows(20):
                device.predict(row)
            hub.kill()
            for row in rows(20):
                device.predict(row)
            assert device.sync().errors
            hub.start()
            way.hub = hub.url
            clock.now += 2  # the window has ended
            assert device.sync().errors == {}
        assert hub.admin.get("models/killed/telemetry")["devices"][name] == 40


def test_a_canary_by_hand_reaches_its_share_and_a_rollback_takes_it_back(
    hub: HubProcess, publish: Publish, tmp_path: Path
) -> None:
    model = "tried"
    hub.admin.put(f"models/{model}/policy", POLICY + b"experiment: {steps: [0.5, 1.0]}\n")
    publish(model)
    devices = [open_device(tmp_path / f"d{i}", hub, model) for i in range(4)]
    try:
        publish(model, "1.1", seed=9, promote=False)
        hub.admin.post(f"models/{model}/canary", version="1.1")
        with pytest.raises(HubFault, match="runs; end it first"):
            hub.admin.post(f"models/{model}/canary", version="1.1")
        for device in devices:
            device.sync()
        versions = {device.status()["version"] for device in devices}
        assert versions == {"1.0", "1.1"}
        hub.admin.post(f"models/{model}/rollback", reason="enough")
        for device in devices:
            device.sync()
        assert {device.status()["version"] for device in devices} == {"1.0"}
        assert {device.status()["experiment"] for device in devices} == {None}
        trials = f"models/{model}/experiments"
        ended = lambda: [e["status"] for e in hub.admin.get(trials)] == ["stopped"]  # noqa: E731
        wait_for(ended, "the end of the experiment")
    finally:
        for device in devices:
            device.close()


def test_closing_ends_a_download_that_would_take_minutes_and_a_restart_resumes_it(
    hub: HubProcess, proxy: Proxy, publish: Publish, tmp_path: Path
) -> None:
    publish("slow")
    device = open_device(tmp_path / "d", hub, "slow", url=proxy.url)
    publish("slow", "1.1", seed=5, padding=100_000)
    proxy.fault, proxy.only = "drip", "certificate.json"
    syncing = threading.Thread(target=device.sync)
    syncing.start()
    begun = lambda: next((tmp_path / "d").glob("**/certificate.json.part"), None)  # noqa: E731
    part = wait_for(begun, "the download")
    wait_for(lambda: any("certificate" in path for path, _ in proxy.served), "the hub's answer")
    device.close()
    syncing.join(PATIENCE)
    assert not syncing.is_alive()
    assert part.exists()
    proxy.fault = "none"
    with EdgeDevice(tmp_path / "d", hub=proxy.url, config=PATIENT, background=False) as again:
        assert again.predict(rows(1)[0]).version == "1.0"
        assert again.sync().update == "activated"


@pytest.mark.parametrize("path", ["timestamp", "targets", "messages", ""])
def test_closing_does_not_wait_for_a_hub_that_drips(
    hub: HubProcess, proxy: Proxy, publish: Publish, tmp_path: Path, path: str
) -> None:
    model = f"drips-{path or 'all'}"
    publish(model)
    device = EdgeDevice(
        tmp_path / "d", hub=proxy.url, token=hub.token(model), model=model, config=PATIENT,
        background=False,
    )  # fmt: skip
    device.predict(rows(1)[0])
    publish(model, "1.1", seed=3)
    proxy.fault, proxy.only = "drip", path
    seen = len(proxy.served)
    syncing = threading.Thread(target=device.sync, daemon=True)
    syncing.start()
    wait_for(lambda: any(path in p for p, _ in proxy.served[seen:]), "the request")
    started = time.monotonic()
    device.close(timeout=1.0)
    # The slowest of these answers takes minutes to drip.
    assert time.monotonic() - started < 60.0
    syncing.join(PATIENCE)
    assert not syncing.is_alive()
    with EdgeDevice(tmp_path / "d", hub=hub.url, config=PATIENT, background=False) as again:
        again.sync()
        assert again.predict(rows(1)[0]).version == "1.1"


def test_features_given_to_the_hub_are_joined_on_devices(
    hub: HubProcess, publish: Publish, tmp_path: Path
) -> None:
    publish("entities")
    with open_device(tmp_path / "d", hub, "entities") as device:
        with pytest.raises(EdgeError, match="this device has no batch features"):
            device.predict({"f1": 7.0, "f3": 8.0}, entity="user-1")
        file = tmp_path / "users.csv"
        file.write_text("user,f0,f2\nuser-1,1.5,2.5\n")
        command = ["features", "put", "entities", str(file), "--default", "f0=0"]
        assert edge_hub([*command, "--default", "f2=0", "--data", str(hub.data)]) == 0
        assert device.sync().update == "activated"
        joined = device.predict({"f1": 7.0, "f3": 8.0}, entity="user-1")
        assert (joined.probabilities == device.predict([1.5, 7.0, 2.5, 8.0]).probabilities).all()
        publish("entities", "1.1", seed=5)
        assert device.sync().update == "activated"
        moved = device.predict({"f1": 7.0, "f3": 8.0}, entity="user-1")
        assert moved.version == "1.1"
        assert (moved.probabilities == device.predict([1.5, 7.0, 2.5, 8.0]).probabilities).all()
