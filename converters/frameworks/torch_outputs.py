"""Outputs of a module of PyTorch as tensors by name, whatever it wraps them in."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from converters.errors import ConversionError
from edge_sdk.model.release import Feed


def named_outputs(output: Any, *, taken: Collection[str] = ()) -> dict[str, Any]:
    """Return the tensors of a module's output by name.

    One tensor is ``output``; those of a dict or of Hugging Face's ``ModelOutput`` go by their keys,
    those of a tuple by their places.

    Args:
        output: what the module returned.
        taken: names of inputs; an output of such a name is ``output_`` and that name.

    Raises:
        ConversionError: something in it is no tensor, or there is none.
    """
    found = _named(output, "")
    if not found:
        raise ConversionError("model: expected tensors as outputs, got none")
    return {f"output_{name}" if name in taken else name: each for name, each in found.items()}


def as_feed(outputs: Mapping[str, Any]) -> Feed:
    """Return outputs as arrays.

    Raises:
        ConversionError: a tensor of a dtype that arrays do not have, or of complex numbers.
    """
    for name, tensor in outputs.items():
        kind = str(tensor.dtype).removeprefix("torch.")
        if tensor.is_complex() or tensor.is_quantized or kind == "bfloat16":
            raise ConversionError(
                f"model: output {name!r} is of {kind}, which releases do not have; return "
                f"{'its real and imaginary parts' if tensor.is_complex() else 'it as float32'}"
            )
    return {name: tensor.detach().numpy() for name, tensor in outputs.items()}


def row_axes(outputs: Feed, rows: int, kind: str) -> dict[str, int]:
    """Return the axis of each output along which there are as many as rows, the first if several.

    Raises:
        ConversionError: an output has none.
    """
    found = {}
    for name, array in outputs.items():
        if rows not in array.shape:
            raise ConversionError(
                f"model: {kind} gives an output {name!r} of shape {array.shape} to {rows} rows; "
                "expected an answer for each. What belongs to all rows together, such as a loss, "
                "is best left out of what forward returns; else give batched=False"
            )
        found[name] = array.shape.index(rows)
    return found


def _named(output: Any, name: str) -> dict[str, Any]:
    if output is None:
        return {}
    if hasattr(output, "detach"):
        return {name or "output": output}
    if isinstance(output, Mapping):
        named = [(str(key), value) for key, value in output.items()]
    elif isinstance(output, tuple | list):
        keys = getattr(output, "_fields", None) or [f"output_{i}" for i in range(len(output))]
        named = list(zip(keys, output, strict=True))
    elif is_dataclass(output) and not isinstance(output, type):
        named = [(field.name, getattr(output, field.name)) for field in fields(output)]
    else:
        raise ConversionError(
            f"model: expected tensors as outputs, got {type(output).__name__}"
            f"{f' as {name!r}' if name else ''}"
        )
    found: dict[str, Any] = {}
    for key, value in named:
        found |= _named(value, f"{name}_{key}" if name else key)
    return found
