"""Clean-up changes the file and no answer."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from converters.onnx_export.cleanup import tidy

TWO = np.full((1, 2), 2, np.float32)


def model(nodes, constants=(), outputs=("y",)):
    values = [
        helper.make_tensor_value_info(n, TensorProto.FLOAT, [None, 2]) for n in ("x", *outputs)
    ]
    graph = helper.make_graph(nodes, "g", values[:1], values[1:], list(constants))
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(proto, full_check=True)
    return proto


def node(kind, inputs, outputs, **more):
    return helper.make_node(kind, inputs.split(), outputs.split(), **more)


def two(name):
    return numpy_helper.from_array(TWO, name)


def branch(name):
    value = helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 2])
    return helper.make_graph([node("Mul", "a k", name)], name, [], [value])


CASES = {
    "an identity in the middle": (
        lambda: model([node("Neg", "x", "a"), node("Identity", "a", "b"), node("Abs", "b", "y")]),
        ["Neg", "Abs"],
    ),
    "identities before the output": (
        lambda: model(
            [node("Neg", "x", "a"), node("Identity", "a", "b"), node("Identity", "b", "y")]
        ),
        ["Neg"],
    ),
    "an output that is an input": (lambda: model([node("Identity", "x", "y")]), ["Identity"]),
    "one tensor for two outputs": (
        lambda: model(
            [node("Neg", "x", "a"), node("Identity", "a", "y"), node("Identity", "a", "z")],
            outputs=("y", "z"),
        ),
        ["Neg", "Identity"],
    ),
    "a node that nothing uses": (
        lambda: model([node("Neg", "x", "y"), node("Abs", "x", "unused")]),
        ["Neg"],
    ),
    "constants that are equal": (
        lambda: model(
            [node("Mul", "x p", "a"), node("Add", "a q", "y")], [two("p"), two("q"), two("r")]
        ),
        ["Mul", "Add"],
    ),
    "graphs inside nodes": (
        lambda: model(
            [
                node("Neg", "x", "b"),
                node("Identity", "b", "a"),
                node("If", "c", "y", then_branch=branch("t"), else_branch=branch("e")),
            ],
            [two("k"), numpy_helper.from_array(np.array(True), "c")],
        ),
        ["Neg", "If"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_answers_are_the_same_after(case):
    make, kinds = CASES[case]
    proto = make()
    x = np.array([[1.0, -2.0], [0.5, 3.0]], np.float32)
    before = onnxruntime.InferenceSession(proto.SerializeToString()).run(None, {"x": x})
    tidy(proto)
    assert [n.op_type for n in proto.graph.node] == kinds
    onnx.checker.check_model(proto, full_check=True)
    after = onnxruntime.InferenceSession(proto.SerializeToString()).run(None, {"x": x})
    for old, new in zip(before, after, strict=True):
        np.testing.assert_array_equal(old, new)


def test_equal_constants_are_one_and_unused_ones_gone():
    proto = CASES["constants that are equal"][0]()
    tidy(proto)
    assert [tensor.name for tensor in proto.graph.initializer] == ["p"]
