"""Other files of the same model: smaller weights, in the hope that they pay. Measured, not assumed.

``int8-storage`` keeps weights as int8 with one scale per output column and a Cast and a Mul, which
onnxruntime folds into float32 weights at loading: small on disk, float speed. ``int8-dynamic``
computes in int8: often slower on single rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from converters.trees.compact import compact

MINIMUM_WEIGHTS: Final = 1_024
"""Smaller matrices are left alone: the scales and nodes would cost more than they save."""

LARGEST_INT8: Final = 127
LARGEST_INT7: Final = 63
"""Products of uint8 and int8 are added in pairs in 16 bits on CPUs without VNNI: seven bits of
weight are what cannot overflow there, so answers are the same on every device."""


def int8_storage(proto: Any) -> Any | None:
    """A copy with int8 weights, or ``None`` if there is no matrix worth it."""
    from onnx import helper

    copy = _copy(proto)
    nodes = []
    for tensor in _matrices(copy):
        name = tensor.name
        _replace(copy, tensor, LARGEST_INT8)
        cast = helper.make_node("Cast", [f"{name}_int8"], [f"{name}_cast"], to=1)
        nodes += [cast, helper.make_node("Mul", [f"{name}_cast", f"{name}_scale"], [name])]
    return _with_nodes(copy, [*nodes, *copy.graph.node]) if nodes else None


def int8_dynamic(proto: Any) -> Any | None:
    """A copy that computes matrix products in int8, or ``None`` if there is nothing to quantize."""
    copy = _copy(proto)
    chosen = {tensor.name: tensor for tensor in _matrices(copy) if _only_in_matmul(copy, tensor)}
    if not chosen:
        return None
    for tensor in list(chosen.values()):
        _replace(copy, tensor, LARGEST_INT7)
    nodes = []
    for node in copy.graph.node:
        weights = node.input[1] if len(node.input) > 1 else ""
        nodes += _product(node, weights) if weights in chosen else [node]
    return _with_nodes(copy, nodes)


def _product(node: Any, weights: str) -> list[Any]:
    """``node``, a MatMul with ``weights``, in int8; onnxruntime fuses these six into one."""
    from onnx import helper

    rows, result = node.input[0], node.output[0]
    steps = {x: f"{result}_{x}" for x in ("q", "scale", "zero", "sum", "float", "both")}
    quantized, zero = steps["q"], steps["zero"]
    return [
        helper.make_node("DynamicQuantizeLinear", [rows], [quantized, steps["scale"], zero]),
        helper.make_node("MatMulInteger", [quantized, f"{weights}_int8", zero], [steps["sum"]]),
        helper.make_node("Cast", [steps["sum"]], [steps["float"]], to=1),
        helper.make_node("Mul", [steps["scale"], f"{weights}_scale"], [steps["both"]]),
        helper.make_node("Mul", [steps["float"], steps["both"]], [result]),
    ]


def _replace(proto: Any, tensor: Any, largest: int) -> None:
    """Put the int8 form of a weight matrix, and its scales, in its place."""
    from onnx import numpy_helper

    name = tensor.name
    quantized, scale = quantize(numpy_helper.to_array(tensor), largest)
    tensor.CopyFrom(numpy_helper.from_array(quantized, f"{name}_int8"))
    proto.graph.initializer.append(numpy_helper.from_array(scale, f"{name}_scale"))


def quantize(
    weights: NDArray[np.float32], largest: int
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Integers in ``-largest..largest`` and one scale per column; their product is ``weights``."""
    tiny = np.finfo(np.float32).tiny
    scale = (np.maximum(np.abs(weights).max(axis=0), tiny * largest) / largest).astype(np.float32)
    quantized = np.clip(np.round(weights / scale), -largest, largest).astype(np.int8)
    return quantized, scale


def _copy(proto: Any) -> Any:
    from onnx import ModelProto

    copy = ModelProto()
    copy.CopyFrom(proto)
    return copy


def _with_nodes(proto: Any, nodes: list[Any]) -> Any:
    kept = list(nodes)
    del proto.graph.node[:]
    proto.graph.node.extend(kept)
    return proto


def _only_in_matmul(proto: Any, tensor: Any) -> bool:
    """Whether the matrix is the right side of MatMul nodes and nothing else."""
    users = [node for node in proto.graph.node if tensor.name in node.input]
    return all(
        node.op_type == "MatMul" and list(node.input).index(tensor.name) == 1 for node in users
    )


def _matrices(proto: Any) -> list[Any]:
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


EXACT: Final = ("float32", "compact-trees")
"""Variants that must answer as the original does, up to rounding."""

VARIANTS: Final[Mapping[str, Callable[[Any], Any | None]]] = {
    "float32": lambda proto: proto,
    "int8-storage": int8_storage,
    "int8-dynamic": int8_dynamic,
    "compact-trees": compact,
}
"""How each variant is made; ``None`` says that the model has nothing that it could make smaller."""
