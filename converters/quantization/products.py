"""Matrix products in one form: with the weights as [inputs, outputs] on the right."""

from __future__ import annotations

from typing import Any

import numpy as np

from converters.onnx_export.external_weights import values_of


def turned(proto: Any) -> Any:
    """Write products with transposed weights as products with the transpose; changes ``proto``.

    Exporters of PyTorch write every dense layer so. Weights that others use as they are stay.
    """
    from onnx import numpy_helper

    tensors = {tensor.name: tensor for tensor in proto.graph.initializer}
    users: dict[str, list[Any]] = {}
    for node in proto.graph.node:
        for name in node.input:
            users.setdefault(name, []).append(node)
    for name, nodes in users.items():
        tensor = tensors.get(name)
        if tensor is None or len(tensor.dims) != 2 or not all(_turns(n, name) for n in nodes):
            continue
        values = np.ascontiguousarray(values_of(tensor).T)
        tensor.CopyFrom(numpy_helper.from_array(values, name))
        for node in nodes:
            kept = [a for a in node.attribute if a.name != "transB"]
            del node.attribute[:]
            node.attribute.extend(kept)
    return proto


def _turns(node: Any, name: str) -> bool:
    is_right = node.op_type == "Gemm" and list(node.input).count(name) == 1
    return (
        is_right
        and node.input[1] == name
        and any(a.name == "transB" and a.i for a in node.attribute)
    )
