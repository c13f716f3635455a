"""Static int8: convolutions and products in int8, with ranges of activations learnt from rows.

The quantizer is onnxruntime's. Weights have one scale for each output and keep seven bits: products
of uint8 and int8 are added in pairs in 16 bits on CPUs without VNNI, and seven bits are what cannot
overflow there.

Layers that lose most stay in float32, as few as bring the answers within tolerance.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from converters.errors import ConversionError
from converters.onnx_export.cleanup import tidy
from converters.quantization.calibration import ranges
from converters.quantization.guide import Guide
from converters.quantization.products import turned
from converters.quantization.sensitivity import by_loss
from converters.quantization.silence import silence
from converters.quantization.weight_storage import FLOAT, int8_storage
from converters.quantization.weights import MINIMUM_WEIGHTS, copy_of, with_nodes

OLDEST: Final = 13
"""The operator set that has a scale for each output."""

COMPUTED: Final = ("Conv", "ConvTranspose", "Gemm", "MatMul")
"""Operators that are worth computing in int8."""

BETWEEN: Final = (
    *("Relu", "Clip", "Add", "MaxPool", "AveragePool", "GlobalAveragePool", "Concat", "Flatten"),
    *("Reshape", "Transpose", "Squeeze", "Unsqueeze", "Resize", "Pad"),
)
"""Operators that would else end and begin int8 around themselves."""


def int8_static(proto: Any, guide: Guide, name: str) -> Any | None:
    """Return a copy with QuantizeLinear and DequantizeLinear around each product.

    Args:
        proto: the float32 model.
        guide: rows to learn the ranges from, and the measure of what layers may lose.
        name: one of :data:`converters.quantization.calibration.METHODS`.

    Returns:
        The copy; ``None`` if the model has no convolution or product that is worth it.

    Raises:
        ConversionError: the model's operator set is too old.
    """
    named = _prepared(proto)
    layers = _layers(named)
    if not layers:
        return None
    opset = max(e.version for e in proto.opset_import if e.domain in ("", "ai.onnx"))
    if opset < OLDEST:
        raise ConversionError(
            f"int8 with a scale for each output needs operator set {OLDEST}, this model has "
            f"{opset}: export it anew, or convert it with onnx.version_converter"
        )
    with silence():
        quantizer = _Quantizer(named, ranges(named, (*COMPUTED, *BETWEEN), guide.feeds, name))
        whole = best = quantizer.without(())
        badness = guide.badness(best)
        if badness > 1:
            worst = by_loss(named, quantizer.without((), keep=True), layers, guide.feeds)
            for count in _counts(len(layers)):
                if guide.over():
                    break
                best = quantizer.without(worst[:count])
                if guide.badness(best) <= 1:
                    return best
    # Not within tolerance: the certificate shows what all of it in int8 would be.
    return best if badness <= 1 else whole


def _counts(layers: int) -> Iterator[int]:
    """Yield how many layers to leave in float32; with more than half, int8 is not worth it."""
    count = 1
    while count <= max(1, layers // 2):
        yield count
        count *= 2


@dataclass(frozen=True)
class _Quantizer:
    named: Any
    ranges: Any

    def without(self, excluded: tuple[str, ...] | list[str], *, keep: bool = False) -> Any:
        """Return the model in int8 without some nodes.

        Args:
            excluded: names of nodes that stay in float32, with weights that are stored in int8.
            keep: keep activations that int8 makes superfluous, so that tensors can be compared.
        """
        from onnxruntime import quantization

        quantizer = quantization.QDQQuantizer(
            copy_of(self.named),
            per_channel=True,
            reduce_range=True,
            weight_qType=quantization.QuantType.QInt8,
            activation_qType=quantization.QuantType.QUInt8,
            tensors_range=self.ranges,
            nodes_to_quantize=[],
            nodes_to_exclude=list(excluded),
            op_types_to_quantize=[*COMPUTED, *BETWEEN],
            extra_options={"QDQKeepRemovableActivations": keep},
        )
        quantizer.quantize_model()
        quantizer.model.topological_sort()  # its own nodes are at the end
        made = quantizer.model.model
        made = int8_storage(made) or made
        tidy(made)  # layers of one width have the same zero points
        return made


def _layers(named: Any) -> list[Any]:
    """Return the nodes that are worth computing in int8: they have constant weights.

    None where most of the model's weights are in other nodes, such as recurrences and tables.
    """
    sizes = {
        tensor.name: math.prod(tensor.dims)
        for tensor in named.graph.initializer
        if tensor.data_type == FLOAT and math.prod(tensor.dims) >= MINIMUM_WEIGHTS
    }
    layers = [n for n in named.graph.node if n.op_type in COMPUTED and n.input[1] in sizes]
    covered = sum(sizes[name] for name in {node.input[1] for node in layers})
    return layers if 2 * covered >= sum(sizes.values()) else []


def _prepared(proto: Any) -> Any:
    """Return a copy whose nodes have names, and whose products stand apart from their offsets.

    The quantizer needs both, and the shapes of all tensors.
    """
    from onnx import helper

    copy, nodes = turned(copy_of(proto)), []
    for node in copy.graph.node:
        plain = not any(a.name in ("alpha", "beta", "transA", "transB") for a in node.attribute)
        if node.op_type == "Gemm" and plain and len(node.input) > 2:
            product = f"{node.output[0]}_product"
            nodes.append(helper.make_node("MatMul", node.input[:2], [product]))
            nodes.append(helper.make_node("Add", [product, node.input[2]], node.output))
        else:
            nodes.append(node)
    for i, node in enumerate(nodes):
        node.name = f"n{i}"
    made = with_nodes(copy, nodes)
    # After inference: what it found wins, since it knows more of the shapes.
    typed = _inferred(made)
    known = {value.name for value in typed.graph.value_info}
    typed.graph.value_info.extend(v for v in _types(typed, nodes) if v.name not in known)
    return typed


def _inferred(proto: Any) -> Any:
    import onnx

    try:
        return onnx.shape_inference.infer_shapes(proto)
    except Exception:  # over 2 GB, or operators that it does not know: the types below are enough
        return proto


def _types(proto: Any, nodes: list[Any]) -> list[Any]:
    """Return types of the tensors around products.

    The quantizer looks them up, and shape inference stops at operators of ai.onnx.ml.
    """
    from onnx import TensorProto, helper

    shapes = {tensor.name: list(tensor.dims) for tensor in proto.graph.initializer}
    declared = {value.name for value in (*proto.graph.input, *proto.graph.output)}
    types: dict[str, Any] = {}
    for node in nodes:
        if node.op_type == "MatMul" and len(shapes.get(node.input[1], ())) == 2:
            for name, size in zip(
                (node.input[0], node.output[0]), shapes[node.input[1]], strict=True
            ):
                if name not in declared:
                    shape = [None, size]
                    types[name] = helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
    return list(types.values())
