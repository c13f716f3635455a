"""Tensors of one input as a compressed text, and back.

Invariant: no length is believed. What a text unpacks to has exactly the size that its shapes and
the release say, or is refused before more is unpacked.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from edge_sdk.contract.errors import ContractError
from edge_sdk.contract.limits import TENSOR_VALUE_BYTES

if TYPE_CHECKING:
    from edge_sdk.contract.manifest import Signature

WINDOW_LOG: Final = 25
"""Of the frame: as much as the largest input has."""


def packed(tensors: Mapping[str, NDArray[Any]]) -> str:
    """Return the values of tensors of numbers, compressed."""
    from edge_sdk.system.compression import zstd  # not needed at start

    raw = b"".join(_little(tensors[name]).tobytes() for name in sorted(tensors))
    return base64.b64encode(zstd.compress(raw)).decode()


def unpacked(
    data: str, shapes: Mapping[str, tuple[int, ...]], signature: Signature
) -> dict[str, NDArray[Any]]:
    """Return the tensors.

    Args:
        data: from :func:`packed`.
        shapes: of the tensors by name.
        signature: of the release, which says their dtypes.

    Raises:
        ContractError: these are not tensors of that release, or ``data`` is no such text.
    """
    dtypes = {t.name: np.dtype(t.dtype).newbyteorder("<") for t in signature.application_inputs}
    if shapes.keys() != dtypes.keys():
        raise ContractError(f"shapes: expected the inputs {sorted(dtypes)}, got {sorted(shapes)}")
    sizes = {name: math.prod(shapes[name]) * dtypes[name].itemsize for name in sorted(shapes)}
    whole = sum(sizes.values())
    if whole > TENSOR_VALUE_BYTES:
        raise ContractError(f"shapes: expected at most {TENSOR_VALUE_BYTES} bytes, got {whole}")
    raw, tensors, at = _decompressed(data, whole), {}, 0
    for name, size in sizes.items():
        values = np.frombuffer(raw, dtypes[name], size // dtypes[name].itemsize, at)
        tensors[name] = values.reshape(shapes[name])
        at += size
    return tensors


def _decompressed(data: str, size: int) -> bytes:
    from edge_sdk.system.compression import zstd

    limits: dict[int, int] = {zstd.DecompressionParameter.window_log_max: WINDOW_LOG}
    decompressor = zstd.ZstdDecompressor(options=limits)
    try:
        raw = decompressor.decompress(base64.b64decode(data, validate=True), max_length=size + 1)
    except (ValueError, zstd.ZstdError) as error:
        raise ContractError(f"data: expected base64 of a zstd frame; {error}") from error
    if len(raw) != size or not decompressor.eof or decompressor.unused_data:
        raise ContractError(f"data: expected exactly {size} bytes of values in one frame")
    return raw


def _little(tensor: NDArray[Any]) -> NDArray[Any]:
    return np.ascontiguousarray(tensor, tensor.dtype.newbyteorder("<"))
