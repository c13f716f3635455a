"""Kinds of tensors: what an input that is no table holds, and where its channels are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from edge_sdk.contract.manifest import OutputSpec, Signature, TensorSpec
    from edge_sdk.contract.profile import TensorKind

Shape = tuple[int, ...]

PICTURE: Final = 8
"""Pixels that a picture has in each direction at least; what is smaller is any other tensor."""

PICTURE_CHANNELS: Final = (1, 3, 4)
SOUND: Final = 2_000
"""Samples from which on a vector is taken for a sound."""


def kind_of(dtype: str, item: Shape) -> TensorKind:
    """Guess what a tensor holds from its dtype and the shape of one sample."""
    if dtype == "string":
        return "text"
    whole = dtype.startswith(("int", "uint"))
    if len(item) == 3 and channel_axis(item) is not None:
        return "image"
    if len(item) == 2 and dtype == "uint8" and min(item) >= PICTURE:
        return "image"
    if len(item) == 1 and whole and dtype not in ("uint8", "int8"):
        return "tokens"
    length = item[-1] if item else 0
    if length >= SOUND and (len(item) == 1 or (len(item) == 2 and item[0] <= 2)):
        return "audio"
    return "series" if len(item) == 2 and not whole else "tensor"


def channel_axis(item: Shape) -> int | None:
    """Return the axis of a picture's channels, 0 or 2; ``None`` if the shape is none of one."""
    if len(item) == 3:
        for axis, sides in ((0, item[1:]), (2, item[:2])):
            if item[axis] in PICTURE_CHANNELS and min(sides) >= PICTURE:
                return axis
    return None


def fits_kind(kind: TensorKind, dtype: str, item: Shape) -> bool:
    """Return whether a sample of this dtype and shape can be summed up as ``kind``."""
    if (kind == "text") != (dtype == "string"):
        return False
    if kind == "image":
        return channel_axis(item) is not None or (len(item) == 2 and min(item) >= PICTURE)
    least = {"audio": 1, "tokens": 1, "series": 2}.get(kind, 0)
    most = {"audio": 2, "tokens": 1, "series": 2}.get(kind, len(item))
    return least <= len(item) <= most and all(item)


def row_axes(signature: Signature) -> dict[str, int]:
    """Return the axis of the rows of each tensor but the state; empty without a batch axis."""
    if not signature.batched:
        return {}
    state = {name for link in signature.state for name in (link.input, link.output)}
    specs: tuple[TensorSpec | OutputSpec, ...] = (*signature.inputs, *signature.outputs)
    return {spec.name: spec.batch for spec in specs if spec.name not in state}


def one_sample(array: NDArray[Any], row: int, axis: int | None) -> NDArray[Any]:
    """Return sample ``row`` of a tensor, or all of one that has no batch axis (less ones in front).

    Args:
        array: the tensor.
        row: index of the sample.
        axis: of the rows; ``None`` if there is none.
    """
    if axis is not None:
        return np.asarray(array[(slice(None),) * axis + (row,)])
    while array.ndim > 1 and array.shape[0] == 1:
        array = array[0]
    return array
