"""The weight matrices of a model that are worth keeping in fewer bits."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

MINIMUM_WEIGHTS: Final = 512
"""Smaller matrices are left alone: the scales and nodes would cost more than they save."""


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


def weights(proto: Any) -> dict[str, int]:
    """Return the axis of the outputs by name of each float32 weight of a product or convolution.

    Only the main graph is looked at: weights that a loop or a branch captures are left alone.
    """
    axes: dict[str, int] = {}
    for node in proto.graph.node:
        if node.op_type in _OUTPUT_AXIS and len(node.input) > 1:
            turned = any(a.name == "transB" and a.i for a in node.attribute)
            axes[node.input[1]] = 0 if turned else _OUTPUT_AXIS[node.op_type]
    return {
        tensor.name: axes[tensor.name]
        for tensor in proto.graph.initializer
        if tensor.name in axes and tensor.data_type == 1 and len(tensor.dims) >= 2
        if int(np.prod(tensor.dims)) >= MINIMUM_WEIGHTS
    }


_OUTPUT_AXIS: Final = {"MatMul": -1, "Gemm": -1, "Conv": 0, "ConvTranspose": 1}


def copy_of(proto: Any) -> Any:
    """Return a copy that may be changed."""
    from onnx import ModelProto

    copy = ModelProto()
    copy.CopyFrom(proto)
    return copy


def with_nodes(proto: Any, nodes: list[Any]) -> Any:
    """Replace the nodes of ``proto``, and return it."""
    replacement = list(nodes)  # they may belong to the graph that is emptied on the next line
    del proto.graph.node[:]
    proto.graph.node.extend(replacement)
    return proto
