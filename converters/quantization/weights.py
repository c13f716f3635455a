"""The weights of a model that are worth keeping in fewer bits."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from converters.onnx_export.constants import all_nodes

MINIMUM_WEIGHTS: Final = 512
"""Smaller tensors are left alone: the scales and nodes would cost more than they save."""


def matrices(proto: Any) -> list[Any]:
    """Return the two-dimensional float32 weights on the right of a matrix product."""
    used = {
        node.input[1]
        for node in proto.graph.node
        if node.op_type in ("MatMul", "Gemm") and len(node.input) > 1
        if not any(a.name in ("transA", "transB") and a.i for a in node.attribute)
    }
    return [
        tensor
        for tensor in proto.graph.initializer
        if tensor.name in used and tensor.data_type == 1 and len(tensor.dims) == 2
        if int(np.prod(tensor.dims)) >= MINIMUM_WEIGHTS
    ]


Axes = tuple[int, ...]
"""Axes of a weight along which scales differ; along all others they are shared."""


def weights(proto: Any) -> dict[str, Axes]:
    """Return the axes of the scales of each float32 weight, by name.

    Weights of products, convolutions, recurrences and tables that are looked up in, also where
    the body of a branch or a loop uses them. Constants must be initializers of the main graph:
    see :func:`converters.onnx_export.constants.collect_constants`.
    """
    axes: dict[str, Axes] = {}
    for node in all_nodes(proto.graph):
        for place, chosen in _axes_of(node).items():
            if place < len(node.input):
                axes.setdefault(node.input[place], chosen)
    return {
        tensor.name: tuple(axis % len(tensor.dims) for axis in axes[tensor.name])
        for tensor in proto.graph.initializer
        if tensor.name in axes and tensor.data_type == 1 and len(tensor.dims) >= 2
        if int(np.prod(tensor.dims)) >= MINIMUM_WEIGHTS
    }


def _axes_of(node: Any) -> dict[int, Axes]:
    """Return the axes of the scales of the weights of one node, by the place of the input.

    One scale for each output of the node, since outputs may differ much in size.
    """
    attributes = {a.name: a.i for a in node.attribute}
    kind = node.op_type
    if kind == "Gemm":
        return {1: (0,) if attributes.get("transB") else (1,)}
    if kind == "ConvTranspose" and attributes.get("group", 1) > 1:
        return {1: (0, 1)}  # axis 1 counts the outputs of one group only
    return _AXES.get(kind, {})


_RECURRENT: Final[dict[int, Axes]] = {1: (0, 1), 2: (0, 1)}
"""W and R are [directions, gates * hidden, width]."""

_AXES: Final[dict[str, dict[int, Axes]]] = {
    "MatMul": {1: (-1,), 0: (-2,)},
    "Conv": {1: (0,)},
    "ConvTranspose": {1: (1,)},
    "Gather": {0: (0,)},
    "LSTM": _RECURRENT,
    "GRU": _RECURRENT,
    "RNN": _RECURRENT,
}


def with_nodes(proto: Any, nodes: list[Any]) -> Any:
    """Replace the nodes of ``proto``, and return it."""
    replacement = list(nodes)  # they may belong to the graph that is emptied on the next line
    del proto.graph.node[:]
    proto.graph.node.extend(replacement)
    return proto
