"""Order of the layers of a network by what int8 loses in each."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from converters.onnx_export.outside import load_apart, loadable
from edge_sdk.model.release import Feed

Array = NDArray[Any]

ROWS: Final = 4
NUMBERS: Final = 20_000
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
    names = sorted({name for node in layers for name in (node.input[0], *node.output)})
    own = _tensors_of(load_apart(path), names, feeds[:ROWS])
    found = _tensors_of(quantized, names, feeds[:ROWS])
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


def _some(tensor: Array) -> Array:
    """Return a copy of a few numbers: a view would keep the whole tensor."""
    return tensor.ravel()[:: max(1, tensor.size // NUMBERS)].copy()


def _tensors_of(proto: Any, names: list[str], feeds: list[Feed]) -> dict[str, list[Array]]:
    """Return some numbers of the tensors of a model for each feed, by name, as far as it computes
    them.
    """
    import onnxruntime
    from onnx import TensorProto, helper

    made = {output for node in proto.graph.node for output in node.output}
    outputs = {value.name for value in proto.graph.output}
    asked = [name for name in names if name in made]
    proto.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
        for name in asked
        if name not in outputs
    )
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    with loadable(proto) as source:
        session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    answers = [list(map(_some, session.run(asked, feed))) for feed in feeds] if asked else []
    return {name: [each[i] for each in answers] for i, name in enumerate(asked)}
