"""Large networks with random weights, of the size and depth of known ones, as ``.onnx`` files.

What a conversion costs goes by size, depth and the work of a row; what a network has learnt does
not matter. Nobody else's weights are needed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

CLASSES: Final = 1_000
OPSET: Final = 17


@dataclass
class _Builder:
    """A graph that grows node by node; each method returns the name of what it computes."""

    random: np.random.Generator
    nodes: list[Any] = field(default_factory=list)
    tensors: list[Any] = field(default_factory=list)

    def node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        from onnx import helper

        name = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def constant(self, values: NDArray[Any]) -> str:
        from onnx import numpy_helper

        name = f"w{len(self.tensors)}"
        self.tensors.append(numpy_helper.from_array(values.astype(np.float32), name))
        return name

    def weights(self, *shape: int, inputs: int) -> str:
        """Weights that keep the size of what goes through them."""
        values = self.random.standard_normal(shape, np.float32)
        values *= np.sqrt(2 / inputs)
        return self.constant(values)

    def convolution(self, x: str, before: int, after: int, size: int, stride: int = 1) -> str:
        weights = self.weights(after, before, size, size, inputs=before * size * size)
        bias = self.constant(np.zeros(after))
        return self.node(
            "Conv", x, weights, bias, kernel_shape=[size, size], strides=[stride, stride],
            pads=[size // 2] * 4,
        )  # fmt: skip

    def normalised(self, x: str, width: int, scale: float = 1.0) -> str:
        one = np.ones(width)
        names = [self.constant(each) for each in (scale * one, 0 * one, 0 * one, one)]
        return self.node("BatchNormalization", x, *names)

    def dense(self, x: str, before: int, after: int) -> str:
        weights = self.weights(after, before, inputs=before)
        return self.node("Gemm", x, weights, self.constant(np.zeros(after)), transB=1)

    def write(self, path: Path, logits: str, shape: tuple[int, ...]) -> Path:
        import onnx
        from onnx import TensorProto, helper

        self.nodes.append(helper.make_node("Softmax", [logits], ["answers"], axis=-1))
        kind = TensorProto.FLOAT
        inputs = [helper.make_tensor_value_info("x", kind, ["rows", *shape])]
        outputs = [helper.make_tensor_value_info("answers", kind, ["rows", CLASSES])]
        graph = helper.make_graph(self.nodes, "g", inputs, outputs, self.tensors)
        opsets = [helper.make_opsetid("", OPSET)]
        onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), str(path))
        return path


def _residual(b: _Builder) -> str:
    """Fifty layers as in a ResNet-50: blocks of three convolutions with a way around them."""
    x = b.node("Relu", b.normalised(b.convolution("x", 3, 64, 7, 2), 64))
    x = b.node("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    before = 64
    for stage, blocks in enumerate((3, 4, 6, 3)):
        width = 64 << stage
        for block in range(blocks):
            stride = 2 if stage and not block else 1
            x = _block(b, x, before, width, stride)
            before = 4 * width
    x = b.node("Flatten", b.node("GlobalAveragePool", x))
    return b.dense(x, before, CLASSES)


def _block(b: _Builder, x: str, before: int, width: int, stride: int) -> str:
    way = b.node("Relu", b.normalised(b.convolution(x, before, width, 1), width))
    way = b.node("Relu", b.normalised(b.convolution(way, width, width, 3, stride), width))
    # Small, as training leaves it: sixteen such blocks would else double the numbers each time.
    way = b.normalised(b.convolution(way, width, 4 * width, 1), 4 * width, 0.2)
    if stride > 1 or before != 4 * width:
        x = b.normalised(b.convolution(x, before, 4 * width, 1, stride), 4 * width)
    return b.node("Relu", b.node("Add", way, x))


def _plain(b: _Builder) -> str:
    """Thirteen convolutions and three dense layers as in a VGG16; the first of these is most."""
    x, before = "x", 3
    for width, count in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(count):
            x = b.node("Relu", b.convolution(x, before, width, 3))
            before = width
        x = b.node("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    x = b.node("Relu", b.dense(b.node("Flatten", x), 512 * 7 * 7, 4096))
    x = b.node("Relu", b.dense(x, 4096, 4096))
    return b.dense(x, 4096, CLASSES)


def _dense(b: _Builder) -> str:
    x = b.node("Relu", b.dense("x", 1024, 4096))
    x = b.node("Relu", b.dense(x, 4096, 4096))
    return b.dense(x, 4096, CLASSES)


def _small(b: _Builder) -> str:
    """Few weights that are used at many places: a row is much work for the size of the file."""
    x, before = "x", 3
    for width in (32, 64, 128, 192):
        x = b.node("Relu", b.normalised(b.convolution(x, before, width, 3), width))
        x = b.node("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
        before = width
    x = b.node("Relu", b.normalised(b.convolution(x, before, before, 3), before))
    return b.dense(b.node("Flatten", b.node("GlobalAveragePool", x)), before, CLASSES)


@dataclass(frozen=True)
class Large:
    """A network, the shape of a row, and how many rows it is checked on."""

    make: Callable[[_Builder], str]
    shape: tuple[int, ...]
    rows: int

    def write(self, path: Path) -> Path:
        """Write the network; the same each time."""
        builder = _Builder(np.random.default_rng(0))
        return builder.write(path, self.make(builder), self.shape)

    def samples(self) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return rows [N, *shape] and labels [N]."""
        random = np.random.default_rng(1)
        rows = random.standard_normal((self.rows, *self.shape), np.float32)
        return rows, random.integers(0, CLASSES, self.rows)


LARGE: Final[dict[str, Large]] = {
    "small CNN, 200 rows": Large(_small, (3, 96, 96), 200),
    "dense": Large(_dense, (1024,), 200),
    "like a ResNet-50": Large(_residual, (3, 224, 224), 100),
    "like a VGG16": Large(_plain, (3, 224, 224), 32),
}
