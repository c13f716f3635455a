"""Networks whose weights are known: trained further in the head, everywhere, or anew."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

WIDTH = 128
LAYERS = 6

Weights = list[NDArray[Any]]


def weights(seed: int = 0, dtype: Any = np.float32) -> Weights:
    rng = np.random.default_rng(seed)
    shapes = [(WIDTH, WIDTH), (WIDTH,)] * LAYERS + [(WIDTH, 10), (10,)]
    return [(rng.normal(size=shape) * 0.05).astype(dtype) for shape in shapes]


def head_only(before: Weights) -> Weights:
    rng = np.random.default_rng(9)
    head = [w + (rng.normal(size=w.shape) * 0.01).astype(w.dtype) for w in before[-4:]]
    return [*before[:-4], *head]


def everywhere(before: Weights, scale: float = 1e-4) -> Weights:
    rng = np.random.default_rng(9)
    return [w + (rng.normal(size=w.shape) * w.std() * scale).astype(w.dtype) for w in before]


def network(values: Weights, path: Path) -> Path:
    """An ONNX file; tensors are named by their number, as exporters do."""
    nodes, x = [], "X"
    for i in range(0, len(values), 2):
        nodes.append(helper.make_node("MatMul", [x, f"w{i}"], [f"m{i}"]))
        nodes.append(helper.make_node("Add", [f"m{i}", f"w{i + 1}"], [f"a{i}"]))
        nodes.append(helper.make_node("Relu", [f"a{i}"], [f"r{i}"]))
        x = f"r{i}"
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, [None, WIDTH])],
        [helper.make_tensor_value_info(x, TensorProto.FLOAT, [None, len(values[-1])])],
        [numpy_helper.from_array(w, f"w{i}") for i, w in enumerate(values)],
    )
    onnx.save(helper.make_model(graph), path)
    return path
