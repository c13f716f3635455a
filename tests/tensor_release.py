"""A small release that takes pictures: a mean of pixels against a threshold, two classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from converters import convert
from edge_sdk.model.release import Release

SIDE = 16


def pictures(count: int, seed: int = 0) -> NDArray[np.uint8]:
    """Pictures [N, 16, 16, 3], dark or bright."""
    rng = np.random.default_rng(seed)
    bright = rng.integers(0, 2, count)[:, None, None, None] * 128
    made: NDArray[np.uint8] = (rng.integers(0, 120, (count, SIDE, SIDE, 3)) + bright).astype("u1")
    return made


def picture_release(folder: Path, model: str = "faces") -> Release:
    """Write a release that says 1 of a bright picture, and 0 of a dark one."""
    nodes = [
        helper.make_node("Cast", ["x"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["f", "axes"], ["mean"], keepdims=0),
        helper.make_node("Sub", ["mean", "middle"], ["off"]),
        helper.make_node("Div", ["off", "width"], ["z"]),
        helper.make_node("Neg", ["z"], ["minus"]),
        helper.make_node("Unsqueeze", ["minus", "one"], ["a"]),
        helper.make_node("Unsqueeze", ["z", "one"], ["b"]),
        helper.make_node("Concat", ["a", "b"], ["both"], axis=1),
        helper.make_node("Softmax", ["both"], ["probabilities"], axis=1),
    ]
    constants: dict[str, Any] = {
        "axes": np.array([1, 2, 3]), "one": np.array([1]),
        "middle": np.array(124.0, np.float32), "width": np.array(20.0, np.float32),
    }  # fmt: skip
    graph = helper.make_graph(
        nodes, "g",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, ["n", SIDE, SIDE, 3])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", 2])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )  # fmt: skip
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.save(made, folder / "m.onnx")
    x = pictures(200)
    y = (x.mean(axis=(1, 2, 3)) > 124).astype(int)
    return convert(
        folder / "m.onnx", x, y, name=model, out=folder / "picture-release",
        variants=("float32",), output="probabilities", classes=[0, 1],
    )  # fmt: skip
