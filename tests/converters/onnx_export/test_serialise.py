"""Bytes of a file: the same model under short names."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from converters.onnx_export.serialise import to_bytes


def test_no_inner_name_becomes_that_of_another_where_an_output_has_a_short_one():
    # Seen where a layer of a file that has short names already was made an output.
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 2])
    out = helper.make_tensor_value_info("t1", TensorProto.FLOAT, [None, 2])
    weights = [numpy_helper.from_array(np.full(2, i, np.float32), f"t{i + 2}") for i in range(4)]
    nodes, last = [], "x"
    for i, each in enumerate(weights):
        result = "t1" if i == 3 else f"sum{i}"
        nodes.append(helper.make_node("Add", [last, each.name], [result]))
        last = result
    graph = helper.make_graph(nodes, "g", [x], [out], weights)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    for _ in range(2):
        raw = to_bytes(proto)
        (answer,) = onnxruntime.InferenceSession(raw).run(None, {"x": np.zeros((1, 2), np.float32)})
        assert answer.tolist() == [[6.0, 6.0]]
        proto = onnx.load_from_string(raw)
