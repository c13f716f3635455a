"""Tensors of other frameworks as arrays, so that all that follows meets arrays alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def as_arrays(data: Any) -> Any:
    """Return ``data`` with the tensors of PyTorch in it, or in its lists and dicts, as arrays."""
    if hasattr(data, "detach") and hasattr(data, "cpu"):
        return data.detach().cpu().numpy()
    if isinstance(data, Mapping):
        return {name: as_arrays(value) for name, value in data.items()}
    if isinstance(data, list | tuple) and data and _holds_tensors(data[0]):
        return [as_arrays(value) for value in data]
    return data


def _holds_tensors(first: Any) -> bool:
    values = first.values() if isinstance(first, Mapping) else [first]
    return any(hasattr(value, "detach") for value in values)
