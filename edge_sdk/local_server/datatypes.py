"""Values of tensors as the Open Inference Protocol writes them: in JSON, or as raw bytes.

Invariants:

* Nothing is converted silently: a number in quotes, a fraction for an integer or a boolean for a
  number is refused. Whether a number fits the tensor's dtype is for the model's schema to say, so
  that a refusal names the feature; JSON therefore becomes the widest dtype of its kind.
* Raw bytes are little-endian, rows first.
"""

from __future__ import annotations

import itertools
import math
import struct
from collections.abc import Mapping, Sequence
from types import NoneType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edge_sdk.contract.dtypes import ITEM_BYTES, STRING, Dtype
from edge_sdk.local_server.refusal import BAD_REQUEST, RequestRefused

DATATYPES: Final[Mapping[Dtype, str]] = {
    "bool": "BOOL",
    "uint8": "UINT8",
    "int8": "INT8",
    "int16": "INT16",
    "int32": "INT32",
    "int64": "INT64",
    "float16": "FP16",
    "float32": "FP32",
    "float64": "FP64",
    "string": "BYTES",
}
"""Names that the protocol has for the dtypes of tensors."""

DEEPEST: Final = 32
"""Most axes of a tensor: NumPy takes no more than 64."""

_LENGTH: Final = struct.Struct("<I")

# What JSON may hold for each kind of dtype, and the dtype that it becomes. ``null`` is a missing
# value, which only floats have.
_BY_KIND: Final[Mapping[str, tuple[frozenset[type], Any]]] = {
    "f": (frozenset((int, float, NoneType)), np.float64),
    "i": (frozenset((int,)), np.int64),
    "u": (frozenset((int,)), np.int64),
    "b": (frozenset((bool,)), np.bool_),
    "O": (frozenset((str,)), object),
}
_IN_JSON: Final = {
    dtype: _BY_KIND["O" if dtype == STRING else np.dtype(dtype).kind] for dtype in DATATYPES
}


def from_json(name: str, dtype: Dtype, data: Any, shape: Sequence[int]) -> NDArray[Any]:
    """Return the values of a tensor in JSON, flat or nested, as an array of ``shape``.

    Raises:
        RequestRefused: they are not as many as the shape says, or not of the tensor's kind.
    """
    values = _flat(name, data, len(shape))
    _check_count(name, len(values), shape)
    allowed, widest = _IN_JSON[dtype]
    if not allowed.issuperset(map(type, values)):
        wrong = next(value for value in values if type(value) not in allowed)
        raise _refused(f"input {name!r}: expected values of {DATATYPES[dtype]}, got {wrong!r:.60}")
    try:
        array = np.array(values, dtype=widest)
    except OverflowError as error:
        raise _refused(f"input {name!r}: a number is too large for {DATATYPES[dtype]}") from error
    return _shaped(name, array, shape)


def from_bytes(name: str, dtype: Dtype, raw: memoryview, shape: Sequence[int]) -> NDArray[Any]:
    """Return the raw bytes of a tensor as an array of ``shape``, which may share their memory.

    Raises:
        RequestRefused: they are not as many as shape and dtype say, or hold no texts.
    """
    if dtype == STRING:
        texts = _texts(name, raw)
        _check_count(name, len(texts), shape)
        array = np.empty(len(texts), dtype=object)
        array[:] = texts
        return _shaped(name, array, shape)
    expected = math.prod(shape) * ITEM_BYTES[dtype]
    if len(raw) != expected:
        raise _refused(
            f"input {name!r}: expected {expected} bytes for shape {list(shape)} of "
            f"{DATATYPES[dtype]}, got {len(raw)}"
        )
    little = np.dtype(dtype).newbyteorder("<")
    array = np.frombuffer(raw, little).astype(dtype, copy=False)
    if dtype == "bool" and (np.frombuffer(raw, np.uint8) > 1).any():
        raise _refused(f"input {name!r}: expected bytes of 0 and 1 for BOOL")
    # A tensor begins wherever the JSON before it ended; the runtime wants its items aligned.
    return _shaped(name, array if array.flags.aligned else array.copy(), shape)


def to_json(array: NDArray[Any]) -> list[Any]:
    """Return the values, flat; ``None`` for floats that JSON does not have."""
    values: list[Any] = array.ravel().tolist()
    if array.dtype.kind == "f" and not all(map(math.isfinite, values)):
        values = [value if math.isfinite(value) else None for value in values]
    return values


def to_bytes(array: NDArray[Any]) -> bytes:
    """Return the values as raw bytes; texts each after its length in bytes."""
    if array.dtype.kind not in "OU":  # NumPy has texts as objects or in its own kind
        return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
    encoded = [str(text).encode() for text in array.ravel()]
    return b"".join(_LENGTH.pack(len(text)) + text for text in encoded)


def _flat(name: str, data: Any, axes: int) -> list[Any]:
    if type(data) is not list:
        raise _refused(f"input {name!r}: expected data as a JSON array, got {data!r:.60}")
    values: list[Any] = data
    for _ in range(max(0, axes - 1)):
        if not values or type(values[0]) is not list:
            break
        if any(type(part) is not list for part in values):
            raise _refused(f"input {name!r}: expected data that is flat, or nested evenly")
        values = list(itertools.chain.from_iterable(values))
    return values


def _texts(name: str, raw: memoryview) -> list[str]:
    texts, at = [], 0
    while at < len(raw):
        if len(raw) - at < _LENGTH.size:
            raise _refused(
                f"input {name!r}: expected the length of a text, got {len(raw) - at} bytes"
            )
        (length,) = _LENGTH.unpack_from(raw, at)
        at += _LENGTH.size
        if length > len(raw) - at:
            raise _refused(
                f"input {name!r}: expected a text of {length} bytes, got {len(raw) - at}"
            )
        try:
            texts.append(str(raw[at : at + length], "utf-8"))
        except UnicodeDecodeError as error:
            raise _refused(f"input {name!r}: expected texts in UTF-8; {error}") from error
        at += length
    return texts


def _check_count(name: str, count: int, shape: Sequence[int]) -> None:
    expected = math.prod(shape)
    if count != expected:
        raise _refused(
            f"input {name!r}: expected {expected} values for shape {list(shape)}, got {count}"
        )


def _shaped(name: str, array: NDArray[Any], shape: Sequence[int]) -> NDArray[Any]:
    try:
        return array.reshape(shape)
    except ValueError as error:  # no values, but sizes that no memory has addresses for
        raise _refused(f"input {name!r}: expected a smaller shape, got {list(shape)}") from error


def _refused(message: str) -> RequestRefused:
    return RequestRefused(BAD_REQUEST, message)
