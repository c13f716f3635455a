"""Static int8: every matrix product in int8, with ranges of activations learnt from rows.

The quantizer is onnxruntime's. Weights keep seven bits: products of uint8 and int8 are added in
pairs in 16 bits on CPUs without VNNI, and seven bits are what cannot overflow there.
"""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from converters.quantization.weights import copy_of, matrices, with_nodes
from edge_sdk.model.release import Feed

METHODS: Final = {
    "int8-static-minmax": "MinMax",
    "int8-static-entropy": "Entropy",
    "int8-static-percentile": "Percentile",
}
"""Ways to choose the range of an activation, by name of the variant."""


def int8_static(proto: Any, feeds: list[Feed], name: str) -> Any | None:
    """Return a copy with QuantizeLinear and DequantizeLinear around each product.

    Args:
        proto: the float32 model.
        feeds: rows to learn the ranges from, one feed a row.
        name: one of :data:`METHODS`.

    Returns:
        The copy; ``None`` if the model has no product that is worth it.
    """
    if not matrices(proto):
        return None
    import onnx
    from onnxruntime import quantization

    class Rows(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._rows: Iterator[Feed] = iter(feeds)

        def get_next(self) -> Feed | None:
            return next(self._rows, None)

    named = _prepared(proto)
    with tempfile.TemporaryDirectory() as folder, _silence():
        path = Path(folder) / "static.onnx"
        quantization.quantize_static(
            named,
            str(path),
            Rows(),
            quant_format=quantization.QuantFormat.QDQ,
            op_types_to_quantize=["MatMul"],
            reduce_range=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            calibrate_method=getattr(quantization.CalibrationMethod, METHODS[name]),
        )
        return onnx.load(str(path))


def _prepared(proto: Any) -> Any:
    """Return a copy whose nodes have names, and whose products stand apart from their offsets.

    The quantizer needs both.
    """
    from onnx import helper

    copy, nodes = copy_of(proto), []
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
    copy.graph.value_info.extend(_types(copy, nodes))
    return with_nodes(copy, nodes)


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


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Silence the quantizer, which prints, warns and logs; none of it is for our users."""
    import onnxruntime

    # It logs through the root logger itself, so that its own name cannot be silenced.
    level = logging.root.level
    logging.root.setLevel(logging.CRITICAL)
    onnxruntime.set_default_logger_severity(4)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.root.setLevel(level)
        onnxruntime.set_default_logger_severity(2)
