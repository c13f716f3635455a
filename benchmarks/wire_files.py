"""Pairs of files as updates bring them: networks, quantised ones, trees, packs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edge_sdk.packs.writer import write_pack
from tests.edge.builders import make_release

WIDTH: Final = 512
HEAD: Final = 2
"""Tensors at the end that a head-only fine-tune changes."""


@dataclass(frozen=True)
class Pair:
    """A file that devices hold, and the one that they are to have."""

    name: str
    base: Path
    new: Path
    is_pack: bool = False


def trained_network(megabytes: float, kind: str = "", seed: int = 7) -> dict[str, NDArray[Any]]:
    """Return weights of square layers: as they were, or ``head``, ``full``, ``anew`` trained."""
    layers = max(2, round(megabytes * 1e6 / 4 / WIDTH / WIDTH))
    weights = _layers(layers, 1)
    change = _layers(layers, seed)
    if kind == "anew":
        return change
    names = {"": [], "head": list(weights)[-HEAD:], "full": list(weights)}[kind]
    # A fine-tune moves weights by a ten thousandth of their scale; a new head by a tenth.
    scale = np.float32(0.1 if kind == "head" else 1e-4)
    return {n: w + scale * change[n] if n in names else w for n, w in weights.items()}


def _layers(count: int, seed: int) -> dict[str, NDArray[Any]]:
    rng = np.random.default_rng(seed)
    weights = {}
    for i in range(count):
        columns = WIDTH if i < count - 1 else 64
        weights[f"w{i}"] = (rng.normal(size=(WIDTH, columns)) * 0.05).astype(np.float32)
        weights[f"b{i}"] = (rng.normal(size=columns) * 0.05).astype(np.float32)
    return weights


def network(weights: dict[str, NDArray[Any]], path: Path) -> Path:
    """Write a network with these weights."""
    nodes, x, count = [], "X", len(weights) // 2
    for i in range(count):
        nodes.append(helper.make_node("MatMul", [x, f"w{i}"], [f"m{i}"]))
        nodes.append(helper.make_node("Add", [f"m{i}", f"b{i}"], [f"a{i}"]))
        nodes.append(helper.make_node("Relu", [f"a{i}"], [f"r{i}"]))
        x = f"r{i}"
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, [None, WIDTH])],
        [helper.make_tensor_value_info(x, TensorProto.FLOAT, [None, 64])],
        [numpy_helper.from_array(w, name) for name, w in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.save(model, path)
    return path


def file_pairs(folder: Path, megabytes: float) -> Iterator[Pair]:
    """Yield every pair."""
    base = network(trained_network(megabytes), folder / "base.onnx")
    for name, kind in (
        ("head-only fine-tune", "head"),
        ("full fine-tune (noise 1e-4)", "full"),
        ("full retrain", "anew"),
    ):
        new = network(trained_network(megabytes, kind), folder / f"{kind}.onnx")
        yield Pair(name, base, new)
        yield Pair(f"{name}, int8", _quantised(base), _quantised(new))
    yield from _trees(folder)
    yield _packs(folder)


def _quantised(path: Path) -> Path:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    result = path.with_suffix(".int8.onnx")
    if not result.exists():
        quantize_dynamic(path, result, weight_type=QuantType.QInt8, per_channel=True)
    return result


def _trees(folder: Path) -> Iterator[Pair]:
    """A forest trained anew on a twentieth more rows, and boosted trees with a tenth more trees."""
    from skl2onnx import to_onnx
    from sklearn.datasets import make_classification
    from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier

    X, y = make_classification(4_200, 20, n_informative=12, random_state=1)
    X = X.astype(np.float32)

    def saved(model: Any, name: str) -> Path:
        path = folder / f"{name}.onnx"
        path.write_bytes(to_onnx(model, X[:1], options={"zipmap": False}).SerializeToString())
        return path

    forest = RandomForestClassifier(50, random_state=1, n_jobs=1)
    before = saved(forest.fit(X[:4_000], y[:4_000]), "forest-before")
    yield Pair("random forest retrained, 5% more rows", before, saved(forest.fit(X, y), "forest"))
    boosted = GradientBoostingClassifier(n_estimators=100, random_state=1, warm_start=True)
    before = saved(boosted.fit(X, y), "boosted-before")
    boosted.set_params(n_estimators=110)
    yield Pair("boosted trees, 10% more trees", before, saved(boosted.fit(X, y), "boosted"))


def _packs(folder: Path) -> Pair:
    """A pack of which one entry in twenty is another."""
    release = make_release(folder / "release", "pack")
    keys = np.random.default_rng(1).integers(0, 256, (100_000, 16), np.uint8)
    paths = []
    for changed in (0, 5_000):
        keys[:changed] = np.random.default_rng(2).integers(0, 256, (changed, 16), np.uint8)
        spread = keys[:, :12].astype(np.float32).reshape(len(keys), 3, 4).sum(axis=2)
        probabilities = (spread / spread.sum(axis=1, keepdims=True)).astype(np.float32)
        label = probabilities.argmax(axis=1).astype(np.int32)
        paths.append(folder / f"{changed}.pack")
        outputs = {"label": label, "probabilities": probabilities}
        write_pack(paths[-1], release, keys, outputs, answered_by="benchmark 1.0")
    before, after = paths
    return Pair("pack churn of 5%", before, after, is_pack=True)
