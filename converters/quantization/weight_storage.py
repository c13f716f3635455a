"""Weights kept small in the file and unfolded when it is loaded: float speed, fewer bytes.

onnxruntime folds what depends on constants alone, so these nodes are gone before the first row.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from converters.onnx_export.copies import add_constants, copy_of
from converters.onnx_export.external_weights import values_of
from converters.quantization.weights import Axes, matrices, weights, with_nodes

FLOAT: Final = 1
BLOCK: Final = 32
"""Rows of a column that share a scale in four bits."""

LARGE: Final = 1_024
"""From so many weights on a matrix is kept in eight bits."""

LARGEST_INT8: Final = 127
LARGEST_INT4: Final = 7


def int8_storage(proto: Any) -> Any | None:
    """Return a copy with int8 weights and a scale a column; ``None`` if no matrix is worth it.

    Small matrices, mostly the last ones, next to the answer, stay in float16: they would save
    little and cost much.
    """
    sizes = {tensor.name: int(np.prod(tensor.dims)) for tensor in proto.graph.initializer}
    formats = {name: "int8" if sizes[name] >= LARGE else "float16" for name in weights(proto)}
    return stored(proto, formats) if "int8" in formats.values() else None


def float16_storage(proto: Any) -> Any | None:
    """Return a copy with float16 weights; ``None`` if no matrix is worth it."""
    return stored(proto, dict.fromkeys(weights(proto), "float16"))


def int4_storage(proto: Any) -> Any | None:
    """Return a copy with four-bit weights, one scale for 32; ``None`` if no matrix is worth it."""
    return stored(proto, {tensor.name: "int4" for tensor in matrices(proto)})


def stored(proto: Any, formats: dict[str, str]) -> Any | None:
    """Return a copy with matrices in smaller formats; ``None`` without any.

    Args:
        proto: the float32 model.
        formats: ``float16``, ``int8`` or ``int4`` by name of the matrix; all others stay.
    """
    if not formats:
        return None

    copy = copy_of(proto, without=formats)
    nodes: list[Any] = []
    axes = weights(proto)
    for tensor in [tensor for tensor in proto.graph.initializer if tensor.name in formats]:
        values = values_of(tensor)
        store = _FORMATS[formats[tensor.name]]
        constants, unfold = store(tensor.name, values, axes[tensor.name])
        add_constants(copy, constants)
        nodes += unfold
    # In front: a graph lists its nodes in an order in which they can be computed.
    return with_nodes(copy, [*nodes, *copy.graph.node])


Arrays = dict[str, NDArray[Any]]
Stored = tuple[Arrays, list[Any]]
"""Constants in the file by name, and nodes that make the matrix of them."""


def _float16(name: str, values: NDArray[np.float32], axes: Axes) -> Stored:
    from onnx import helper

    with np.errstate(over="ignore"):
        half = values.astype(np.float16)
    np.clip(half, -65_504, 65_504, out=half)  # the largest number of float16
    node = helper.make_node("Cast", [f"{name}_half"], [name], to=FLOAT)
    return {f"{name}_half": half}, [node]


def _int8(name: str, values: NDArray[np.float32], axes: Axes) -> Stored:
    """One scale for each output, wherever the axes of outputs are."""
    from onnx import helper

    others = [axis for axis in range(values.ndim) if axis not in axes]
    order = [*others, *axes]
    turned = values.transpose(order)
    count = int(np.prod([values.shape[axis] for axis in axes]))
    steps, scale = quantize_to_half(turned.reshape(-1, count))
    quantized = np.ascontiguousarray(steps.reshape(turned.shape).transpose(np.argsort(order)))
    shape = [size if axis in axes else 1 for axis, size in enumerate(values.shape)]
    constants: Arrays = {f"{name}_int8": quantized, f"{name}_half": scale.reshape(shape)}
    return constants, [
        helper.make_node("Cast", [f"{name}_int8"], [f"{name}_cast"], to=FLOAT),
        helper.make_node("Cast", [f"{name}_half"], [f"{name}_scale"], to=FLOAT),
        helper.make_node("Mul", [f"{name}_cast", f"{name}_scale"], [name]),
    ]


def _int4(name: str, values: NDArray[np.float32], axes: Axes) -> Stored:
    """Two weights in a byte: a row in the low four bits, the next one in the high four."""
    from onnx import helper

    packed, scale = quantize_int4(values)
    blocks, columns = scale.shape[0], values.shape[1]
    arrays: Arrays = {
        "packed": packed,
        "scale": scale[:, None],
        "sixteen": np.array(16, np.uint8),
        "shift": np.array(4, np.uint8),
        "middle": np.array(8, np.float32),
        "rows": np.array([-1, 1, columns], np.int64),
        "shape": np.array([blocks, BLOCK, columns], np.int64),
        "flat": np.array([-1, columns], np.int64),
        "from": np.array([0], np.int64),
        "until": np.array([len(values)], np.int64),
    }
    t = {word: f"{name}_{word}" for word in (*arrays, *_STEPS)}
    nodes = [
        # Not BitwiseAnd, which is of operator set 18; these are of 11.
        helper.make_node("Mod", [t["packed"], t["sixteen"]], [t["low"]]),
        helper.make_node("BitShift", [t["packed"], t["shift"]], [t["high"]], direction="RIGHT"),
        helper.make_node("Reshape", [t["low"], t["rows"]], [t["even"]]),
        helper.make_node("Reshape", [t["high"], t["rows"]], [t["odd"]]),
        helper.make_node("Concat", [t["even"], t["odd"]], [t["both"]], axis=1),
        helper.make_node("Reshape", [t["both"], t["shape"]], [t["blocks"]]),
        helper.make_node("Cast", [t["blocks"]], [t["cast"]], to=FLOAT),
        helper.make_node("Sub", [t["cast"], t["middle"]], [t["signed"]]),
        helper.make_node("Mul", [t["signed"], t["scale"]], [t["scaled"]]),
        helper.make_node("Reshape", [t["scaled"], t["flat"]], [t["padded"]]),
        helper.make_node("Slice", [t["padded"], t["from"], t["until"]], [name]),
    ]
    return {t[word]: array for word, array in arrays.items()}, nodes


_STEPS: Final = (
    "low",
    "high",
    "even",
    "odd",
    "both",
    "blocks",
    "cast",
    "signed",
    "scaled",
    "padded",
)
_FORMATS: Final = {"float16": _float16, "int8": _int8, "int4": _int4}


def quantize(
    weights: NDArray[np.float32], largest: int
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Return integers in ``-largest..largest`` [rows, columns] and scales [columns].

    Their product is ``weights``, rounded.
    """
    scale = _scale_of(weights, largest)
    return _steps(weights, scale, largest), scale


