"""Other files of the same model: smaller weights, in the hope that they pay. Measured, not assumed.

``int8-storage`` keeps weights as int8 with one scale per output column and a Cast and a Mul, which
onnxruntime folds into float32 weights at loading: small on disk, float speed. ``int8-dynamic``
computes in int8: often slower on single rows.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

MINIMUM_WEIGHTS: Final = 1_024
"""Smaller matrices are left alone: the scales and nodes would cost more than they save."""


def int8_storage(proto: Any) -> Any | None:
    """A copy with int8 weights, or ``None`` if there is no matrix worth it."""
    from onnx import ModelProto, helper, numpy_helper

    copy = ModelProto()
    copy.CopyFrom(proto)
    chosen = _matrices(copy)
    if not chosen:
        return None
    nodes = []
    for tensor in chosen:
        weights = numpy_helper.to_array(tensor)
        scale = np.maximum(np.abs(weights).max(axis=0), np.finfo(np.float32).tiny) / 127
        scale = scale.astype(np.float32)
        quantized = np.clip(np.round(weights / scale), -127, 127).astype(np.int8)
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(quantized, f"{name}_int8"))
        copy.graph.initializer.append(numpy_helper.from_array(scale, f"{name}_scale"))
        cast = helper.make_node("Cast", [f"{name}_int8"], [f"{name}_cast"], to=1)
        nodes += [cast, helper.make_node("Mul", [f"{name}_cast", f"{name}_scale"], [name])]
    rest = list(copy.graph.node)
    del copy.graph.node[:]
    copy.graph.node.extend([*nodes, *rest])
    return copy


def int8_dynamic(proto: Any) -> Any | None:
    """A copy that computes matrix products in int8, or ``None`` if there is nothing to quantize."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    if not _matrices(proto):
        return None
    with tempfile.TemporaryDirectory() as folder:
        before, after = Path(folder) / "float32.onnx", Path(folder) / "int8.onnx"
        onnx.save(proto, before)
        quantize_dynamic(before, after, weight_type=QuantType.QInt8)
        return onnx.load(after)


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


VARIANTS: Final[Mapping[str, Callable[[Any], Any | None]]] = {
    "float32": lambda proto: proto,
    "int8-storage": int8_storage,
    "int8-dynamic": int8_dynamic,
}
"""How each variant is made; ``None`` says that the model has nothing that it could make smaller."""
