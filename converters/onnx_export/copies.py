"""Copies of a model without parts of it: what a message drops later stays in its memory."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any, Final

from numpy.typing import NDArray

LARGE: Final = 1_000
"""Numbers of a constant from which on it is a weight, and not a shape or an axis."""


def without_weights(proto: Any) -> Any:
    """Return a copy that has its large constants as inputs: the same graph in a small message."""
    from onnx import helper

    large = [tensor for tensor in proto.graph.initializer if math.prod(tensor.dims) > LARGE]
    light = copy_of(proto, without={tensor.name for tensor in large})
    asked = {value.name for value in light.graph.input}
    light.graph.input.extend(
        helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
        for tensor in large
        if tensor.name not in asked
    )
    return light


def copy_of(proto: Any, without: Collection[str] = ()) -> Any:
    """Return a copy that may be changed, without the constants of some names.

    Args:
        proto: a ModelProto.
        without: names of initializers. What a message has dropped later stays in its memory.
    """
    from onnx import ModelProto

    copy = ModelProto()
    for field, value in proto.ListFields():
        if field.name != "graph":
            _set(copy, field.name, value)
    for field, value in proto.graph.ListFields():
        if field.name != "initializer":
            _set(copy.graph, field.name, value)
    copy.graph.initializer.extend(t for t in proto.graph.initializer if t.name not in without)
    return copy


def _set(message: Any, name: str, value: Any) -> None:
    if hasattr(value, "MergeFrom"):  # of messages, and of repeated fields
        getattr(message, name).MergeFrom(value)
    else:
        setattr(message, name, value)


def add_constants(proto: Any, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Add initializers to a model, arrays by name.

    ``numpy_helper.from_array`` makes a message of its own, and adding that to another is three
    copies of its values for a while.
    """
    from onnx import helper

    for name, array in arrays.items():
        tensor = proto.graph.initializer.add(name=name, dims=array.shape)
        tensor.data_type = helper.np_dtype_to_tensor_dtype(array.dtype)
        tensor.raw_data = array.tobytes()
