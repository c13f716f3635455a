"""Outputs to stored bytes and back; floats in fewer bytes where an encoding is chosen.

Invariant: a reader gets exactly the values that the header's rule gives, and the header states
their largest difference from the original ones (``ValueField.max_error``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from edge_sdk.contract.dtypes import ITEM_BYTES
from edge_sdk.contract.pack import FLOATS, Encoding, ValueField
from edge_sdk.errors import PackError

if TYPE_CHECKING:
    from edge_sdk.contract.manifest import OutputSpec, Signature

CODES: Final = 255
"""The largest code of a ``uint8`` field."""

Read = Callable[[int], NDArray[Any]]
"""Returns the value of an entry."""


def stored_output(
    signature: Signature, name: str, array: NDArray[Any], encoding: Encoding | None = None
) -> tuple[ValueField, NDArray[Any]]:
    """Return the field that describes an output, and the array whose bytes are stored.

    Args:
        signature: signature of the release.
        name: name of the output.
        array: its values, [count, ...].
        encoding: shorter encoding for floats, or ``None``.

    Raises:
        PackError: there is no such output, its dtype or shape is not the declared one or cannot be
            stored, or the encoding does not fit or would change a label.
    """
    spec = _spec(signature, name)
    _check_form(signature, spec, array)
    if encoding is None:
        return _field(spec, array), array
    _check_encodable(name, array, encoding)
    stored, scale, offset = _encoded(array, encoding)
    field = ValueField(
        name, spec.role, array.dtype.name, array.shape[1:], encoding, scale, offset  # type: ignore[arg-type]
    )  # fmt: skip
    restored = decoded(field, stored)
    error = np.abs(restored.astype(np.float64) - array.astype(np.float64)).max(initial=0.0)
    if not np.isfinite(error):
        raise PackError(f"{name}: its values are too large for {encoding}; store it without")
    if spec.role == "probabilities":
        _refuse_changed(name, array.argmax(axis=-1) != restored.argmax(axis=-1), encoding)
    elif spec.role == "scores":
        least = signature.threshold
        changed = ((array >= least) != (restored >= least)).any(axis=-1)
        _refuse_changed(name, changed, encoding)
    return _field(spec, array, encoding, scale, offset, float(error)), stored


def decoded(field: ValueField, stored: NDArray[Any]) -> NDArray[Any]:
    """Return the values that readers get for ``stored`` ones of ``field``, as a copy."""
    if field.encoding == "uint8":
        return np.asarray(_table(field)[stored])
    return stored.astype(field.dtype)


def reader(field: ValueField, stored: NDArray[Any]) -> Read:
    """Return a reader of entries of ``stored`` [count, ...]: new arrays of the declared dtype."""
    dtype = np.dtype(field.dtype)
    if field.encoding == "uint8":
        table = _table(field)
        return lambda entry: np.asarray(table.take(stored[entry]))
    if stored.dtype != dtype:
        return lambda entry: np.asarray(stored[entry].astype(dtype))
    return lambda entry: stored[entry, ...].copy()


def _table(field: ValueField) -> NDArray[Any]:
    """Return the value of each code."""
    assert field.scale is not None
    assert field.offset is not None
    codes = np.arange(CODES + 1, dtype=np.float64)
    with np.errstate(over="ignore", invalid="ignore"):  # what no writer of ours stores
        return (field.offset + field.scale * codes).astype(field.dtype)


def _spec(signature: Signature, name: str) -> OutputSpec:
    for spec in signature.outputs:
        if spec.name == name:
            return spec
    names = sorted(spec.name for spec in signature.outputs)
    raise PackError(f"outputs: expected some of {names}, got {name!r}")


def _field(spec: OutputSpec, array: NDArray[Any], *encoding: Any) -> ValueField:
    return ValueField(spec.name, spec.role, array.dtype.name, array.shape[1:], *encoding)  # type: ignore[arg-type]


def _check_form(signature: Signature, spec: OutputSpec, array: NDArray[Any]) -> None:
    name, dtype = spec.name, array.dtype.name
    if spec.role == "label" and signature.classes:
        _check_classes(name, array, len(signature.classes))
    elif spec.dtype == "string" or dtype not in ITEM_BYTES:
        raise PackError(
            f"{name}: expected one of {sorted(ITEM_BYTES)}, got {dtype}; strings cannot be stored, "
            "leave this output out (a label is stored as the index of its class)"
        )
    elif dtype != spec.dtype:
        raise PackError(f"{name}: expected the declared dtype {spec.dtype}, got {dtype}")
    declared = spec.shape[1:]
    same_rank = len(declared) == array.ndim - 1
    pairs = zip(declared, array.shape[1:], strict=False)
    if spec.shape and not (same_rank and all(want in (None, size) for want, size in pairs)):
        raise PackError(f"{name}: expected rows of shape {declared}, got {array.shape[1:]}")


def _check_classes(name: str, array: NDArray[Any], classes: int) -> None:
    if array.dtype.kind not in "iu" or array.dtype.name not in ITEM_BYTES:
        raise PackError(
            f"{name}: expected one of {sorted(ITEM_BYTES)} with the index of the class in each "
            f"row, got {array.dtype}"
        )
    outside = int(((array < 0) | (array >= classes)).sum())
    if outside:
        raise PackError(f"{name}: expected an index below {classes}, {outside} rows have others")


def _check_encodable(name: str, array: NDArray[Any], encoding: Encoding) -> None:
    if encoding not in ("float16", "uint8"):
        raise PackError(f"{name}: expected the encoding float16 or uint8, got {encoding!r}")
    if array.dtype.name not in FLOATS:
        raise PackError(f"{name}: only floats can be stored as {encoding}, got {array.dtype}")
    non_finite = int((~np.isfinite(array)).any(axis=tuple(range(1, array.ndim))).sum())
    if non_finite:
        raise PackError(
            f"{name}: {non_finite} rows are not finite and cannot be stored as {encoding}"
        )


def _encoded(
    array: NDArray[Any], encoding: Encoding
) -> tuple[NDArray[Any], float | None, float | None]:
    """Return the stored array, scale and offset."""
    if encoding == "float16":
        # Values that overflow become infinite, and the caller refuses those.
        with np.errstate(over="ignore"):
            return array.astype(np.float16), None, None
    wide = array.astype(np.float64)
    low, high = (float(wide.min()), float(wide.max())) if array.size else (0.0, 0.0)
    # Divided before the subtraction: high - low alone can overflow to infinity.
    with np.errstate(over="ignore"):
        scale = (high / CODES) - (low / CODES)
    codes = np.rint((wide - low) / scale) if scale else np.zeros(array.shape)
    return np.clip(codes, 0, CODES).astype(np.uint8), scale, low


def _refuse_changed(name: str, changed: NDArray[np.bool_], encoding: Encoding) -> None:
    if changed.any():
        raise PackError(
            f"{name}: stored as {encoding}, {int(changed.sum())} of {len(changed)} rows would get "
            "another label; store it with more precision"
        )
