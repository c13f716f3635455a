"""Networks as a device serves them, monitored, beside their prebound call.

A stack of convolutions of 5 MB on a small picture and a transformer of 20 MB on a short sequence;
their weights are by chance, which changes no time. Both get one input at a time. The device checks
it, runs the network, names the answer and counts it with statistics of the tensor; the peer runs
with one thread on buffers that were bound and filled beforehand, and reads nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from converters import convert
from edge_sdk import EdgeDevice
from edge_sdk.bench.goals import Goal
from edge_sdk.bench.harness import Effort, calls_in, interleave
from edge_sdk.bench.result import LIMIT, OURS, Findings, GoalRow
from edge_sdk.bench.subject import Subject
from edge_sdk.model.release import Release

SERVED: Final = Goal(2, "one input of a network, monitored, against prebound IOBinding", 1.03, "x")
CLASSES: Final = 10
SAMPLES: Final = 40
SIDE: Final = 64
CHANNELS: Final = (32, 64, 128, 256, 384)
"""Of the pictures behind each convolution; every other one halves their sides."""

STEPS, WIDTH, HEADS, LAYERS = 48, 256, 4, 6
Tell = Callable[[str], None]
Shape = tuple[int, ...]


def measure(folder: Path, effort: Effort, tell: Tell) -> Findings:
    """Measure both; ``folder`` is for the releases."""
    folder.mkdir(parents=True, exist_ok=True)
    found = Findings()
    for name, make in NETWORKS.items():
        tell(f"{name}: converting")
        release = make(folder)
        tell(f"{name}: one input at a time")
        found += _one(name, release, folder, effort)
    return found


def _one(name: str, release: Release, folder: Path, effort: Effort) -> Findings:
    place = folder / f"{release.manifest.model}-bench"
    place.mkdir()
    subject = Subject.prepare(release.folder, place, EdgeDevice.offline, effort.pack_entries)
    limit = subject.limit()
    assert limit is not None, "tensors of numbers can be bound"
    with subject.device() as device:
        candidates = [subject.ours(device), limit]
        calls = calls_in(effort.turn_seconds, candidates)
        rounds = interleave(name, candidates, effort.rounds, calls)
    size = release.model_path.stat().st_size / 1e6
    claims = (GoalRow.of(SERVED, rounds.ratio(OURS, LIMIT), name),)
    return Findings(rounds.timings, claims, {f"{name}: the file, MB": round(size, 2)})


@dataclass
class Graph:
    """Nodes and weights as they are added; each method returns the name of what it computes."""

    nodes: list[Any] = field(default_factory=list)
    weights: list[Any] = field(default_factory=list)
    random: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Add a node."""
        name = f"{operator}{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], **attributes))
        return name

    def constant(self, values: NDArray[Any]) -> str:
        """Add a tensor."""
        name = f"constant{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(values, name))
        return name

    def drawn(self, *shape: int) -> str:
        """Add weights by chance, whose sums stay about as large as what they weigh."""
        scale = np.sqrt(1 / np.prod(shape[1:])) if len(shape) > 2 else np.sqrt(1 / shape[0])
        return self.constant((scale * self.random.standard_normal(shape)).astype(np.float32))

    def linear(self, x: str, into: int, out: int) -> str:
        """Add a layer with its offsets."""
        return self.add("Add", self.add("MatMul", x, self.drawn(into, out)), self.drawn(out))

    def normalized(self, x: str, width: int) -> str:
        """Add a layer normalization."""
        ones, zeros = np.ones(width, np.float32), np.zeros(width, np.float32)
        return self.add("LayerNormalization", x, self.constant(ones), self.constant(zeros))

    def released(self, name: str, folder: Path, scores: str, shape: Shape) -> Release:
        """Convert it, of inputs of ``shape`` [each], with a softmax of ``scores`` [n, classes]."""
        self.nodes.append(helper.make_node("Softmax", [scores], ["probabilities"], axis=1))
        value = helper.make_tensor_value_info
        graph = helper.make_graph(
            self.nodes, name, [value("x", TensorProto.FLOAT, ["n", *shape])],
            [value("probabilities", TensorProto.FLOAT, ["n", CLASSES])], self.weights,
        )  # fmt: skip
        opset = [helper.make_opsetid("", 18)]
        path = folder / f"{name}.onnx"
        onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=10), path)
        rows = self.random.standard_normal((SAMPLES, *shape)).astype(np.float32)
        classes = [str(i) for i in range(CLASSES)]
        return convert(
            path, rows, name=name, out=folder / name, classes=classes, output="probabilities",
            variants=("float32",),
        )  # fmt: skip


def convolutions(folder: Path) -> Release:
    """Return a convolutional network of 5 MB on pictures [3, 64, 64]."""
    graph, x, before = Graph(), "x", 3
    for i, after in enumerate(CHANNELS):
        stride = 2 if i % 2 == 0 else 1
        weights = graph.drawn(after, before, 3, 3)
        x = graph.add("Conv", x, weights, strides=[stride] * 2, pads=[1] * 4)
        x, before = graph.add("Relu", x), after
    x = graph.add("Flatten", graph.add("GlobalAveragePool", x))
    return graph.released("cnn", folder, graph.linear(x, before, CLASSES), (3, SIDE, SIDE))


def transformer(folder: Path) -> Release:
    """Return a transformer's encoder of 20 MB on sequences [48 steps, 256]."""
    graph, x = Graph(), "x"
    for _ in range(LAYERS):
        x = graph.add("Add", x, _attention(graph, graph.normalized(x, WIDTH)))
        inner = graph.linear(graph.normalized(x, WIDTH), WIDTH, 4 * WIDTH)
        x = graph.add("Add", x, graph.linear(graph.add("Relu", inner), 4 * WIDTH, WIDTH))
    axes = graph.constant(np.array([1], np.int64))
    pooled = graph.add("ReduceMean", graph.normalized(x, WIDTH), axes, keepdims=0)
    return graph.released(
        "transformer", folder, graph.linear(pooled, WIDTH, CLASSES), (STEPS, WIDTH)
    )


def _attention(graph: Graph, x: str) -> str:
    """Add the attention of several heads to themselves, [n, steps, width] as it comes."""
    split = graph.constant(np.array([0, STEPS, HEADS, WIDTH // HEADS], np.int64))
    joined = graph.constant(np.array([0, STEPS, WIDTH], np.int64))

    def heads(*order: int) -> str:
        projected = graph.add("Reshape", graph.linear(x, WIDTH, WIDTH), split)
        return graph.add("Transpose", projected, perm=order)

    scale = graph.constant(np.array(1 / np.sqrt(WIDTH / HEADS), np.float32))
    alike = graph.add("MatMul", heads(0, 2, 1, 3), heads(0, 2, 3, 1))
    shares = graph.add("Softmax", graph.add("Mul", alike, scale), axis=-1)
    mixed = graph.add("MatMul", shares, heads(0, 2, 1, 3))
    together = graph.add("Reshape", graph.add("Transpose", mixed, perm=[0, 2, 1, 3]), joined)
    return graph.linear(together, WIDTH, WIDTH)


NETWORKS: Final[dict[str, Callable[[Path], Release]]] = {
    "CNN of 5 MB": convolutions,
    "transformer of 20 MB": transformer,
}
