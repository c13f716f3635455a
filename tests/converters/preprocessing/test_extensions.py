"""Files with operators of onnxruntime-extensions: served where it is there, else refused."""

from __future__ import annotations

import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from converters import ConversionError, convert
from edge_sdk import EdgeDevice

CONTRIB = "ai.onnx.contrib"


@pytest.fixture
def upper(tmp_path):
    """Texts [N] in capitals."""
    values = [
        helper.make_tensor_value_info("text", TensorProto.STRING, ["n"]),
        helper.make_tensor_value_info("upper", TensorProto.STRING, ["n"]),
    ]
    node = helper.make_node("StringUpper", ["text"], ["upper"], domain=CONTRIB)
    graph = helper.make_graph([node], "g", values[:1], values[1:])
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid(CONTRIB, 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), tmp_path / "m.onnx")
    return tmp_path / "m.onnx"


@pytest.mark.torch
def test_a_file_with_their_operators_is_served(upper, tmp_path):
    pytest.importorskip("onnxruntime_extensions", reason="needs the extra [extensions]")
    texts = np.array(["one", "two", "three"], object)
    convert(upper, {"text": texts}, name="m", out=tmp_path / "r")
    with EdgeDevice.offline(tmp_path / "r") as device:
        p = device.predict({"text": np.array(["four"], object)})
    assert p.outputs["upper"] == "FOUR"


def test_where_they_are_missing_the_error_says_what_to_install(upper, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime_extensions", None)
    with pytest.raises(ConversionError, match=r"edge-deployment-sdk\[extensions\]"):
        convert(upper, {"text": np.array(["one"], object)}, name="m", out=tmp_path / "r")
    assert not (tmp_path / "r").exists()
