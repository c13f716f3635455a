"""Files that are no model for a device are refused with the reason, and nothing is written."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from converters import ConversionError, convert

X = np.ones((4, 3), np.float32)


def tensor(name, *shape):
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def model_of(nodes, functions=(), opsets=(("", 18),), **parts):
    constants = [numpy_helper.from_array(np.eye(3, dtype=np.float32), "w")]
    graph = helper.make_graph(nodes, "g", [tensor("x", None, 3)], [tensor("y", None, 3)], constants)
    made = [helper.make_opsetid(*opset) for opset in opsets]
    return helper.make_model(graph, opset_imports=made, functions=functions, ir_version=9, **parts)


def product(name="y"):
    return helper.make_node("MatMul", ["x", "w"], [name])


def saved(folder, model, **options):
    onnx.save(model, folder / "m.onnx", **options)
    return folder / "m.onnx"


def random_nodes():
    shape = helper.make_node("RandomNormalLike", ["x"], ["noise"])
    return [product("p"), shape, helper.make_node("Add", ["p", "noise"], ["y"])]


def training_batch_norm():
    names = ["p", "one", "one", "one", "one"]
    norm = helper.make_node("BatchNormalization", names, ["y", "mean", "var"], training_mode=1)
    one = helper.make_node("Constant", [], ["one"], value_floats=[1.0, 1.0, 1.0])
    return [product("p"), one, norm]


def calls_itself():
    body = [helper.make_node("F", ["a"], ["b"], domain="own")]
    return helper.make_function("own", "F", ["a"], ["b"], body, [helper.make_opsetid("own", 1)])


def ring():
    return [
        helper.make_node("Add", ["x", "b"], ["a"]),
        helper.make_node("Add", ["a", "x"], ["b"]),
        helper.make_node("Neg", ["b"], ["y"]),
    ]


def training_dropout():
    ratio = helper.make_node("Constant", [], ["ratio"], value_float=0.5)
    on = helper.make_node("Constant", [], ["on"], value=numpy_helper.from_array(np.array(True)))
    return [product("p"), ratio, on, helper.make_node("Dropout", ["p", "ratio", "on"], ["y"])]


MODELS = {
    "dropout of training": (lambda: model_of(training_dropout()), "found Dropout, .*for training"),
    "nodes of training": (lambda: model_of(training_batch_norm()), r"BatchNormalization.*eval\(\)"),
    "a domain that nobody knows": (
        lambda: model_of(
            [helper.make_node("Mine", ["x"], ["y"], domain="mine")], opsets=(("", 18), ("mine", 1))
        ),
        "onnxruntime cannot load it.*[Mm]ine",
    ),
    "a function that calls itself": (
        lambda: model_of(
            [helper.make_node("F", ["x"], ["y"], domain="own")],
            functions=[calls_itself()],
            opsets=(("", 18), ("own", 1)),
        ),
        "must not be recursive",
    ),
    "nodes in a ring": (lambda: model_of(ring()), "valid ONNX model.*topologically sorted"),
    "chance": (lambda: model_of(random_nodes()), "two different ones in two calls"),
}


@pytest.mark.parametrize("case", MODELS)
def test_a_graph_that_is_no_model_for_a_device_is_refused(case, tmp_path):
    make, reason = MODELS[case]
    with pytest.raises(ConversionError, match=reason):
        convert(saved(tmp_path, make()), X, name="m", out=tmp_path / "r", output="values")
    assert not (tmp_path / "r").exists()


BYTES = {
    "no file": (None, "there is no such file"),
    "an empty file": (b"", "valid ONNX model|no graph|cannot load"),
    "other bytes": (b"\x89PNG" * 20, "expected a valid ONNX model"),
}


@pytest.mark.parametrize("case", BYTES)
def test_bytes_that_are_no_model_are_refused(case, tmp_path):
    content, reason = BYTES[case]
    if content is not None:
        (tmp_path / "m.onnx").write_bytes(content)
    with pytest.raises(ConversionError, match=reason):
        convert(tmp_path / "m.onnx", X, name="m", out=tmp_path / "r")


def test_weights_beside_the_file_are_folded_in_and_missed_by_name(tmp_path):
    wide = helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 600])
    weights = np.random.default_rng(0).normal(size=(3, 600)).astype(np.float32)
    model = model_of([product()])
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(weights, "w"))
    model.graph.output[0].CopyFrom(wide)
    path = saved(tmp_path, model, save_as_external_data=True, location="w.bin", size_threshold=0)
    release = convert(path, X, name="m", out=tmp_path / "r", output="values")
    assert release.model_path.stat().st_size > 600
    (tmp_path / "w.bin").unlink()
    with pytest.raises(ConversionError, match=r"w.bin: the model keeps its weights in this file"):
        convert(path, X, name="m", out=tmp_path / "s", output="values")
    assert not (tmp_path / "s").exists()


def test_a_file_larger_than_a_release_may_be_is_refused_unread(tmp_path):
    with (tmp_path / "m.onnx").open("wb") as file:
        file.truncate(3 << 30)  # sparse: it costs no disk
    with pytest.raises(ConversionError, match="at most 2,048 MiB.*got 3,072 MiB"):
        convert(tmp_path / "m.onnx", X, name="m", out=tmp_path / "r")


def test_large_weights_beside_the_file_count(tmp_path):
    model = model_of([product()])
    path = saved(tmp_path, model, save_as_external_data=True, location="w.bin", size_threshold=0)
    with (tmp_path / "w.bin").open("r+b") as file:
        file.truncate(3 << 30)
    with pytest.raises(ConversionError, match="at most 2,048 MiB"):
        convert(path, X, name="m", out=tmp_path / "r")