def _scale_of(weights: NDArray[np.float32], largest: int) -> NDArray[np.float32]:
    # A column of zeros would have the scale 0; the smallest normal number divides as well.
    tiny = np.finfo(np.float32).tiny
    # By both ends: the absolute values would be the whole matrix once more.
    most = np.maximum(weights.max(axis=0), -weights.min(axis=0))
    scale: NDArray[np.float32] = np.maximum(most, tiny * largest) / largest
    return scale.astype(np.float32)


def _steps(
    weights: NDArray[np.float32], scale: NDArray[np.float32], largest: int
) -> NDArray[np.int8]:
    steps = weights / scale
    np.round(steps, out=steps)
    np.clip(steps, -largest, largest, out=steps)
    return steps.astype(np.int8)


def quantize_to_half(
    weights: NDArray[np.float32], largest: int = LARGEST_INT8
) -> tuple[NDArray[np.int8], NDArray[np.float16]]:
    """Return eight-bit integers and scales as :func:`quantize`, with scales that float16 holds."""
    exact = _scale_of(weights, largest)
    half = np.finfo(np.float16)
    # A scale that float16 rounds down would push the largest weight out of range: one step up.
    scale = np.clip(exact * (1 + 2**-10), half.tiny, half.max).astype(np.float16)
    return _steps(weights, scale.astype(np.float32), largest), scale


def quantize_int4(
    weights: NDArray[np.float32],
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Return pairs of rows in bytes [blocks * 16, columns], and scales [blocks, columns]."""
    rows, columns = weights.shape
    blocks = -(-rows // BLOCK)
    padded = np.zeros((blocks * BLOCK, columns), np.float32)
    padded[:rows] = weights
    parts = padded.reshape(blocks, BLOCK, columns)
    tiny = np.finfo(np.float32).tiny
    largest = np.maximum(np.abs(parts).max(axis=1), tiny * LARGEST_INT4)
    scale = (largest / LARGEST_INT4).astype(np.float32)
    steps = np.clip(np.round(parts / scale[:, None]), -LARGEST_INT4, LARGEST_INT4) + 8
    nibbles = steps.reshape(-1, columns).astype(np.uint8)
    return nibbles[0::2] | (nibbles[1::2] << 4), scale  # even rows in the low four bits
