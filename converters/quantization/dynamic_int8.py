"""Dynamic int8: products and LSTMs compute in int8, with ranges of activations found in each call.

Products of uint8 and int8 are added in pairs in 16 bits on CPUs without VNNI: weights keep seven
bits, which cannot overflow there, so answers are the same on every device.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from converters.onnx_export.cleanup import tidy
from converters.onnx_export.constants import all_nodes
from converters.onnx_export.copies import add_constants, copy_of
from converters.onnx_export.external_weights import values_of
from converters.quantization.weight_storage import FLOAT, int8_storage, quantize, quantize_to_half
from converters.quantization.weights import MINIMUM_WEIGHTS, with_nodes

LARGEST_INT7: Final = 63

MICROSOFT: Final = "com.microsoft"
_W, _R = 1, 2


def int8_dynamic(proto: Any) -> Any | None:
    """Return a copy that computes matrix products and LSTMs in int8; ``None`` if it has none.

    Other weights, such as those of convolutions, are stored in int8.
    """
    chosen = [tensor for tensor in proto.graph.initializer if _is_matrix_of_products(proto, tensor)]
    # Without what is replaced: what a message drops later stays in its memory.
    copy = copy_of(proto, without={tensor.name for tensor in chosen})
    cells = [node for node in copy.graph.node if _is_plain_lstm(copy, node)]
    if not chosen and not cells:
        return None
    names = {tensor.name for tensor in chosen}
    for tensor in chosen:
        add_constants(copy, _quantized(tensor, turned=_is_turned(proto, tensor.name)))
    nodes = []
    for node in copy.graph.node:
        weights = node.input[1] if len(node.input) > 1 else ""
        if node in cells:
            nodes += _lstm(copy, node)
        else:
            nodes += _product(node, weights) if weights in names else [node]
    made = with_nodes(copy, nodes)
    tidy(made)  # the weights in float32 are not used any more
    return int8_storage(made) or made


def _is_matrix_of_products(proto: Any, tensor: Any) -> bool:
    """Return whether a weight is the right side of plain products and nothing else."""
    size = math.prod(tensor.dims)
    if tensor.data_type != FLOAT or len(tensor.dims) != 2 or size < MINIMUM_WEIGHTS:
        return False
    main = [node for node in proto.graph.node if tensor.name in node.input]
    everywhere = [node for node in all_nodes(proto.graph) if tensor.name in node.input]
    turns = {_turns(node) for node in main}
    right = all(_is_plain(n) and list(n.input).index(tensor.name) == 1 for n in main)
    return len(main) == len(everywhere) and len(turns) == 1 and right


def _is_turned(proto: Any, name: str) -> bool:
    """Return whether products use the transpose of a weight, as PyTorch's dense layers do."""
    return any(_turns(node) for node in proto.graph.node if name in node.input)


def _turns(node: Any) -> bool:
    return any(a.name == "transB" and a.i for a in node.attribute)


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


def _quantized(tensor: Any, *, turned: bool) -> dict[str, NDArray[Any]]:
    """Return a weight matrix in int8, [inputs, outputs], and its scales, by name."""
    values = values_of(tensor)
    quantized, scale = quantize(values.T if turned else values, LARGEST_INT7)
    name = tensor.name
    return {f"{name}_int8": np.ascontiguousarray(quantized), f"{name}_scale": scale}


def _is_plain(node: Any) -> bool:
    scaled = any(
        (a.name in ("alpha", "beta") and a.f != 1.0) or (a.name == "transA" and a.i)
        for a in node.attribute
    )
    return node.op_type == "MatMul" or (node.op_type == "Gemm" and not scaled)


def _is_plain_lstm(proto: Any, node: Any) -> bool:
    """Return whether the runtime has an int8 kernel for this node: its weights are constants."""
    if node.op_type != "LSTM" or any(a.name == "layout" and a.i for a in node.attribute):
        return False
    constants = {t.name for t in proto.graph.initializer if t.data_type == 1}
    return {node.input[_W], node.input[_R]} <= constants


def _lstm(proto: Any, node: Any) -> list[Any]:
    """Return the runtime's own int8 LSTM in the place of ``node``; its weights are transposed.

    Before it stand nodes that unfold its scales, of which there is one for each row of each gate.
    """
    from onnx import helper

    tensors = {tensor.name: tensor for tensor in proto.graph.initializer}
    inputs = [*node.input, *[""] * (8 - len(node.input))]
    scales, unfold = [], []
    for place in (_W, _R):
        name = inputs[place]
        inputs[place] = f"{name}_int8"
        scales += [f"{name}_scale", f"{name}_zero"]
        if f"{name}_int8" in tensors:
            continue  # two nodes share it
        quantized, scale = _gates(values_of(tensors[name]))
        unfold.append(helper.make_node("Cast", [f"{name}_half"], [f"{name}_scale"], to=FLOAT))
        zero = np.zeros(scale.shape, np.int8)
        constants: dict[str, NDArray[Any]] = {"int8": quantized, "half": scale, "zero": zero}
        add_constants(proto, {f"{name}_{word}": array for word, array in constants.items()})
    made = helper.make_node(
        "DynamicQuantizeLSTM", [*inputs, *scales], node.output, domain=MICROSOFT
    )
    # Its own kernel has one layout, the one that was checked for.
    made.attribute.extend(a for a in node.attribute if a.name != "layout")
    if all(entry.domain != MICROSOFT for entry in proto.opset_import):
        proto.opset_import.add(domain=MICROSOFT, version=1)
    return [*unfold, made]


def _gates(values: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float16]]:
    """Return weights [directions, width, gates] and a scale a gate [directions, gates]."""
    pairs = [quantize_to_half(one.T, LARGEST_INT7) for one in values]
    return np.stack([q for q, _ in pairs]), np.stack([scale for _, scale in pairs])
