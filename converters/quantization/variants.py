"""Smaller files of the same model. Whether they pay is measured, not assumed.

Storage variants (:mod:`converters.quantization.weight_storage`) keep weights in fewer bits and
compute in float32: small on disk, float speed. ``int8-dynamic`` and ``int8-static-*`` compute in
int8: often slower on single rows. ``mixed`` gives each matrix as few bits as the answers allow.
``compact-trees`` is exact.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from converters.quantization.mixed_precision import Badness, mixed
from converters.quantization.static_int8 import METHODS, int8_static
from converters.quantization.weight_storage import (
    float16_storage,
    int4_storage,
    int8_storage,
    quantize,
)
from converters.quantization.weights import copy_of, matrices, with_nodes
from converters.trees.compact import coarse, compact
from edge_sdk.model.release import Feed

LARGEST_INT7: Final = 63
"""Products of uint8 and int8 are added in pairs in 16 bits on CPUs without VNNI: seven bits of
weight are what cannot overflow there, so answers are the same on every device."""


def int8_dynamic(proto: Any) -> Any | None:
    """Return a copy that computes matrix products in int8; ``None`` if it has none."""
    copy = copy_of(proto)
    chosen = {tensor.name: tensor for tensor in matrices(copy) if _only_in_matmul(copy, tensor)}
    if not chosen:
        return None
    for tensor in list(chosen.values()):
        _replace(copy, tensor, LARGEST_INT7)
    nodes = []
    for node in copy.graph.node:
        weights = node.input[1] if len(node.input) > 1 else ""
        nodes += _product(node, weights) if weights in chosen else [node]
    return with_nodes(copy, nodes)


def _product(node: Any, weights: str) -> list[Any]:
    """Return nodes that compute ``node``, a product with ``weights``, in int8."""
    from onnx import helper

    rows, result = node.input[0], node.output[0]
    if node.op_type == "Gemm" and len(node.input) > 2:
        result = f"{result}_product"
        add = [helper.make_node("Add", [result, node.input[2]], [node.output[0]])]
    else:
        add = []
    steps = {x: f"{result}_{x}" for x in ("q", "scale", "zero", "sum", "float", "both")}
    quantized, zero = steps["q"], steps["zero"]
    # onnxruntime fuses exactly this sequence into one kernel, DynamicQuantizeMatMul.
    return [
        helper.make_node("DynamicQuantizeLinear", [rows], [quantized, steps["scale"], zero]),
        helper.make_node("MatMulInteger", [quantized, f"{weights}_int8", zero], [steps["sum"]]),
        helper.make_node("Cast", [steps["sum"]], [steps["float"]], to=1),
        helper.make_node("Mul", [steps["scale"], f"{weights}_scale"], [steps["both"]]),
        helper.make_node("Mul", [steps["float"], steps["both"]], [result]),
        *add,
    ]


def _replace(proto: Any, tensor: Any, largest: int) -> None:
    """Replace a weight matrix by its int8 form and scales."""
    from onnx import numpy_helper

    name = tensor.name
    quantized, scale = quantize(numpy_helper.to_array(tensor), largest)
    tensor.CopyFrom(numpy_helper.from_array(quantized, f"{name}_int8"))
    proto.graph.initializer.append(numpy_helper.from_array(scale, f"{name}_scale"))


def _only_in_matmul(proto: Any, tensor: Any) -> bool:
    """Return whether the matrix is the right side of plain products and nothing else."""
    users = [node for node in proto.graph.node if tensor.name in node.input]
    return all(_is_plain(node) and list(node.input).index(tensor.name) == 1 for node in users)


def _is_plain(node: Any) -> bool:
    scaled = any(a.name in ("alpha", "beta") and a.f != 1.0 for a in node.attribute)
    return node.op_type == "MatMul" or (node.op_type == "Gemm" and not scaled)


@dataclass(frozen=True)
class Guide:
    """Data that the making of a variant may use.

    Attributes:
        feeds: some rows, one feed a row.
        badness: measure of how far out of tolerance a model is on the check rows.
    """

    feeds: list[Feed]
    badness: Badness


EXACT: Final = ("float32", "compact-trees")
"""Variants that must answer as the original does, up to rounding."""

Maker = Callable[[Any, Guide], Any | None]


def _static(name: str) -> Maker:
    return lambda proto, guide: int8_static(proto, guide.feeds, name)


VARIANTS: Final[Mapping[str, Maker]] = {
    "float32": lambda proto, guide: proto,
    "float16-storage": lambda proto, guide: float16_storage(proto),
    "int8-storage": lambda proto, guide: int8_storage(proto),
    "int4-storage": lambda proto, guide: int4_storage(proto),
    "mixed": lambda proto, guide: mixed(proto, guide.badness),
    "int8-dynamic": lambda proto, guide: int8_dynamic(proto),
    **{name: _static(name) for name in METHODS},
    "compact-trees": lambda proto, guide: compact(proto),
    "rounded-trees": lambda proto, guide: coarse(proto),
}
"""Maker of each variant; it returns ``None`` if the model has nothing that could be smaller."""

DEFAULT: Final = ("float32", "float16-storage", "int8-storage", "int8-dynamic", "compact-trees")
"""Variants that are tried by default; the others cost accuracy or time more often than they pay."""
