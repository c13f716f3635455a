"""Tensors of other frameworks as arrays, so that all that follows meets arrays alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from converters.errors import ConversionError


def as_arrays(data: Any) -> Any:
    """Return ``data`` with the tensors of PyTorch in it, or in its lists and dicts, as arrays."""
    if hasattr(data, "detach") and hasattr(data, "cpu"):
        return _array_of(data)
    if isinstance(data, Mapping):
        return {name: as_arrays(value) for name, value in data.items()}
    if isinstance(data, list | tuple) and data and _holds_tensors(data[0]):
        return [as_arrays(value) for value in data]
    return data


def _array_of(tensor: Any) -> Any:
    """Return a tensor as an array, one of bfloat16 as float32; raises ConversionError."""
    problem = (
        "without values (on the device meta)" if tensor.is_meta
        else "that is quantized; give tensor.dequantize()" if tensor.is_quantized
        else "that is sparse; give tensor.to_dense()" if str(tensor.layout) != "torch.strided"
        else ""
    )  # fmt: skip
    if problem:
        raise ConversionError(f"X, y: expected tensors of numbers, got one {problem}")
    tensor = tensor.detach().cpu().resolve_conj().resolve_neg()
    return (tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor).numpy()


def _holds_tensors(first: Any) -> bool:
    values = first.values() if isinstance(first, Mapping) else [first]
    return any(hasattr(value, "detach") for value in values)
