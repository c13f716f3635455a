"""What is put behind a file's outputs, so that its release answers as every classifier does.

Logits get a softmax, logits of several labels a sigmoid, one column becomes two, and the label is
taken from the probabilities.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from converters.sources.onnx_file import nodes_of
from converters.sources.onnx_outputs import OutputReading
from edge_sdk.contract.manifest import Label

_FLOAT, _FLOAT16, _DOUBLE = 1, 10, 11
"""Values of ``TensorProto.DataType``."""


def with_scores(proto: Any, reading: OutputReading, shape: tuple[int, ...]) -> str:
    """Turn the output that answers into scores [rows, columns]; return its name then.

    Args:
        proto: ModelProto, changed in place.
        reading: meaning of the outputs.
        shape: of the answers of that output, axis 0 the rows.
    """
    from onnx import helper

    assert reading.name is not None
    is_half = _element_of(proto, reading.name) == _FLOAT16
    last, nodes = reading.name, list[Any]()
    for kind, attributes in _steps(reading, len(shape), is_half):
        # By the number of columns, not Flatten: an answer with more, as to a larger picture, then
        # has too many rows, and is refused.
        sizes = np.array([-1, reading.width], np.int64)
        others = [_constant(proto, sizes)] if kind == "Reshape" else []
        made = _unused(proto, kind.lower(), nodes)
        nodes.append(helper.make_node(kind, [last, *others], [made], **attributes))
        last = made
    if reading.is_class and reading.width == 1:
        one = _constant(proto, np.ones(1, _dtype(proto, reading.name)))
        first, both = _unused(proto, "first", nodes), _unused(proto, "both", nodes)
        nodes.append(helper.make_node("Sub", [one, last], [first]))
        nodes.append(helper.make_node("Concat", [first, last], [both], axis=1))
    if not nodes:
        return reading.name
    final = _unused(proto, "probabilities" if reading.is_class else "scores", nodes)
    nodes[-1].output[0] = final
    proto.graph.node.extend(nodes)
    _replace_output(proto, reading, final, _FLOAT if is_half else None)
    return final


def _steps(reading: OutputReading, axes: int, is_half: bool) -> list[tuple[str, dict[str, Any]]]:
    """Return operators, each with its attributes, from the output to one row of scores a row."""
    steps: list[tuple[str, dict[str, Any]]] = []
    if axes != 2:
        steps.append(("Reshape", {}))
    if is_half:
        steps.append(("Cast", {"to": _FLOAT}))
    if reading.kind == "multilabel-logits" or (reading.kind == "logits" and reading.width == 1):
        steps.append(("Sigmoid", {}))
    elif reading.kind == "logits":
        # Axis 1 of a table means the same in every operator set.
        steps.append(("Softmax", {"axis": 1}))
    return steps


def with_label(proto: Any, probabilities: str, classes: tuple[Label, ...]) -> str:
    """Add the class of the largest probability as an output [rows]; return its name."""
    from onnx import TensorProto, helper

    name = _unused(proto, "label", [])
    is_text = any(isinstance(label, str) for label in classes)
    if classes == tuple(range(len(classes))):
        node = helper.make_node("ArgMax", [probabilities], [name], axis=1, keepdims=0)
        proto.graph.node.append(node)
    else:
        values = np.array(classes, object if is_text else np.int64)
        place = _unused(proto, "place", [])
        nodes = [helper.make_node("ArgMax", [probabilities], [place], axis=1, keepdims=0)]
        labels = _constant(proto, values)
        nodes.append(helper.make_node("Gather", [labels, place], [name], axis=0))
        proto.graph.node.extend(nodes)
    kind = TensorProto.STRING if is_text else TensorProto.INT64
    proto.graph.output.append(helper.make_tensor_value_info(name, kind, [None]))
    return name


def flat_label(proto: Any, label: str, axes: int) -> str:
    """Give a label output [rows, 1] the shape [rows]; return its name then."""
    from onnx import helper

    if axes == 1:
        return label
    value, name = _output(proto, label), _unused(proto, "label", [])
    all_rows = _constant(proto, np.array([-1], np.int64))
    proto.graph.node.append(helper.make_node("Reshape", [label, all_rows], [name]))
    value.name = name
    del value.type.tensor_type.shape.dim[1:]
    return name


def _unused(proto: Any, word: str, nodes: list[Any]) -> str:
    """Return ``word``, or with a number behind it, as a name that no tensor has."""
    graph = proto.graph
    taken = {name for node in (*nodes_of(proto), *nodes) for name in (*node.input, *node.output)}
    taken |= {value.name for value in (*graph.input, *graph.output, *graph.initializer)}
    names = (word if i == 0 else f"{word}_{i}" for i in itertools.count())
    return next(name for name in names if name not in taken)


def _constant(proto: Any, values: Any) -> str:
    from onnx import numpy_helper

    name = _unused(proto, "constant", [])
    proto.graph.initializer.append(numpy_helper.from_array(values, name))
    return name


def _output(proto: Any, name: str) -> Any:
    return next(value for value in proto.graph.output if value.name == name)


def _element_of(proto: Any, name: str) -> int:
    return int(_output(proto, name).type.tensor_type.elem_type)


def _dtype(proto: Any, name: str) -> str:
    return "float64" if _element_of(proto, name) == _DOUBLE else "float32"


def _replace_output(proto: Any, reading: OutputReading, name: str, element: int | None) -> None:
    """Put the output ``name`` [rows, columns] in the place of the one that answered."""
    value = _output(proto, reading.name or "")
    tensor = value.type.tensor_type
    value.name = name
    tensor.elem_type = element or tensor.elem_type
    rows = tensor.shape.dim[0].dim_value if len(tensor.shape.dim) else 0
    del tensor.shape.dim[:]
    first, columns = tensor.shape.dim.add(), tensor.shape.dim.add()
    if rows > 0:
        first.dim_value = rows
    columns.dim_value = reading.classes
