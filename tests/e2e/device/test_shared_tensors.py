"""Labelled inputs that are no table, from a device whose owner shares them into a hub and out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cloud_hub.cli.main import main as edge_hub
from edge_sdk import EdgeDevice
from edge_sdk.contract.messages import FeedbackReport, TensorSample
from edge_sdk.model.release import Release
from tests.e2e.live import PATIENT
from tests.servers import HubProcess
from tests.tensor_release import picture_release, pictures

ASKS = "sharing: {samples: true, per_window: 3, tensor_bytes: 1000000}\n"


@pytest.fixture(scope="module")
def faces(hub: HubProcess, tmp_path_factory: pytest.TempPathFactory) -> Release:
    release = picture_release(tmp_path_factory.mktemp("faces"))
    hub.admin.publish(release.folder, hub.key, override="test")
    hub.admin.put("models/faces/policy", ASKS.encode())
    hub.admin.post("models/faces/promote", version="1.0")
    return release


def answered(hub: HubProcess, state: Path, *, share: bool, most: int) -> list[type]:
    """Label five pictures on a device that may send so many bytes; what it has for the hub."""
    config = replace(PATIENT, shared_tensor_bytes=most)
    with EdgeDevice(
        state, hub=hub.url, token=hub.token("faces"), model="faces", share=share, config=config,
        background=False,
    ) as device:  # fmt: skip
        x = pictures(5, seed=7)
        made = [device.predict(each) for each in x]
        x[:] = 0  # the application goes on with its memory
        for p in made:
            device.feedback(p.id, label=1)
        device._service.collect(final=True)
        assert device._link is not None
        upload = device._link.outbox.batch()
        assert upload is not None
        kinds = [type(message.open()) for message in upload.messages]
        result = device.sync()
        assert (result.errors, device.status()["rejected"]) == ({}, None)
        return kinds


def test_pictures_and_labels_come_whole_to_who_trains_and_no_more_than_asked_for(
    hub: HubProcess, faces: Release, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kinds = answered(hub, tmp_path / "d", share=True, most=1_000_000)
    assert kinds.count(TensorSample) == 3
    found = hub.admin.get("models/faces/tensors")
    assert (found["count"], [s["shapes"] for s in found["samples"]]) == (
        3,
        [{"x": [1, 16, 16, 3]}] * 3,
    )
    at = ["--data", str(hub.data)]
    assert edge_hub(["telemetry", "tensors", "faces", "--out", str(tmp_path / "shared"), *at]) == 0
    assert "3 inputs" in capsys.readouterr().out
    saved = [np.load(path) for path in sorted((tmp_path / "shared").glob("*.npz"))]
    assert np.array_equal(np.concatenate([each["x"] for each in saved]), pictures(5, seed=7)[:3])
    assert [each["label"].item() for each in saved] == [1, 1, 1]

    (device,) = {s["device"] for s in found["samples"]}
    hub.admin.post(f"devices/{device}/revoke", reason="stolen")
    assert hub.admin.get("models/faces/tensors")["count"] == 0
    hub.admin.post(f"devices/{device}/forget", reason="gone")


@pytest.mark.parametrize(("share", "most"), [(False, 1_000_000), (True, 0), (True, 100)])
def test_nothing_is_shared_without_the_owners_word_or_beyond_its_cap(
    hub: HubProcess, faces: Release, tmp_path: Path, share: bool, most: int
) -> None:
    kinds = answered(hub, tmp_path / "d", share=share, most=most)
    assert FeedbackReport in kinds  # the labels count all the same
    assert TensorSample not in kinds
    assert hub.admin.get("models/faces/tensors")["count"] == 0
