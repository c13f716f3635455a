"""Devices are held to what the policy asks of tensors, whatever they send."""

from __future__ import annotations

import base64
import io
import itertools
import os
import time
from pathlib import Path

import numpy as np
import pytest

from cloud_hub.database.records import EnrolledDevice
from cloud_hub.hub import Hub
from cloud_hub.telemetry.shared_tensors import as_npz
from edge_sdk.contract.codec import to_plain
from edge_sdk.contract.messages import Message, TensorSample, Upload, UploadReply
from edge_sdk.system.compression import zstd
from edge_sdk.telemetry.tensor_blobs import packed
from tests import simulated_device
from tests.tensor_release import picture_release, pictures

DAY = 86_400
NUMBERS = itertools.count(1)
SHAPES = {"x": (1, 16, 16, 3)}


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return picture_release(tmp_path_factory.mktemp("faces")).folder


@pytest.fixture
def faces(inner: Hub, release: Path) -> Hub:
    """A hub whose model ``faces`` takes pictures."""
    from edge_sdk.model.release import Release

    inner.registry.publish(Release.open(release), actor="test", override="test")
    inner.plans.promote("faces", "1.0", actor="test", reason="first")
    return inner


def asks(hub: Hub, text: str) -> None:
    hub.policies.apply("faces", f"sharing: {{{text}}}\nreporting: {{window: 5m}}\n", actor="test")


def enrolled(hub: Hub) -> str:
    token = hub.fleet.new_token("faces", uses=1, seconds=60, actor="test")
    return simulated_device.enrolled(hub, token, "faces")


def send(hub: Hub, device: str, *samples: TensorSample) -> UploadReply:
    messages = tuple(Message("b1", next(NUMBERS), "tensors", to_plain(s)) for s in samples)
    return hub.telemetry.ingest(EnrolledDevice(device, ("faces",)), Upload(messages))


def sample(seed: int = 0, label: int | str = 1, taken: float | None = None) -> TensorSample:
    data = packed({"x": pictures(1, seed)})
    at = int(time.time() if taken is None else taken)
    return TensorSample("faces", "1.0", SHAPES, data, label, at)


def test_no_tensors_are_taken_where_the_policy_asks_for_none(faces: Hub) -> None:
    device = enrolled(faces)
    for text in ("samples: false", "samples: true, per_window: 5"):
        asks(faces, text)
        reply = send(faces, device, sample())
        assert "tensors: the plan of faces asks for none" in reply.rejected[0].reason
    assert faces.telemetry.tensors.total("faces") == (0, 0)


@pytest.mark.parametrize(
    "terms", ["per_window: 2, tensor_bytes: 1000000", "per_window: 99, tensor_bytes: 1600"]
)
def test_a_device_shares_no_more_than_its_windows_allow_in_number_and_bytes(
    faces: Hub, terms: str
) -> None:
    asks(faces, f"samples: true, {terms}")
    one, other = enrolled(faces), enrolled(faces)
    size = len(sample().data) * 3 // 4
    assert 600 < size < 800  # two a window, by either cap
    replies = [send(faces, one, sample(seed)) for seed in range(20)]
    # Three windows, two of them to spare; a fourth may begin as this runs.
    assert 4 <= sum(reply.accepted for reply in replies) <= 8
    assert "its plans ask for at most" in replies[-1].rejected[0].reason
    assert send(faces, other, sample()).accepted == 1  # others are not held to it


def text(raw: bytes) -> str:
    return base64.b64encode(zstd.compress(raw)).decode()


BAD = {
    "a label of no class": (sample(label=7), "expected one of 2 classes"),
    "a label of text": (sample(label="smile"), "expected one of 2 classes"),
    "another shape": (
        TensorSample("faces", "1.0", {"x": (1, 16, 16, 4)}, text(bytes(1_024)), 1, 5),
        "tensors: 'x': expected shape [1, 16, 16, 3], got [1, 16, 16, 4]",
    ),
    "more rows than one": (
        TensorSample("faces", "1.0", {"x": (20_000, 16, 16, 3)}, text(bytes(15_360_000)), 1, 5),
        "tensors: 'x': expected shape [1, 16, 16, 3]",
    ),
    "a bomb": (TensorSample("faces", "1.0", SHAPES, text(bytes(1 << 28)), 1, 5), "exactly 768"),
    "another tensor": (TensorSample("faces", "1.0", {"y": (1,)}, text(b"1"), 1, 5), "the inputs"),
    "noise": (
        TensorSample("faces", "1.0", SHAPES, base64.b64encode(os.urandom(99)).decode(), 1, 5),
        "expected base64 of a zstd frame",
    ),
    "the future": (sample(taken=time.time() + DAY), "taken in the future"),
    "before it enrolled": (sample(taken=time.time() - DAY), "before this device enrolled"),
    "another version": (
        TensorSample("faces", "9.9", SHAPES, sample().data, 1, 5), "9.9",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_what_no_device_can_have_answered_is_refused_in_words(faces: Hub, case: str) -> None:
    asks(faces, "samples: true, per_window: 5, tensor_bytes: 1000000")
    bad, reason = BAD[case]
    device = enrolled(faces)
    reply = send(faces, device, bad, sample())
    assert (reply.accepted, len(reply.rejected)) == (1, 1)
    assert reason in reply.rejected[0].reason


def test_tensors_for_a_model_of_rows_are_refused(serving: Hub) -> None:
    serving.policies.apply(
        "demo", "sharing: {samples: true, per_window: 5, tensor_bytes: 1000000}\n", actor="test"
    )
    token = serving.fleet.new_token("demo", uses=1, seconds=60, actor="test")
    device = simulated_device.enrolled(serving, token)
    data = packed({"X": np.zeros((1, 4), np.float32)})
    bad = TensorSample("demo", "1.0", {"X": (1, 4)}, data, 1, int(time.time()))
    upload = Upload((Message("b1", 1, "tensors", to_plain(bad)),))
    reply = serving.telemetry.ingest(EnrolledDevice(device, ("demo",)), upload)
    assert "demo 1.0 is of rows" in reply.rejected[0].reason


def test_they_are_deleted_after_the_days_that_the_policy_keeps_and_with_their_device(
    faces: Hub,
) -> None:
    asks(faces, "samples: true, per_window: 5, tensor_bytes: 1000000")
    device, other = enrolled(faces), enrolled(faces)
    for each in (device, other):
        assert send(faces, each, sample()).accepted == 1
    faces.fleet.forget(other, reason="asked", actor="test")
    assert faces.telemetry.tensors.total("faces")[0] == 1
    (record,) = faces.telemetry.tensors.records("faces")
    assert record.device == device
    faces.telemetry.clean(time.time() + 401 * DAY)
    assert faces.telemetry.tensors.total("faces") == (0, 0)


@pytest.mark.parametrize("name", ["file", "allow_pickle", "a/b"])
def test_a_tensor_may_have_any_name_in_the_file_that_is_saved(name: str) -> None:
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    saved = np.load(io.BytesIO(as_npz({"label": np.array("smile"), name: values})))
    assert np.array_equal(saved[name], values)
    assert saved["label"] == "smile"
