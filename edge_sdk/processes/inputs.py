"""Inputs of an application (docs/INPUTS.md) on their way to the owner, which need not have pandas
or Pillow: rows and tables by name, moments as seconds, bytes and pictures as arrays of bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edge_sdk.errors import InputError
from edge_sdk.model.pictures import is_picture, rgb_of
from edge_sdk.model.tables import columns_of, is_frame, is_series, row_of_frame, row_of_series
from edge_sdk.model.values import is_missing, is_time, seconds_of

BYTES: Final = "$bytes"
PICTURE: Final = "$picture"


class SentPicture:
    """A picture of another process, which reads like one of Pillow in RGB.

    Args:
        mode: of the picture, as Pillow calls it; RGB where it could be made that.
        pixels: ``uint8`` [height, width, 3].
    """

    def __init__(self, mode: str, pixels: NDArray[Any]) -> None:
        self.mode = mode
        self._pixels = pixels

    def getbands(self) -> tuple[str, ...]:
        """Return the names of its channels."""
        return tuple(self.mode)

    def convert(self, mode: str) -> SentPicture:
        """Return itself: it was made RGB before it was sent."""
        return self

    def __array__(self, *_: Any, **__: Any) -> NDArray[Any]:
        return self._pixels


def many_to_plain(x: Any) -> Any:
    """Return a table as its columns by name, as ``predict_batch`` takes it; anything else as it is.

    Raises:
        InputError: two columns have one name.
    """
    return columns_of(x) if is_frame(x) else x


def to_plain(value: Any) -> Any:
    """Return one input, or a part of one, as plain values and arrays; ``value`` itself where it is
    nothing that an input may hold.

    Raises:
        InputError: it is a table of several rows, or a picture or tensor that cannot be read.
    """
    if is_frame(value):
        return row_of_frame(value)
    if is_series(value):
        return row_of_series(value, ())
    if is_time(value):
        return seconds_of(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return {BYTES: np.frombuffer(bytes(value), np.uint8)}
    if is_picture(value):
        pixels = rgb_of("x", value)
        return {PICTURE: [value.mode, np.zeros(0)] if pixels is None else ["RGB", pixels]}
    if hasattr(value, "__array__"):  # such as a tensor of PyTorch
        return _made_array(value)
    return None if is_missing(value) else value  # such as the NA of pandas


def from_plain(plain: Mapping[str, Any]) -> Any:
    """Return bytes or a picture; any other mapping as it is.

    Raises:
        ValueError: they are none.
        TypeError: likewise.
    """
    if BYTES in plain:
        return _array(plain[BYTES]).tobytes()
    if PICTURE in plain:
        mode, pixels = plain[PICTURE]
        return SentPicture(str(mode), _array(pixels))
    return plain


def _made_array(value: Any) -> NDArray[Any]:
    try:
        return np.asarray(value)
    except Exception as error:  # whatever a foreign object's conversion raises
        raise InputError(
            "dtype", f"expected an array, got {type(value).__name__}; {error}"
        ) from error


def _array(value: Any) -> NDArray[Any]:
    if not isinstance(value, np.ndarray):
        raise ValueError(f"expected an array of bytes, got {value!r:.30}")
    return value
