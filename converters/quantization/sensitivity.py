"""Order of the layers of a network by what int8 loses in each."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from converters.quantization.weights import copy_of
from edge_sdk.model.release import Feed

ROWS: Final = 4


def by_loss(plain: Any, quantized: Any, layers: list[Any], feeds: list[Feed]) -> list[str]:
    """Return names of layers, the one that loses most first.

    A layer's loss is what the error of its result, relative to the result, has grown beyond that
    of its input: an error that comes from layers before is not its own.

    Args:
        plain: the float32 model.
        quantized: the same with all layers in int8, its tensors under the same names.
        layers: nodes of ``plain``, with names.
        feeds: rows; a few are looked at.
    """
    names = sorted({name for node in layers for name in (node.input[0], *node.output)})
    gap = dict.fromkeys(names, 0.0)
    size = dict.fromkeys(names, 0.0)
    for feed in feeds[:ROWS]:
        expected, found = tensors_of(plain, names, feed), tensors_of(quantized, names, feed)
        for name in expected.keys() & found.keys():
            if expected[name].shape == found[name].shape:
                gap[name] += float(np.square(found[name] - expected[name]).sum(dtype=np.float64))
                size[name] += float(np.square(expected[name]).sum(dtype=np.float64))
    error = {name: float(np.sqrt(gap[name] / size[name])) if size[name] else 0.0 for name in names}
    loss = {node.name: error[node.output[0]] - error[node.input[0]] for node in layers}
    return sorted(loss, key=lambda name: -loss[name])


def tensors_of(proto: Any, names: list[str], feed: Feed) -> Feed:
    """Return the float32 tensors of a model for one feed, by name, as far as it has them."""
    import onnxruntime
    from onnx import TensorProto, helper

    copy = copy_of(proto)
    made = {output for node in copy.graph.node for output in node.output}
    types = {v.name: v.type.tensor_type.elem_type for v in copy.graph.value_info}
    outputs = {value.name for value in copy.graph.output}
    asked = [n for n in names if n in made and types.get(n, TensorProto.FLOAT) == TensorProto.FLOAT]
    copy.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
        for name in asked
        if name not in outputs
    )
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(
        copy.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return dict(zip(asked, session.run(asked, feed), strict=True)) if asked else {}
