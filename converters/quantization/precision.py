"""The number type in which a model file computes, as devices and people are told it."""

from __future__ import annotations

from typing import Any, Final

from converters.onnx_export.constants import inner_graphs

INT8_OPERATORS: Final = frozenset(
    {
        "ConvInteger", "DynamicQuantizeLinear", "DynamicQuantizeLSTM", "DynamicQuantizeMatMul",
        "MatMulInteger", "MatMulIntegerToFloat", "QLinearConv", "QLinearMatMul", "QuantizeLinear",
    }
)  # fmt: skip
"""Operators of graphs that compute in int8. ``DequantizeLinear`` alone only stores in it."""

CONVERTING: Final = frozenset({"Cast", "CastLike", "DequantizeLinear"})
"""Operators that read a stored type and compute in another."""

HALF_TYPES: Final = {10: "float16", 16: "bfloat16", 11: "float64"}
"""Types other than float32 in which kernels compute, by their number in ``TensorProto``."""


def precision_of(proto: Any) -> str:
    """Return the number type in which a ModelProto computes.

    Weights that are stored in fewer bits and converted before they are used do not count: such a
    file is smaller, and computes in float32.

    Returns:
        ``int8``, ``float16``, ``bfloat16``, ``float64`` or ``float32``.
    """
    graphs = [proto.graph, *inner_graphs(proto.graph)]
    if any(node.op_type in INT8_OPERATORS for graph in graphs for node in graph.node):
        return "int8"
    for graph in graphs:
        for wanted, name in HALF_TYPES.items():
            if _computes_in(graph, wanted):
                return name
    return "float32"


def _computes_in(graph: Any, wanted: int) -> bool:
    """Return whether a weight of type ``wanted`` goes into a node that does not convert it."""
    weights = {tensor.name for tensor in graph.initializer if tensor.data_type == wanted}
    for node in graph.node:
        if node.op_type == "Constant":
            values = [a.t.data_type for a in node.attribute if a.name == "value"]
            weights |= set(node.output) if values == [wanted] else set()
    return any(
        name in weights
        for node in graph.node
        if node.op_type not in CONVERTING
        for name in node.input
    )
