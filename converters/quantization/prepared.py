"""A model as the quantizer of onnxruntime needs it."""

from __future__ import annotations

import math
from typing import Any, Final

from converters.onnx_export.copies import without_weights
from converters.onnx_export.shape_inference import inferred_values
from converters.quantization.products import turned
from converters.quantization.weights import with_nodes

WITH_OFFSET: Final = ("Conv", "ConvTranspose", "Gemm")


def prepared(proto: Any) -> Any:
    """Return a model whose nodes have names, and whose products stand apart from their offsets.

    The types of its tensors are in it as well, as far as they can be inferred. ``proto`` itself is
    changed.
    """
    from onnx import helper

    nodes = []
    for node in turned(proto).graph.node:
        plain = not any(a.name in ("alpha", "beta", "transA", "transB") for a in node.attribute)
        if node.op_type == "Gemm" and plain and len(node.input) > 2:
            product = f"{node.output[0]}_product"
            nodes.append(helper.make_node("MatMul", node.input[:2], [product]))
            nodes.append(helper.make_node("Add", [product, node.input[2]], node.output))
        else:
            nodes.append(node)
    for i, node in enumerate(nodes):
        node.name = f"n{i}"
    made = with_nodes(proto, nodes)
    _separate_offsets(made)
    # What inference found wins, since it knows more of the shapes.
    types = {value.name: value for value in (*_types(made), *_inferred(made))}
    del made.graph.value_info[:]
    made.graph.value_info.extend(types.values())
    return made


def _separate_offsets(proto: Any) -> None:
    """Give each node an offset of its own: the quantizer scales it by the weights of one node."""
    tensors = {tensor.name: tensor for tensor in proto.graph.initializer}
    seen = set()
    for node in proto.graph.node:
        name = node.input[2] if node.op_type in WITH_OFFSET and len(node.input) > 2 else ""
        if name in tensors and name in seen:
            copy = proto.graph.initializer.add()
            copy.CopyFrom(tensors[name])
            copy.name = node.input[2] = f"{name}_of_{node.name}"
        seen.add(name)


def activations(named: Any) -> int:
    """Return about how many numbers the nodes of a prepared model compute for one row."""
    shapes = [value.type.tensor_type.shape.dim for value in named.graph.value_info]
    return sum(math.prod(max(1, dim.dim_value) for dim in shape) for shape in shapes)


def _inferred(proto: Any) -> list[Any]:
    """Return the types that shape inference finds, from the shapes of large weights alone."""
    try:
        return inferred_values(without_weights(proto))
    except Exception:  # operators that it does not know: the types below are enough
        return []


def _types(proto: Any) -> list[Any]:
    """Return types of the tensors around products.

    The quantizer looks them up, and shape inference stops at operators of ai.onnx.ml.
    """
    from onnx import TensorProto, helper

    shapes = {tensor.name: list(tensor.dims) for tensor in proto.graph.initializer}
    declared = {value.name for value in (*proto.graph.input, *proto.graph.output)}
    types: dict[str, Any] = {}
    for node in proto.graph.node:
        if node.op_type == "MatMul" and len(shapes.get(node.input[1], ())) == 2:
            for name, size in zip(
                (node.input[0], node.output[0]), shapes[node.input[1]], strict=True
            ):
                if name not in declared:
                    shape = [None, size]
                    types[name] = helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
    return list(types.values())
