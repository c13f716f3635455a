"""Finds the embedding inside of a classifier's graph, and makes it an output.

The embedding is what the last layer of weights is applied to: a vector for each sample, in which
samples of one kind are near each other. Monitoring sums it up, because a new kind of picture may be
as bright and as sharp as all others.
"""

from __future__ import annotations

from typing import Any, Final

from converters.errors import ConversionError
from converters.onnx_export.copies import without_weights
from converters.onnx_export.shape_inference import inferred_values
from edge_sdk.contract.dtypes import BY_ELEMENT
from edge_sdk.contract.manifest import OutputSpec

PASSED: Final = (
    *("Softmax", "LogSoftmax", "Sigmoid", "Identity", "Cast", "Add", "Sub", "Mul", "Div"),
    *("Flatten", "Squeeze", "Reshape", "Unsqueeze", "QuantizeLinear", "DequantizeLinear"),
)
"""Operators between the last layer and the answer, which are walked back through."""


def found_embedding(proto: Any, output: str) -> str | None:
    """Return the tensor that the last layer before ``output`` is applied to, if it is a vector.

    Args:
        proto: the ModelProto.
        output: name of the probabilities, or of the scores.
    """
    graph = proto.graph
    made_by = {name: node for node in graph.node for name in node.output}
    constants = {tensor.name for tensor in graph.initializer}
    constants |= {n.output[0] for n in graph.node if n.op_type == "Constant"}
    name: str | None = output
    for _ in range(len(graph.node)):
        node = made_by.get(name) if name else None
        if node is None:
            return None
        inner = [each for each in node.input if each and each not in constants]
        if node.op_type == "Gemm" or (node.op_type == "MatMul" and len(inner) == 1):
            vector = node.input[0]
            made = vector in made_by and vector not in constants
            return vector if made and _is_vector(proto, vector) else None
        if node.op_type not in PASSED or not inner:
            return None
        name = inner[0]
    return None


def _is_vector(proto: Any, name: str) -> bool:
    """Return whether a tensor is [N, d]."""
    try:
        inferred = inferred_values(without_weights(proto))
    except Exception:  # what cannot be inferred is not known to be a vector
        return False
    known = {value.name: value for value in inferred}
    value = known.get(name)
    return value is not None and len(value.type.tensor_type.shape.dim) == 2


def with_output(proto: Any, name: str) -> tuple[Any, OutputSpec]:
    """Make the inner tensor ``name`` of a model an output too; return the model, and that output.

    Raises:
        ConversionError: there is no such tensor, or it is none of a known type.
    """
    made = {each for node in proto.graph.node for each in node.output}
    if name not in made:
        raise ConversionError(
            f"embedding: expected the name of an output or of an inner tensor, got {name!r:.60}"
        )
    try:
        inferred = inferred_values(without_weights(proto))
    except Exception as error:
        raise ConversionError(f"embedding: {name}: its shape is not known; {error}") from error
    known = {value.name: value for value in inferred}
    value = known.get(name)
    dtype = None if value is None else BY_ELEMENT.get(value.type.tensor_type.elem_type)
    has_shape = value is not None and value.type.tensor_type.HasField("shape")
    if value is None or not has_shape or dtype is None or not dtype.startswith("float"):
        raise ConversionError(f"embedding: {name}: expected a tensor of floats of a known shape")
    proto.graph.output.append(value)
    shape = tuple(dim.dim_value or None for dim in value.type.tensor_type.shape.dim)
    return proto, OutputSpec(name, dtype, shape, "embedding")
