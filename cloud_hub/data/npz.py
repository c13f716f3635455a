"""Archives of NumPy arrays (``.npz``): ``X`` [N, columns], ``y`` [N] and ``t`` [N] where they are.

An archive has no names for its columns: they are ``x0``, ``x1`` and so on, and stand for those of
the model in its order. ``X`` [N] of texts is one column, ``text``.
"""

from __future__ import annotations

import io
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Sequence
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from cloud_hub.deferred.libraries import pa
from cloud_hub.errors import Invalid

DTYPE_KINDS: Final = "biufU"
"""Kinds of NumPy arrays that rows and labels may be: booleans, integers, floats, texts."""

UNREADABLE: Final = (
    OSError, ValueError, KeyError, EOFError, RuntimeError, TypeError, OverflowError, MemoryError,
    NotImplementedError, SyntaxError, tokenize.TokenError, zipfile.BadZipFile, zlib.error,
    struct.error,
)  # fmt: skip
"""What a damaged archive makes zipfile and NumPy raise; a header may promise any shape."""

ARRAYS: Final = ("X", "y", "t")


def read_npz(file: BinaryIO, name: str, limit: int, more: Sequence[str] = ()) -> pa.Table:
    """Return the arrays of an archive as columns ``x0`` and so on, ``y`` and ``t``.

    Args:
        file: open at its beginning.
        name: of the file, for messages.
        limit: bytes that the arrays may take.
        more: names of other arrays [N] that are taken too, where they are.

    Raises:
        Invalid: no such archive, damaged, or larger when it is unpacked.
    """
    check_unpacked(file, limit, name)
    try:
        # Never a pickle: it would run what the uploader put into it.
        with np.load(file, allow_pickle=False) as archive:
            wanted = (*ARRAYS, *(each for each in more if each not in ARRAYS))
            arrays = {each: archive[each] for each in wanted if each in archive.files}
            present = list(archive.files)
    except UNREADABLE as error:
        texts = "; texts are saved as np.array(…, dtype=str)" if "Object" in str(error) else ""
        raise Invalid(f"{name}: expected an .npz with X and y; {error}{texts}") from error
    # An entry that is no array comes as bytes.
    if "X" not in arrays or not all(isinstance(each, np.ndarray) for each in arrays.values()):
        held = ", ".join(present[:10]) or "nothing"
        raise Invalid(f"{name}: expected an .npz with X and y; it has no X, only {held}")
    return table_of(arrays.pop("X"), arrays, name)


def table_of(rows: NDArray[Any], others: dict[str, NDArray[Any]], name: str) -> pa.Table:
    """Return arrays as a table.

    Args:
        rows: [N, columns], or texts [N].
        others: [N] by name.
        name: of the file, for messages.

    Raises:
        Invalid: other shapes, or values that are neither numbers nor texts.
    """
    columns: dict[str, NDArray[Any]] = {}
    for each, array in {"X": rows, **others}.items():
        if array.dtype.kind not in DTYPE_KINDS:
            raise Invalid(f"{name}: {each}: expected numbers or texts, got {array.dtype}")
    if rows.ndim == 1 and rows.dtype.kind == "U":
        columns["text"] = rows
    elif rows.ndim == 2:
        columns = {f"x{i}": rows[:, i] for i in range(rows.shape[1])}
    else:
        raise Invalid(f"{name}: expected X [N, columns] and y [N], got X {rows.shape}")
    for each, array in others.items():
        if array.ndim != 1:
            raise Invalid(f"{name}: expected {each} [N], one value a row, got {array.shape}")
        if len(array) != len(rows):
            raise Invalid(f"{name}: expected X [N, columns] and {each} [N], got X {rows.shape}")
        columns[each] = array
    if not columns:
        raise Invalid(f"{name}: expected X [N, columns] with at least one column")
    return pa.table({n: _array(v, f"{name}: {n}") for n, v in columns.items()})


def check_unpacked(file: BinaryIO, limit: int, name: str) -> None:
    """Check how large an ``.npz`` becomes, before it is unpacked: a small one may hold a terabyte.

    Args:
        file: the archive, open; it is at its beginning afterwards.
        limit: bytes that its arrays may take.
        name: of the file, for messages.

    Raises:
        Invalid: it is larger, or no archive.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            # What an entry says is what is unpacked of it at most.
            size = sum(entry.file_size for entry in archive.infolist())
        file.seek(0)
    except UNREADABLE as error:
        raise Invalid(f"{name}: expected an .npz with X and y; {error}") from error
    if size > limit:
        raise Invalid(f"{name}: expected at most {limit} bytes unpacked, got {size}")


def check_arrays(raw: bytes, limit: int, name: str) -> None:
    """Check how large an archive in memory becomes; see :func:`check_unpacked`."""
    check_unpacked(io.BytesIO(raw), limit, name)


def _array(values: NDArray[Any], name: str) -> pa.Array:
    try:
        native = values.astype(values.dtype.newbyteorder("="), copy=False)
        if native.dtype == np.longdouble:
            native = native.astype(np.float64)
        return pa.array(np.ascontiguousarray(native))
    except (pa.ArrowException, ValueError, UnicodeError) as error:
        raise Invalid(f"{name}: {error}") from error
