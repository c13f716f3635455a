"""Static int8: convolutions and products in int8, with ranges of activations learnt from rows.

The quantizer is onnxruntime's. Weights have one scale for each output and keep seven bits: products
of uint8 and int8 are added in pairs in 16 bits on CPUs without VNNI, and seven bits are what cannot
overflow there.

Layers that lose most stay in float32, as few as bring the answers within tolerance.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from converters.errors import ConversionError
from converters.memory import trim
from converters.onnx_export.cleanup import tidy
from converters.onnx_export.copies import copy_of
from converters.onnx_export.external_weights import WEIGHTS, size_of, write_apart
from converters.quantization.calibration import ranges
from converters.quantization.guide import Guide
from converters.quantization.prepared import activations, prepared
from converters.quantization.sensitivity import by_loss
from converters.quantization.silence import silence
from converters.quantization.weight_storage import FLOAT, int8_storage
from converters.quantization.weights import MINIMUM_WEIGHTS

OLDEST: Final = 13
"""The operator set that has a scale for each output."""

COMPUTED: Final = ("Conv", "ConvTranspose", "Gemm", "MatMul")
"""Operators that are worth computing in int8."""

CONVOLUTIONS: Final = ("Conv", "ConvTranspose")

LARGE: Final = 32 << 20
"""Bytes of a model from which on dense layers alone are not worth learning ranges for."""

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
    if size_of(proto) >= LARGE and not any(
        node.op_type in CONVOLUTIONS for node in proto.graph.node
    ):
        raise ConversionError(
            f"not made of a model of {LARGE >> 20} MiB or more without convolutions: int8-dynamic "
            "computes products in int8, and learning ranges takes many times its memory"
        )
    opset = max(e.version for e in proto.opset_import if e.domain in ("", "ai.onnx"))
    named = prepared(proto)
    layers = _layers(named)
    if not layers:
        return None
    if opset < OLDEST:
        raise ConversionError(
            f"int8 with a scale for each output needs operator set {OLDEST}, this model has "
            f"{opset}: export it anew, or convert it with onnx.version_converter"
        )
    with silence(), tempfile.TemporaryDirectory() as folder:
        path = write_apart(named, Path(folder))
        numbers = activations(named)
        del named  # from here on it is read where it is needed: a large one is in memory once
        found = ranges(path, (*COMPUTED, *BETWEEN), guide.feeds, name, numbers)
        return _within_tolerance(_Quantizer(path, found), layers, guide)


def _within_tolerance(quantizer: _Quantizer, layers: list[Any], guide: Guide) -> Any:
    """Leave as few layers in float32 as bring the answers within tolerance.

    Where none do, it is the model with all in int8: the certificate shows what that would be.
    """
    whole = quantizer.without(())
    if guide.badness(whole) <= 1:
        return whole
    everything = quantizer.without((), keep=True)
    worst = by_loss(quantizer.path, everything, layers, guide.feeds)
    del everything
    for count in _counts(len(layers)):
        if guide.over():
            break
        fewer = quantizer.without(worst[:count])
        if guide.badness(fewer) <= 1:
            return fewer
    return whole


def _counts(layers: int) -> Iterator[int]:
    """Yield how many layers to leave in float32; with more than half, int8 is not worth it."""
    count = 1
    while count <= max(1, layers // 2):
        yield count
        count *= 2


@dataclass(frozen=True)
class _Quantizer:
    path: Path
    ranges: Any

    def without(self, excluded: tuple[str, ...] | list[str], *, keep: bool = False) -> Any:
        """Return the model in int8 without some nodes.

        Args:
            excluded: names of nodes that stay in float32, with weights that are stored in int8.
            keep: keep activations that int8 makes superfluous, so that tensors can be compared.
        """
        import onnx
        from onnxruntime import quantization

        model = onnx.load(str(self.path))
        # Its types are in it: else the quantizer would write it, and read it with more of them.
        quantization.quant_utils.add_infer_metadata(model)
        quantizer = quantization.QDQQuantizer(
            model,
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
        small = copy_of(made)  # what a message has dropped stays in its memory
        del made, model, quantizer
        trim(self.path.with_name(WEIGHTS).stat().st_size)
        return small


def _layers(named: Any) -> list[Any]:
    """Return copies of the nodes that are worth computing in int8: they have constant weights.

    None where most of the model's weights are in other nodes, such as recurrences and tables.
    """
    sizes = {
        tensor.name: math.prod(tensor.dims)
        for tensor in named.graph.initializer
        if tensor.data_type == FLOAT and math.prod(tensor.dims) >= MINIMUM_WEIGHTS
    }
    layers = [n for n in named.graph.node if n.op_type in COMPUTED and n.input[1] in sizes]
    covered = sum(sizes[name] for name in {node.input[1] for node in layers})
    worth_it = 2 * covered >= sum(sizes.values())
    return [type(node).FromString(node.SerializeToString()) for node in layers] if worth_it else []
