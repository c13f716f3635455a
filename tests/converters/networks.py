"""Networks on the bundled digits: random layers, and a readout that least squares trains.

Such a network classifies well, is made in a fraction of a second, and needs no framework.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from tests.converters import builders

TRAINED = 900
"""Digits that readouts are trained on; the others are for checks."""


def digits() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Check pictures [897, 1, 8, 8], and their labels."""
    X, y = _shuffled()
    return X[TRAINED:], y[TRAINED:]


def _shuffled() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    X, y = builders.digits()
    order = np.random.default_rng(0).permutation(len(X))  # as they come, other people wrote others
    return (X / 16).astype(np.float32).reshape(-1, 1, 8, 8)[order], y[order]


def tensor(name: str, *shape: int, seed: int = 0, scale: float | None = None) -> Any:
    random = np.random.default_rng([seed, *name.encode()])
    size = scale or 1 / np.sqrt(np.prod(shape[1:]))
    return numpy_helper.from_array((random.normal(size=shape) * size).astype(np.float32), name)


def ints(name: str, *values: int) -> Any:
    return numpy_helper.from_array(np.array(values, np.int64), name)


def network(nodes: list[Any], constants: list[Any], opset: int = 18) -> Any:
    """A classifier around nodes that make ``features`` [N, width] of ``x`` [N, 1, 8, 8]."""
    X, y = _shuffled()
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 1, 8, 8])]
    features = _model(nodes, inputs, [("features", TensorProto.FLOAT, [None, None])],
                      constants, opset)  # fmt: skip
    session = onnxruntime.InferenceSession(features.SerializeToString())
    made = session.run(None, {"x": X[:TRAINED]})[0].astype(np.float64)
    with_one = np.hstack([made, np.ones((len(made), 1))])
    targets = np.eye(10)[y[:TRAINED]] * 8 - 4
    ridge = with_one.T @ with_one + 0.3 * np.eye(with_one.shape[1])
    solved = np.linalg.solve(ridge, with_one.T @ targets).astype(np.float32)
    ends = [
        helper.make_node("Gemm", ["features", "readout", "offset"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1),
        helper.make_node("ArgMax", ["scores"], ["label"], axis=1, keepdims=0),
    ]
    readout = [
        numpy_helper.from_array(np.ascontiguousarray(solved[:-1]), "readout"),
        numpy_helper.from_array(solved[-1], "offset"),
    ]
    outputs = [
        ("label", TensorProto.INT64, [None]),
        ("probabilities", TensorProto.FLOAT, [None, 10]),
    ]
    return _model([*nodes, *ends], inputs, outputs, [*constants, *readout], opset)


def _model(nodes: Any, inputs: Any, outputs: Any, constants: Any, opset: int) -> Any:
    values = [helper.make_tensor_value_info(*output) for output in outputs]
    graph = helper.make_graph(nodes, "g", inputs, values, constants)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.checker.check_model(made, full_check=True)
    return made


@functools.cache
def recurrent(kind: str, hidden: int = 96) -> Any:
    """LSTM, GRU or RNN over the rows of the picture."""
    gates = {"LSTM": 4, "GRU": 3, "RNN": 1}[kind]
    nodes = [
        helper.make_node("Squeeze", ["x", "one"], ["rows"]),
        helper.make_node("Transpose", ["rows"], ["steps"], perm=[1, 0, 2]),
        helper.make_node(kind, ["steps", "W", "R", "B"], ["", "last"], hidden_size=hidden),
        helper.make_node("Squeeze", ["last", "zero"], ["features"]),
    ]
    constants = [
        ints("one", 1),
        ints("zero", 0),
        tensor("W", 1, gates * hidden, 8, scale=0.7),
        tensor("R", 1, gates * hidden, hidden, scale=0.6 / np.sqrt(hidden)),
        tensor("B", 1, 2 * gates * hidden, scale=0.1),
    ]
    return network(nodes, constants, opset=14)


@functools.cache
def convolutional(*, depthwise: bool = False, opset: int = 17) -> Any:
    """Three convolutions with what exporters put around them, and a readout."""
    middle = "Conv"
    shape = (48, 1, 3, 3) if depthwise else (48, 48, 3, 3)
    group = 48 if depthwise else 1
    nodes = [
        helper.make_node("Conv", ["x", "first", "a"], ["c1"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node(middle, ["r1", "second", "b"], ["c2"], pads=[1, 1, 1, 1], group=group),
        helper.make_node("Relu", ["c2"], ["r2"]),
        helper.make_node("Conv", ["r2", "third", "b"], ["c3"]),
        helper.make_node("Relu", ["c3"], ["r3"]),
        helper.make_node("MaxPool", ["r3"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Flatten", ["p"], ["features"]),
    ]
    constants = [
        tensor("first", 48, 1, 3, 3, scale=0.5),
        tensor("second", *shape),
        tensor("third", 48, 48, 1, 1, scale=0.2),
        tensor("a", 48, scale=0.1),
        tensor("b", 48, scale=0.1),
    ]
    return network(nodes, constants, opset)


def with_constant_nodes(proto: Any) -> Any:
    """The same network with its weights in ``Constant`` nodes, as Paddle's exporter writes it."""
    copy = _copy(proto)
    nodes = [helper.make_node("Constant", [], [t.name], value=t) for t in copy.graph.initializer]
    nodes += list(copy.graph.node)
    del copy.graph.initializer[:]
    del copy.graph.node[:]
    copy.graph.node.extend(nodes)
    onnx.checker.check_model(copy, full_check=True)
    return copy


def in_branches(proto: Any) -> Any:
    """The same network as a body of ``If``, with a quicker way for pictures that are empty."""
    whole = with_constant_nodes(proto).graph
    outputs = [helper.make_tensor_value_info(v.name, v.type.tensor_type.elem_type,
                                             [None] * len(v.type.tensor_type.shape.dim))
               for v in whole.output]  # fmt: skip
    then = helper.make_graph(list(whole.node), "then", [], outputs)
    other = helper.make_graph([_renamed(node) for node in whole.node], "else", [], [
        helper.make_tensor_value_info(f"{v.name}_2", v.type.tensor_type.elem_type,
                                      [None] * len(v.type.tensor_type.shape.dim))
        for v in whole.output])  # fmt: skip
    nodes = [
        helper.make_node("ReduceMax", ["x"], ["largest"], keepdims=0),
        helper.make_node("Greater", ["largest", "limit"], ["seen"]),
        helper.make_node("If", ["seen"], [v.name for v in whole.output],
                         then_branch=then, else_branch=other),
    ]  # fmt: skip
    constants = [numpy_helper.from_array(np.float32(-1), "limit")]
    graph = helper.make_graph(nodes, "g", list(whole.input), list(whole.output), constants)
    made = helper.make_model(graph, opset_imports=proto.opset_import, ir_version=8)
    onnx.checker.check_model(made, full_check=True)
    return made


def _renamed(node: Any) -> Any:
    """A copy whose results have names of their own; constants keep the first branch's names."""
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    if node.op_type == "Constant":
        return copy
    produced = {"label": "label_2", "probabilities": "probabilities_2"}
    copy.output[:] = [produced.get(name, name) for name in copy.output]
    return copy


def _copy(proto: Any) -> Any:
    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    return copy


def saved(proto: Any, folder: Any) -> Any:
    path = folder / "network.onnx"
    onnx.save(proto, path)
    return path


@functools.cache
def attention() -> Any:
    """One layer of a transformer over the rows of the picture, as PyTorch's exporter writes it."""
    width = 32
    nodes = [
        helper.make_node("Squeeze", ["x", "one"], ["rows"]),
        helper.make_node("MatMul", ["rows", "embed"], ["tokens"]),
        *[helper.make_node("MatMul", ["tokens", w], [w.lower()]) for w in ("Q", "K", "V")],
        helper.make_node("Transpose", ["k"], ["k_turned"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["q", "k_turned"], ["near"]),
        helper.make_node("Softmax", ["near"], ["attended"], axis=-1),
        helper.make_node("MatMul", ["attended", "v"], ["mixed"]),
        helper.make_node("Add", ["mixed", "tokens"], ["both"]),
        helper.make_node("LayerNormalization", ["both", "gain", "shift"], ["normal"]),
        helper.make_node("MatMul", ["normal", "wide"], ["wider"]),
        helper.make_node("Relu", ["wider"], ["kept"]),
        helper.make_node("Flatten", ["kept"], ["features"]),
    ]
    constants = [
        ints("one", 1),
        tensor("embed", 8, width, scale=0.5),
        *[tensor(name, width, width, scale=0.15) for name in ("Q", "K", "V")],
        tensor("wide", width, 2 * width, scale=0.3),
        numpy_helper.from_array(np.ones(width, np.float32), "gain"),
        numpy_helper.from_array(np.zeros(width, np.float32), "shift"),
    ]
    return network(nodes, constants)


def stepwise(width: int = 8, hidden: int = 96) -> Any:
    """A GRU that takes one step [1, width] and its state, and gives values [1, 3]."""
    value = helper.make_tensor_value_info
    nodes = [
        helper.make_node("Unsqueeze", ["x", "zero"], ["step"]),
        helper.make_node("Unsqueeze", ["h", "zero"], ["before"]),
        helper.make_node("GRU", ["step", "W", "R", "B", "", "before"], ["", "after"],
                         hidden_size=hidden),
        helper.make_node("Squeeze", ["after", "zero"], ["h_out"]),
        helper.make_node("MatMul", ["h_out", "read"], ["y"]),
    ]  # fmt: skip
    constants = [
        ints("zero", 0),
        tensor("W", 1, 3 * hidden, width, scale=0.7),
        tensor("R", 1, 3 * hidden, hidden, scale=0.6 / np.sqrt(hidden)),
        tensor("B", 1, 6 * hidden, scale=0.1),
        tensor("read", hidden, 3, scale=0.3),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [value("x", TensorProto.FLOAT, [1, width]), value("h", TensorProto.FLOAT, [1, hidden])],
        [value("y", TensorProto.FLOAT, [1, 3]), value("h_out", TensorProto.FLOAT, [1, hidden])],
        constants,
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    onnx.checker.check_model(made, full_check=True)
    return made
