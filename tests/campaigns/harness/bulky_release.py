"""A release that is large and does not compress: what travels is what it weighs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from edge_sdk.contract.manifest import CERTIFICATE, GOLDEN, MODEL, PROFILE
from edge_sdk.model.release import Release, write_release
from tests.edge.builders import make_release


def make_bulky(
    folder: Path, model: str, version: str, seed: int, size: int, noise: int | None = None
) -> Release:
    """Write a release whose model carries ``size`` bytes of noise; answers depend on the seed.

    Args:
        folder: where it is made.
        model: name of the line.
        version: of the release.
        seed: of its answers.
        size: bytes of noise.
        noise: seed of the noise; by default that of the answers.
    """
    plain = make_release(folder / "plain", model, version, seed)
    files = {name: (plain.folder / name).read_bytes() for name in (PROFILE, GOLDEN, CERTIFICATE)}
    files[MODEL] = _with_noise(plain.folder / MODEL, seed if noise is None else noise, size)
    return write_release(folder / f"{model}-{version}-bulky", plain.manifest, files)


def _with_noise(path: Path, seed: int, size: int) -> bytes:
    """Return the model with a table that has no effect: one entry, times nothing, is added."""
    proto = onnx.load(path)
    noise = np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)
    constants = {"noise": noise, "first": np.array(0, np.int64), "none": np.array(0, np.float32)}
    graph = proto.graph
    graph.initializer.extend(numpy_helper.from_array(a, n) for n, a in constants.items())
    scores = graph.node[0].output[0]
    for node in list(graph.node)[1:]:
        for i, name in enumerate(node.input):
            node.input[i] = "noisy" if name == scores else name
    added = [
        onnx.helper.make_node("Gather", ["noise", "first"], ["entry"]),
        onnx.helper.make_node("Cast", ["entry"], ["number"], to=onnx.TensorProto.FLOAT),
        onnx.helper.make_node("Mul", ["number", "none"], ["nothing"]),
        onnx.helper.make_node("Add", [scores, "nothing"], ["noisy"]),
    ]
    nodes = [graph.node[0], *added, *list(graph.node)[1:]]
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.checker.check_model(proto)
    return bytes(proto.SerializeToString())
