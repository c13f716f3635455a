"""What is put behind a file's outputs, so that its release answers as every classifier does.

Logits get a softmax, logits of several labels a sigmoid, one column becomes two, and the label is
taken from the probabilities.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from converters.sources.onnx_outputs import OutputReading
from edge_sdk.contract.manifest import Label

_FLOAT, _FLOAT16 = 1, 10


def with_scores(proto: Any, reading: OutputReading, shape: tuple[int, ...]) -> str:
    """Turn the output that answers into scores [rows, columns]; return its name then.

    Args:
        proto: ModelProto, changed in place.
        reading: meaning of the outputs.
        shape: of the answers of that output, axis 0 the rows.
    """
    from onnx import helper

    assert reading.name is not None
    source, nodes = reading.name, []

    def add(kind: str, *others: str, **attributes: Any) -> None:
        nonlocal source
        made = unused(proto, "probabilities" if reading.is_class else "scores", nodes)
        nodes.append(helper.make_node(kind, [source, *others], [made], **attributes))
        source = made

    if len(shape) != 2:
        if len(shape) == 1:
            add("Reshape", _constant(proto, nodes, np.array([-1, 1], np.int64)))
        else:
            add("Flatten", axis=1)
    if _kind_of(proto, reading.name) == _FLOAT16:
        add("Cast", to=_FLOAT)
    if reading.kind == "multilabel-logits" or (reading.kind == "logits" and reading.width == 1):
        add("Sigmoid")
    elif reading.kind == "logits":
        add("Softmax", axis=1)
    if reading.is_class and reading.width == 1:
        second, one = source, _constant(proto, nodes, np.ones(1, _dtype(proto, reading.name)))
        first = unused(proto, "first", nodes)
        nodes.append(helper.make_node("Sub", [one, second], [first]))
        source = unused(proto, "probabilities", nodes)
        nodes.append(helper.make_node("Concat", [first, second], [source], axis=1))
    if nodes:
        proto.graph.node.extend(nodes)
        width = 2 if reading.is_class and reading.width == 1 else reading.width
        element = _FLOAT if _kind_of(proto, reading.name) == _FLOAT16 else None
        _replace_output(proto, reading.name, source, width, element)
    return source


def with_label(proto: Any, probabilities: str, classes: tuple[Label, ...]) -> str:
    """Add the class of the largest probability as an output [rows]; return its name."""
    from onnx import TensorProto, helper

    name = unused(proto, "label", [])
    is_text = any(isinstance(label, str) for label in classes)
    if classes == tuple(range(len(classes))):
        node = helper.make_node("ArgMax", [probabilities], [name], axis=1, keepdims=0)
        proto.graph.node.append(node)
    else:
        values = np.array(classes, object if is_text else np.int64)
        nodes = [helper.make_node("ArgMax", [probabilities], [f"{name}_place"], axis=1, keepdims=0)]
        labels = _constant(proto, nodes, values)
        nodes.append(helper.make_node("Gather", [labels, f"{name}_place"], [name], axis=0))
        proto.graph.node.extend(nodes)
    kind = TensorProto.STRING if is_text else TensorProto.INT64
    proto.graph.output.append(helper.make_tensor_value_info(name, kind, [None]))
    return name


def unused(proto: Any, word: str, nodes: list[Any]) -> str:
    """Return ``word``, or with a number behind it, as a name that no tensor has."""
    graph = proto.graph
    taken = {name for node in (*graph.node, *nodes) for name in (*node.input, *node.output)}
    taken |= {value.name for value in (*graph.input, *graph.output, *graph.initializer)}
    names = (word if i == 0 else f"{word}_{i}" for i in range(len(taken) + 1))
    return next(name for name in names if name not in taken)


def _constant(proto: Any, nodes: list[Any], values: Any) -> str:
    from onnx import numpy_helper

    name = unused(proto, "constant", nodes)
    proto.graph.initializer.append(numpy_helper.from_array(values, name))
    return name


def _output(proto: Any, name: str) -> Any:
    return next(value for value in proto.graph.output if value.name == name)


def _kind_of(proto: Any, name: str) -> int:
    return int(_output(proto, name).type.tensor_type.elem_type)


def _dtype(proto: Any, name: str) -> str:
    return "float64" if _kind_of(proto, name) == 11 else "float32"


def _replace_output(proto: Any, old: str, new: str, width: int, element: int | None) -> None:
    """Put the output ``new`` [rows, width] in the place of ``old``."""
    value = _output(proto, old)
    tensor = value.type.tensor_type
    value.name = new
    tensor.elem_type = element or tensor.elem_type
    rows = tensor.shape.dim[0] if len(tensor.shape.dim) else None
    fixed = rows.dim_value if rows is not None and rows.HasField("dim_value") else 0
    del tensor.shape.dim[:]
    first = tensor.shape.dim.add()
    if fixed:
        first.dim_value = fixed
    tensor.shape.dim.add().dim_value = width
