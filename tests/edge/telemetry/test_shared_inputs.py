"""Shared inputs that are no table: their text and back, what is held, and the caps."""

from __future__ import annotations

import base64
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from edge_sdk.contract.errors import ContractError
from edge_sdk.contract.manifest import Manifest, OutputSpec, Signature, TensorSpec
from edge_sdk.contract.messages import TensorSample
from edge_sdk.contract.serving_terms import Sharing
from edge_sdk.model.prediction import Origin, Prediction
from edge_sdk.system.compression import zstd
from edge_sdk.telemetry.label_join import Place
from edge_sdk.telemetry.shared_inputs import (
    HELD_BYTES,
    SharedInputs,
    SharedRows,
    SharedTensors,
    shared_inputs,
)
from edge_sdk.telemetry.tensor_blobs import packed, unpacked

OUT = (OutputSpec("y", "float32", (None,)),)
DTYPES = ("bool", "uint8", "int16", "int64", "float16", "float32", "float64")
ASKED = Sharing(True, 10, 1_000_000)


def signature(*dtypes: str) -> Signature:
    specs = tuple(
        TensorSpec(f"t{i}", dtype, (None, None))  # type: ignore[arg-type]
        for i, dtype in enumerate(dtypes)
    )
    return Signature(specs, OUT)


@given(st.data())
def test_tensors_come_back_as_they_were(data: st.DataObject) -> None:
    dtypes = data.draw(st.lists(st.sampled_from(DTYPES), min_size=1, max_size=3))
    shapes = arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=5)
    tensors = {f"t{i}": data.draw(arrays.arrays(dtype, shapes)) for i, dtype in enumerate(dtypes)}
    back = unpacked(packed(tensors), {n: t.shape for n, t in tensors.items()}, signature(*dtypes))
    assert back.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert back[name].dtype == tensor.dtype
        assert back[name].shape == tensor.shape
        assert back[name].tobytes() == tensor.tobytes()


def text(raw: bytes) -> str:
    return base64.b64encode(zstd.compress(raw)).decode()


HOSTILE: dict[str, tuple[str, dict[str, tuple[int, ...]], str]] = {
    "no base64": ("*", {"t0": (1,)}, "expected base64"),
    "no frame": (base64.b64encode(b"noise").decode(), {"t0": (1,)}, "expected base64 of a zstd"),
    "too few values": (text(bytes(4)), {"t0": (2,)}, "expected exactly 8 bytes"),
    "too many values": (text(bytes(12)), {"t0": (2,)}, "expected exactly 8 bytes"),
    "a bomb": (text(bytes(1 << 30)), {"t0": (2,)}, "expected exactly 8 bytes"),
    "a frame cut short": (
        base64.b64encode(zstd.compress(bytes(range(256)) * 4)[:-9]).decode(), {"t0": (256,)},
        "expected exactly 1024 bytes",
    ),
    "more behind it": (
        base64.b64encode(zstd.compress(bytes(8)) + b"more").decode(), {"t0": (2,)},
        "expected exactly 8 bytes",
    ),
    "too large": (text(b""), {"t0": (1 << 20, 1 << 20)}, "expected at most 16777216 bytes"),
    "another tensor": (text(bytes(4)), {"t1": (1,)}, r"expected the inputs \['t0'\]"),
}  # fmt: skip


@pytest.mark.parametrize("case", HOSTILE)
def test_a_text_that_is_no_such_tensors_is_refused(case: str) -> None:
    data, shapes, message = HOSTILE[case]
    with pytest.raises(ContractError, match=message):
        unpacked(data, shapes, signature("float32"))


def manifest(**changes: Any) -> Manifest:
    plain = {"model": "m", "version": "1.0", "task": "classification",
             "signature": signature("float32")} | changes  # fmt: skip
    return cast(Manifest, type("Release", (), plain))


def tensors(sharing: Sharing = ASKED) -> SharedTensors:
    shared = shared_inputs(manifest(), sharing)
    assert isinstance(shared, SharedTensors)
    return shared


def held(shared: SharedTensors, number: int, values: Any) -> None:
    prediction = Prediction.of(Origin("t", "1.0", "model"), number, 1, 0.5)
    shared.hold({"t0": np.asarray(values, np.float32)}, prediction)


def labelled(shared: SharedTensors, number: int | str, window: int = 60) -> None:
    place = type("Known", (), {"name": str(number), "row": None, "taken": 61})
    shared.keep(window, cast(Place, place), 1)


def test_what_may_be_shared_depends_on_plan_owner_and_release() -> None:
    from edge_sdk.contract.manifest import Column

    table = Signature(
        (TensorSpec("t0", "float32", (None, 1)),), OUT, (Column("f", "float32", "t0", 0),)
    )
    cases = [
        (Sharing(), {}, SharedInputs),
        (Sharing(True, 10), {}, SharedInputs),
        (ASKED, {}, SharedTensors),
        (ASKED, {"task": "multilabel"}, SharedInputs),
        (ASKED, {"signature": signature("float32", "string")}, SharedInputs),
        (ASKED, {"signature": table}, SharedRows),
        (ASKED.at_most(0), {}, SharedInputs),
    ]
    for sharing, changes, expected in cases:
        assert type(shared_inputs(manifest(**changes), sharing)) is expected


def test_an_input_is_shared_once_with_its_label_and_as_it_was() -> None:
    shared, x = tensors(), np.arange(4, dtype=np.float32).reshape(1, 4)
    held(shared, 1, x)
    held(shared, 2, x + 1)
    for number in (2, 2, 3, "1.0"):
        labelled(shared, number)
    (sample,) = shared.take()
    assert isinstance(sample, TensorSample)
    assert (sample.label, sample.taken, dict(sample.shapes)) == (1, 61, {"t0": (1, 4)})
    back = unpacked(sample.data, sample.shapes, signature("float32"))
    assert np.array_equal(back["t0"], x + 1)
    assert shared.take() == []


def test_no_more_is_shared_than_the_caps_of_a_window_allow() -> None:
    noise = np.random.default_rng(0).random((20, 1_000), np.float32)
    for sharing, expected in ((Sharing(True, 3, 10**9), 3), (Sharing(True, 100, 10_000), 2)):
        shared = tensors(sharing)
        for window in (60, 120):
            for i, values in enumerate(noise):
                held(shared, window + i, values)
                labelled(shared, window + i, window)
            samples = [body for body in shared.take() if isinstance(body, TensorSample)]
            assert len(samples) == expected
            assert sum(len(s.data) * 3 // 4 for s in samples) <= sharing.tensor_bytes


def test_what_is_held_is_bounded_and_the_oldest_go() -> None:
    shared = tensors(Sharing(True, 10**6, 10**12))
    values = np.zeros(1 << 20, np.float32)
    for number in range(1, 20):  # 4 MiB each
        held(shared, number, values)
    assert sum(t.nbytes for feed in shared._held.values() for t in feed.values()) == HELD_BYTES
    for number in (1, 11, 12, 19):
        labelled(shared, number)
    assert len(shared.take()) == 2
    held(shared, 20, np.zeros(1 << 23, np.float32))  # one that no hub would take
    assert 20 not in shared._held
