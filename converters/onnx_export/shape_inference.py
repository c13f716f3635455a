"""Types and shapes of inner tensors, as far as onnx infers them."""

from __future__ import annotations

from typing import Any


def inferred_values(proto: Any) -> list[Any]:
    """Return the inner tensors of a model whose type onnx infers, as ValueInfoProtos.

    Raises:
        Exception: whatever onnx raises of operators that it does not know.
    """
    import onnx

    values = proto.graph.value_info
    before = len(values)
    # onnx ends the process where a LabelEncoder takes what has no type (1.23), such as the texts of
    # onnxruntime's Tokenizer.
    values.extend(_keys_of_encoders(proto.graph))
    try:
        return list(onnx.shape_inference.infer_shapes(proto).graph.value_info)
    finally:
        del values[before:]


def _keys_of_encoders(graph: Any) -> list[Any]:
    """Return the inputs of LabelEncoders that have no type yet, with that of their keys."""
    from onnx import helper

    known = {value.name for value in (*graph.value_info, *graph.input, *graph.output)}
    encoders = [node for node in graph.node if node.op_type == "LabelEncoder"]
    kinds = {node.input[0]: _kind_of_keys(node) for node in encoders if node.input[0] not in known}
    return [
        helper.make_tensor_value_info(name, kind, None)
        for name, kind in kinds.items()
        if kind is not None
    ]


def _kind_of_keys(encoder: Any) -> int | None:
    from onnx import TensorProto

    kinds = {
        "keys_strings": TensorProto.STRING,
        "keys_int64s": TensorProto.INT64,
        "keys_floats": TensorProto.FLOAT,
    }
    for attribute in encoder.attribute:
        if attribute.name == "keys_tensor":
            return int(attribute.t.data_type)
        if attribute.name in kinds:
            return kinds[attribute.name]
    return None
