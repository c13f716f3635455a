"""Messages between an owner and those who attach to it: JSON, and the bytes of arrays behind it.

A frame is ``<II``, the bytes of the JSON text and of the arrays, then both. In the text an array
stands as ``{"$array": [dtype, shape, offset]}``; :mod:`edge_sdk.processes.inputs` says how other
inputs do. Nothing that comes is unpickled or run, and no length is believed before it is compared
with a bound.
"""

from __future__ import annotations

import json
import math
import re
import socket
import struct
from collections.abc import Set
from typing import Any, Final

import numpy as np

from edge_sdk.errors import ContractError, InputError
from edge_sdk.processes.inputs import from_plain, to_plain

HEAD: Final = struct.Struct("<II")
TEXT_BYTES: Final = 16 << 20
"""Longest JSON text."""

ARRAY_BYTES: Final = 512 << 20
"""Most bytes of arrays in one frame."""

_ALIGNED: Final = 16
_PIECE: Final = 1 << 16
_ARRAY: Final = "$array"
_DTYPE: Final = re.compile(r"[<>|][?biufcSUMm]\d{1,9}(\[\d*[A-Za-z]+\])?")


def packed(message: Any) -> bytes:
    """Return a frame of plain values, arrays, NumPy's numbers and inputs of other libraries.

    Raises:
        InputError: it holds something else, or too much of it.
    """
    pieces: list[bytes] = []
    length = 0

    def plain(value: Any) -> Any:
        nonlocal length
        if isinstance(value, Set):
            return list(value)
        if not isinstance(value, np.ndarray | np.generic):
            return _known(value)
        array = np.asarray(value)
        if array.dtype.kind == "O":
            return array.tolist()
        marker = {_ARRAY: [array.dtype.str, array.shape, length]}
        raw = array.tobytes()
        raw += bytes(-len(raw) % _ALIGNED)
        pieces.append(raw)
        length += len(raw)
        return marker

    try:
        text = json.dumps(message, default=plain).encode()
    except (ValueError, TypeError, RecursionError) as error:
        raise InputError("dtype", f"expected plain values and arrays; {error}") from error
    if len(text) > TEXT_BYTES or length > ARRAY_BYTES:
        raise InputError(
            "shape",
            f"expected at most {TEXT_BYTES >> 20} MiB of text and {ARRAY_BYTES >> 20} MiB of "
            f"arrays in one call, got {len(text) >> 20} and {length >> 20}",
        )
    return b"".join((HEAD.pack(len(text), length), text, *pieces))


def _known(value: Any) -> Any:
    """Return an input of another library as plain values; raises InputError for anything else."""
    plain = to_plain(value)
    if plain is value:
        raise InputError(
            "dtype",
            "expected numbers, texts, arrays, tables, pictures, lists or dicts, which can go to "
            f"the process that runs this device; got {type(value).__name__}",
        )
    return plain


def unpacked(text: bytes, arrays: bytes) -> Any:
    """Return the message of a frame; its arrays are read-only.

    Raises:
        ContractError: it is none.
    """

    def array(plain: dict[str, Any]) -> Any:
        return _array(plain[_ARRAY], arrays) if _ARRAY in plain else from_plain(plain)

    try:
        return json.loads(text, object_hook=array)
    except (ValueError, TypeError, RecursionError, OverflowError) as error:
        raise ContractError(f"expected a frame of JSON and arrays; {error}") from error


def _array(marker: Any, arrays: bytes) -> Any:
    dtype_name, shape, offset = marker
    if not _DTYPE.fullmatch(dtype_name):
        raise ValueError(f"no such dtype: {dtype_name!r:.30}")
    dtype = np.dtype(dtype_name)
    if len(shape) > 32 or not all(type(n) is int and 0 <= n <= ARRAY_BYTES for n in shape):
        raise ValueError(f"no such shape: {shape!r:.60}")
    count = math.prod(shape)
    if type(offset) is not int or not 0 <= offset <= len(arrays) - count * dtype.itemsize:
        raise ValueError("an array is longer than its frame")
    flat = np.frombuffer(arrays, dtype, count, offset) if count else np.empty(0, dtype)
    return flat.reshape(shape)[()]  # of no axes: the number itself


def receive(connection: socket.socket, most: int | None = None) -> Any:
    """Return the next message; see :func:`rest_of`.

    Args:
        connection: to whoever sends it.
        most: bytes that it may have; ``None`` for as many as any message.

    Raises:
        EOFError: the other end is closed.
        ContractError: it is no frame, or too long.
        OSError: it did not come in time, or the connection broke.
    """
    return rest_of(connection, some_of(connection), most)


def some_of(connection: socket.socket) -> bytes:
    """Return what has come, 64 KiB at most; raise EOFError where the other end is closed."""
    raw = connection.recv(_PIECE)
    if not raw:
        raise EOFError("the connection was closed")
    return raw


def rest_of(connection: socket.socket, raw: bytes, most: int | None = None) -> Any:
    """Return the message that begins with ``raw``. Messages and answers come in turns, so that
    nothing of the next one is there.

    Args:
        connection: to whoever sends it.
        raw: what has come of it.
        most: bytes that it may have; ``None`` for as many as any message.

    Raises:
        EOFError: the other end is closed.
        ContractError: it is no frame, or too long.
        OSError: it did not come in time, or the connection broke.
    """
    while len(raw) < HEAD.size:
        raw += some_of(connection)
    text_bytes, array_bytes = HEAD.unpack_from(raw)
    longest = TEXT_BYTES + ARRAY_BYTES if most is None else most
    too_long = text_bytes > TEXT_BYTES or array_bytes > ARRAY_BYTES
    if too_long or text_bytes + array_bytes > longest:
        raise ContractError(f"expected a shorter frame, got {text_bytes} and {array_bytes} bytes")
    split, total = HEAD.size + text_bytes, HEAD.size + text_bytes + array_bytes
    if len(raw) < total:
        # Grows with what comes: a head that promises much and brings nothing takes no memory.
        whole = bytearray(raw)
        while len(whole) < total:
            whole += some_of(connection)
        raw = bytes(whole)
    if len(raw) > total:
        raise ContractError(f"expected one frame of {total} bytes, got more")
    return unpacked(raw[HEAD.size : split], raw[split:])
