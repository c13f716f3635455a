"""The weight matrices of a model that are worth keeping in fewer bits."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

MINIMUM_WEIGHTS: Final = 512
"""Smaller matrices are left alone: the scales and nodes would cost more than they save."""


def matrices(proto: Any) -> list[Any]:
    """Two-dimensional float32 weights on the right of a matrix product."""
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
    """Float32 weights of products and convolutions, and the axis of their outputs.

    Only the main graph is looked at: what a loop or a branch captures is left alone.
    """
    found: dict[str, int] = {}
    for node in proto.graph.node:
        if node.op_type in _OUTPUT_AXIS and len(node.input) > 1:
            turned = any(a.name == "transB" and a.i for a in node.attribute)
            found[node.input[1]] = 0 if turned else _OUTPUT_AXIS[node.op_type]
    return {
        tensor.name: found[tensor.name]
        for tensor in proto.graph.initializer
        if tensor.name in found and tensor.data_type == 1 and len(tensor.dims) >= 2
        if int(np.prod(tensor.dims)) >= MINIMUM_WEIGHTS
    }


_OUTPUT_AXIS: Final = {"MatMul": -1, "Gemm": -1, "Conv": 0, "ConvTranspose": 1}


def copy_of(proto: Any) -> Any:
    """A copy that may be changed."""
    from onnx import ModelProto

    copy = ModelProto()
    copy.CopyFrom(proto)
    return copy


def with_nodes(proto: Any, nodes: list[Any]) -> Any:
    """``proto`` itself, with these nodes instead of its own."""
    kept = list(nodes)
    del proto.graph.node[:]
    proto.graph.node.extend(kept)
    return proto
