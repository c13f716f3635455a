"""Pictures and raw bytes as arrays, for releases that take them.

A release whose file has the preprocessing inside takes pictures as ``uint8`` [height, width, 3].
Pillow is used where the application has loaded it, and never imported.
"""

from __future__ import annotations

import io
import math
import sys
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from edge_sdk.contract.dtypes import STRING
from edge_sdk.errors import InputError

if TYPE_CHECKING:
    from edge_sdk.contract.manifest import TensorSpec

MODES: Final = ("RGB", "RGBA", "RGBX", "L", "LA", "P", "PA", "1", "CMYK", "YCbCr", "HSV", "LAB")
"""Pillow's modes of eight bits a channel: others lose more than they show when made RGB."""

PIXELS: Final = 1 << 28
"""Of one encoded picture; a file of a few bytes may say that it is larger than any memory."""


def as_array(spec: TensorSpec, axis: int | None, value: Any) -> Any:
    """Return a picture, or bytes, as the array that they stand for; anything else as it is.

    Args:
        spec: the tensor that it is for.
        axis: of the rows; ``None`` where the tensor has none.
        value: a picture of Pillow, bytes, or a list of either.

    Raises:
        InputError: the release takes no pictures, or the bytes are none.
    """
    if isinstance(value, bytes | bytearray | memoryview):
        return _of_bytes(spec, axis, bytes(value))
    if is_picture(value):
        return _of_picture(spec, value)
    if isinstance(value, list | tuple) and value and _is_special(value[0]):
        return _stacked(spec, axis or 0, [as_array(spec, axis, each) for each in value])
    return value


def is_picture(value: Any) -> bool:
    """Return whether ``value`` is a picture, as Pillow has it."""
    return hasattr(value, "getbands") and hasattr(value, "convert") and hasattr(value, "mode")


def _is_special(value: Any) -> bool:
    return isinstance(value, bytes | bytearray | memoryview) or is_picture(value)


def _stacked(spec: TensorSpec, axis: int, rows: list[Any]) -> NDArray[Any]:
    shapes = {np.shape(row) for row in rows}
    if len(shapes) != 1:
        shown = sorted(map(list, shapes))[:5]
        raise InputError(
            "shape", f"input {spec.name!r}: expected rows of one shape, got {shown}; "
            "give them one by one to predict, or resize them",
        )  # fmt: skip
    return np.stack(rows, axis)


def _takes_pictures(spec: TensorSpec) -> bool:
    return spec.dtype == "uint8" and len(spec.shape) == 4 and spec.shape[3] == 3


def _of_picture(spec: TensorSpec, picture: Any) -> NDArray[Any]:
    if not _takes_pictures(spec):
        shape = [size if size is not None else "any" for size in spec.shape]
        raise InputError(
            "dtype",
            f"input {spec.name!r}: expected {spec.dtype} {shape}, got a picture: this release has "
            "no preprocessing; convert it with preprocess=Picture(…), or give the network's tensor",
        )
    pixels = rgb_of(spec.name, picture)
    if pixels is None:
        raise InputError(
            "dtype", f"input {spec.name!r}: expected a picture of eight bits a channel, got mode "
            f"{picture.mode!r}; convert it to RGB first",
        )  # fmt: skip
    return pixels


def rgb_of(name: str, picture: Any) -> NDArray[Any] | None:
    """Return a picture as ``uint8`` [height, width, 3]; ``None`` where its mode has more than that.

    Args:
        name: of the input, for the message.
        picture: of Pillow.

    Raises:
        InputError: it cannot be read.
    """
    if picture.mode not in MODES:
        return None
    try:
        return np.asarray(picture if picture.mode == "RGB" else picture.convert("RGB"))
    except Exception as error:  # it is read from its file only now, and may be damaged
        raise InputError("dtype", f"input {name!r}: the picture cannot be read; {error}") from error


def _of_bytes(spec: TensorSpec, axis: int | None, raw: bytes) -> Any:
    """Return the values of one row that bytes hold: those of the tensor, text, or a picture."""
    row = [size for i, size in enumerate(spec.shape) if i != axis]
    if spec.dtype == STRING:
        try:
            return np.array(raw.decode(), dtype=object).reshape([1] * len(row))
        except UnicodeDecodeError as error:
            raise InputError("dtype", f"input {spec.name!r}: expected UTF-8; {error}") from error
    if None not in row:
        dtype = np.dtype(spec.dtype).newbyteorder("<")
        if len(raw) == math.prod(size or 1 for size in row) * dtype.itemsize:
            return np.frombuffer(raw, dtype).reshape([size or 1 for size in row])
    if _takes_pictures(spec):
        return _decoded(spec, raw)
    shown = [size if size is not None else "any" for size in row]
    raise InputError(
        "shape", f"input {spec.name!r}: expected the bytes of {spec.dtype} {shown}, little-endian, "
        f"got {len(raw)} bytes",
    )  # fmt: skip


def _decoded(spec: TensorSpec, raw: bytes) -> NDArray[Any]:
    module = sys.modules.get("PIL.Image")
    if module is None:
        raise InputError(
            "dtype", f"input {spec.name!r}: expected a decoded picture, got {len(raw)} bytes; "
            "import PIL.Image in the application and they are decoded with it, or give an array",
        )  # fmt: skip
    try:
        with module.open(io.BytesIO(raw)) as picture:
            width, height = picture.size
            if width * height > PIXELS:
                raise ValueError(f"{width} times {height} pixels are more than {PIXELS}")
            picture.load()
            return _of_picture(spec, picture)
    except InputError:
        raise
    except Exception as error:  # of a foreign decoder, on foreign bytes
        raise InputError(
            "dtype", f"input {spec.name!r}: expected an encoded picture; {error}"
        ) from error
