"""Models as people ship them: any dtype, several inputs, fixed or no batch, recurrent state."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from converters import ConversionError, convert
from edge_sdk import EdgeDevice
from edge_sdk.errors import InputError
from edge_sdk.model.release import Release
from edge_sdk.update.probe import probe
from tests.waiting import PATIENCE

DTYPES = {
    "float16": TensorProto.FLOAT16,
    "float32": TensorProto.FLOAT,
    "float64": TensorProto.DOUBLE,
    "int8": TensorProto.INT8,
    "uint8": TensorProto.UINT8,
    "int16": TensorProto.INT16,
    "int32": TensorProto.INT32,
    "int64": TensorProto.INT64,
    "bool": TensorProto.BOOL,
    "string": TensorProto.STRING,
}


def value(name: str, dtype: str, shape: list[Any]) -> Any:
    return helper.make_tensor_value_info(name, DTYPES[dtype], shape)


def release_of(
    folder: Path,
    nodes: list[Any],
    inputs: list[Any],
    outputs: list[Any],
    X: Any,
    constants: tuple[Any, ...] = (),
    **options: Any,
) -> Release:
    graph = helper.make_graph(nodes, "g", inputs, outputs, list(constants))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    onnx.save(model, folder / "m.onnx")
    release = convert(folder / "m.onnx", X, name="m", out=folder / "release", **options)
    probe(release)
    return release


def identity(folder: Path, dtype: str, shape: list[Any], X: Any) -> Release:
    node = helper.make_node("Identity", ["x"], ["y"])
    inputs, outputs = [value("x", dtype, shape)], [value("y", dtype, shape)]
    return release_of(folder, [node], inputs, outputs, X, output="values")


SAMPLES: dict[str, Any] = {
    **{name: [[0.5, -1.0, 2.0]] for name in ("float16", "float32", "float64")},
    **{name: [[1, -2, 3]] for name in ("int8", "int16", "int32", "int64")},
    "uint8": [[1, 2, 255]],
    "bool": [[True, False, True]],
    "string": [["a", "", "Århus"]],
}


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_tensor_of_any_dtype_goes_in_and_comes_out(tmp_path: Path, dtype: str) -> None:
    x = np.array(SAMPLES[dtype], dtype=object if dtype == "string" else dtype)
    release = identity(tmp_path, dtype, [None, 3], x)
    with EdgeDevice.offline(release.folder) as device:
        p = device.predict(x[0])
        assert answer(p).tolist() == x[0].tolist()
        assert answer(device.predict(x[0].tolist())).tolist() == x[0].tolist()
        assert device.predict_batch(np.repeat(x, 5, axis=0)).outputs["y"].shape == (5, 3)
        with pytest.raises(InputError):
            device.predict(x[0][:2])


def answer(prediction: Any) -> Any:
    """A table of numbers is a value, tensors of other kinds come by name."""
    return prediction.value if prediction.value is not None else prediction.outputs["y"]


def test_a_model_without_a_batch_axis_gives_its_outputs_whole(tmp_path: Path) -> None:
    x = {"x": np.array([1.0, 2.0, 3.0], np.float32)}
    node = helper.make_node("ReduceSum", ["x"], ["y"], keepdims=0)
    release = release_of(
        tmp_path, [node], [value("x", "float32", [3])], [value("y", "float32", [])], [x]
    )
    assert not release.manifest.signature.batched
    with EdgeDevice.offline(release.folder) as device:
        assert device.predict(x).outputs["y"] == 6.0
        assert device.predict(x["x"]).outputs["y"] == 6.0
        with pytest.raises(InputError, match="use predict"):
            device.predict_batch(x)


def test_a_scalar_input_is_a_tensor_without_axes(tmp_path: Path) -> None:
    node = helper.make_node("Neg", ["x"], ["y"])
    release = release_of(
        tmp_path, [node], [value("x", "float32", [])], [value("y", "float32", [])], [{"x": 2.0}]
    )
    with EdgeDevice.offline(release.folder) as device:
        assert device.predict({"x": 3}).outputs["y"] == -3.0


def test_a_file_that_fixes_the_batch_takes_any_number_of_rows(tmp_path: Path) -> None:
    x = np.arange(44, dtype=np.float32).reshape(11, 4)
    release = identity(tmp_path, "float32", [4, 4], x)
    with EdgeDevice.offline(release.folder) as device:
        for count in (1, 3, 4, 5, 11):
            assert (device.predict_batch(x[:count]).outputs["y"] == x[:count]).all()
        assert (device.predict(x[7]).value == x[7]).all()


def test_several_inputs_and_outputs_of_different_dtypes(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Gather", ["table", "id"], ["row"], axis=0),
        helper.make_node("Cast", ["flag"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["row", "f"], ["y"]),
        helper.make_node("Not", ["flag"], ["other"]),
    ]
    inputs = [value("id", "int64", ["n"]), value("flag", "bool", ["n", 1])]
    outputs = [value("y", "float32", ["n", 2]), value("other", "bool", ["n", 1])]
    table = numpy_helper.from_array(np.array([[1, 2], [3, 4]], np.float32), "table")
    feed = {"id": np.array([1]), "flag": np.array([[True]])}
    release = release_of(tmp_path, nodes, inputs, outputs, [feed], (table,), output="values")
    with EdgeDevice.offline(release.folder) as device:
        p = device.predict(feed)
        assert (p.outputs["y"].tolist(), p.outputs["other"].tolist()) == ([3.0, 4.0], [False])
        with pytest.raises(InputError, match="flag"):
            device.predict({"id": np.array([1])})


def accumulator(folder: Path) -> Release:
    """``y = x + sum``, and the sum of all inputs so far is carried from call to call."""
    nodes = [
        helper.make_node("Add", ["x", "sum"], ["next"]),
        helper.make_node("Identity", ["next"], ["y"]),
    ]
    inputs = [value("x", "float32", [1, 2]), value("sum", "float32", [1, 2])]
    outputs = [value("y", "float32", [1, 2]), value("next", "float32", [1, 2])]
    x = [{"x": np.ones((1, 2), np.float32)}]
    options: dict[str, Any] = {"state": {"sum": "next"}, "output": "values"}
    return release_of(folder, nodes, inputs, outputs, x, **options)


def total(prediction: Any) -> list[float]:
    assert not prediction.outputs
    found: list[float] = prediction.value.tolist()
    return found


def test_a_stateful_model_remembers_the_calls_before(tmp_path: Path) -> None:
    x = np.array([[1.0, 10.0]], np.float32)
    with EdgeDevice.offline(accumulator(tmp_path).folder) as device:
        assert [total(device.predict(x)) for _ in range(3)] == [[1, 10], [2, 20], [3, 30]]
        other = device.stream()
        assert total(other.predict({"x": x})) == [1, 10]
        assert total(device.predict(x)) == [4, 40]
        other.predict(x)
        other.reset()
        assert total(other.predict(x)) == [1, 10]
        with pytest.raises(InputError, match="use predict"):
            device.predict_batch(x)


def test_a_refused_input_leaves_the_state_as_it_was(tmp_path: Path) -> None:
    x = np.ones((1, 2), np.float32)
    with EdgeDevice.offline(accumulator(tmp_path).folder) as device:
        device.predict(x)
        for wrong in (np.full((1, 2), np.nan, np.float32), x[:, :1], {"sum": x}):
            with pytest.raises(InputError):
                device.predict(wrong)
        assert total(device.predict(x)) == [2, 2]


def test_threads_on_one_stream_take_turns(tmp_path: Path) -> None:
    x = np.ones((1, 2), np.float32)
    with EdgeDevice.offline(accumulator(tmp_path).folder) as device:
        seen: list[float] = []
        threads = [
            threading.Thread(
                target=lambda: seen.extend(total(device.predict(x))[0] for _ in range(50))
            )
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
    assert sorted(seen) == list(range(1, 201))


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"sum": "nowhere"}, "no output 'nowhere'.*'next'"),
        ({"nowhere": "next"}, "no input 'nowhere'.*'sum'"),
        ({"x": "y", "sum": "next"}, "expected an input besides"),
    ],
)
def test_state_that_the_file_does_not_have_is_refused(
    tmp_path: Path, state: dict[str, str], message: str
) -> None:
    path = accumulator(tmp_path).folder.parent / "m.onnx"
    x = [{"x": np.ones((1, 2), np.float32)}]
    with pytest.raises(ConversionError, match=message):
        convert(path, x, name="m", out=tmp_path / "again", state=state, output="values")
    assert not (tmp_path / "again").exists()


def test_a_recurrent_network_gives_step_by_step_what_it_gives_at_once(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    hidden, width = 4, 3
    weights = {"W": (1, 3 * hidden, width), "R": (1, 3 * hidden, hidden)}
    constants = [
        numpy_helper.from_array(random.normal(size=shape).astype(np.float32), name)
        for name, shape in weights.items()
    ]
    node = helper.make_node("GRU", ["x", "W", "R", "", "", "h"], ["y", "hn"], hidden_size=hidden)
    inputs = [value("x", "float32", ["t", 1, width]), value("h", "float32", [1, 1, hidden])]
    outputs = [value("y", "float32", ["t", 1, 1, hidden]), value("hn", "float32", [1, 1, hidden])]
    x = random.normal(size=(6, 1, width)).astype(np.float32)
    release = release_of(
        *(tmp_path, [node], inputs, outputs, [{"x": x}], tuple(constants)),
        state={"h": "hn"},
        batched=False,
    )
    with EdgeDevice.offline(release.folder) as device:
        whole = device.stream().predict(x).outputs["y"]
        steps = [device.predict(x[i : i + 1]).outputs["y"] for i in range(6)]
    assert np.allclose(np.concatenate(steps), whole, atol=1e-6)
