"""Order of the layers of a network by what int8 loses in each."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from converters.onnx_export.copies import add_constants
from converters.onnx_export.external_weights import load_apart, loadable
from converters.quantization.watching import watching_session
from converters.quantization.weights import with_nodes
from edge_sdk.model.release import Feed

Array = NDArray[Any]

ROWS: Final = 4
PICKED: Final = "_picked"
NUMBERS: Final = 5_000
"""Numbers of a tensor that are looked at, evenly spread: all tensors of a row are more than a large
model."""


def by_loss(path: Path, quantized: Any, layers: list[Any], feeds: list[Feed]) -> list[str]:
    """Return names of layers, the one that loses most first.

    A layer's loss is what the error of its result, relative to the result, has grown beyond that
    of its input: an error that comes from layers before is not its own.

    Args:
        path: of the float32 model, as ``write_apart`` wrote it.
        quantized: the same with all layers in int8, its tensors under the same names.
        layers: nodes of the float32 model, with names.
        feeds: rows; a few are looked at.
    """
    before = load_apart(path)
    names = {name for node in layers for name in (node.input[0], *node.output)}
    steps = _steps(before, sorted(names))
    own = _tensors_of(before, steps, feeds[:ROWS])
    found = _tensors_of(quantized, steps, feeds[:ROWS])
    error = {name: _relative_error(own[name], found[name]) for name in own.keys() & found.keys()}
    loss = {
        node.name: error.get(node.output[0], 0.0) - error.get(node.input[0], 0.0) for node in layers
    }
    return sorted(loss, key=lambda name: -loss[name])


def _relative_error(own: list[Array], found: list[Array]) -> float:
    gap = size = 0.0
    for expected, received in zip(own, found, strict=True):
        if expected.shape != received.shape:
            return 0.0
        gap += float(np.square(received - expected).sum(dtype=np.float64))
        size += float(np.square(expected).sum(dtype=np.float64))
    return float(np.sqrt(gap / size)) if size else 0.0


def _steps(proto: Any, names: list[str]) -> dict[str, int]:
    """Return by tensor how far apart the numbers are that are looked at."""
    values = (*proto.graph.value_info, *proto.graph.input, *proto.graph.output)
    shapes = {value.name: value.type.tensor_type.shape.dim for value in values}
    sizes = {n: math.prod(max(1, dim.dim_value) for dim in shapes.get(n, ())) for n in names}
    return {name: max(1, size // NUMBERS) for name, size in sizes.items()}


def _tensors_of(proto: Any, steps: dict[str, int], feeds: list[Feed]) -> dict[str, list[Array]]:
    """Return some numbers of the tensors of a model for each feed, by name, as far as it computes
    them.

    Args:
        proto: the model; what picks the numbers is added to it.
        steps: by name of the tensor, how far apart the numbers are.
        feeds: rows.
    """
    made = {output for node in proto.graph.node for output in node.output}
    asked = [name for name in steps if name in made]
    if not asked:
        return {}
    _pick(proto, {name: steps[name] for name in asked})
    with loadable(proto) as source:
        session = watching_session(source)
    picked = [f"{name}{PICKED}" for name in asked]
    answers = [session.run(picked, feed) for feed in feeds]
    return {name: [each[i] for each in answers] for i, name in enumerate(asked)}


def _pick(proto: Any, steps: dict[str, int]) -> None:
    """Make some numbers of each tensor an output: all tensors of a row are more than the model."""
    from onnx import TensorProto, helper

    flat = {"flat": [-1], "zero": [0], "end": [sys.maxsize]}
    constants = {f"{word}{PICKED}": values for word, values in flat.items()}
    constants |= {f"{step}{PICKED}": [step] for step in steps.values()}
    add_constants(proto, {name: np.array(v, np.int64) for name, v in constants.items()})
    nodes = []
    for node in proto.graph.node:
        nodes.append(node)
        # Right behind it, so that the tensor is not kept until the end.
        for name in [name for name in node.output if name in steps]:
            row, result = f"{name}{PICKED}_row", f"{name}{PICKED}"
            nodes.append(helper.make_node("Reshape", [name, f"flat{PICKED}"], [row]))
            where = [f"{word}{PICKED}" for word in ("zero", "end", "zero", steps[name])]
            nodes.append(helper.make_node("Slice", [row, *where], [result]))
            proto.graph.output.append(
                helper.make_tensor_value_info(result, TensorProto.FLOAT, [None])
            )
    with_nodes(proto, nodes)
