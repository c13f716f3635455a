"""Small networks on pictures, trained in seconds, and the pictures and sounds to try them on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, zoom
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier

Floats = NDArray[np.float32]

SIDE: Final = 32
HIDDEN: Final = 64
UNSEEN: Final = 7
"""The digit that the network is not trained on: the new class of pictures."""


@dataclass(frozen=True)
class Pictures:
    """Pictures [N, 1, 32, 32] between 0 and 1, and their labels [N]."""

    x: Floats
    y: NDArray[np.int64]

    def draw(self, random: np.random.Generator, count: int) -> Pictures:
        """Return a random sample, each picture with its own light, contrast and noise."""
        chosen = random.integers(len(self.x), size=count)
        return Pictures(taken(random, self.x[chosen]), self.y[chosen])


def taken(random: np.random.Generator, x: Floats) -> Floats:
    """Return pictures as a camera takes them: light, contrast and noise differ a little."""
    shape = (len(x), 1, 1, 1)
    light, gain = random.normal(0.1, 0.02, shape), random.normal(0.7, 0.05, shape)
    seen = np.clip(light + gain * x + random.normal(0, 0.01, x.shape), 0, 1)
    return np.asarray(seen, np.float32)


def blurred(x: Floats, radius: float) -> Floats:
    """Return pictures out of focus: a Gaussian of so many pixels."""
    return np.asarray(gaussian_filter(x, (0, 0, radius, radius)), np.float32)


@cache
def digits() -> tuple[Pictures, Pictures, Pictures]:
    """Handwritten digits, enlarged: for training, held out, and those of the unseen class."""
    x, y = load_digits(return_X_y=True)
    small = (x / 16).reshape(-1, 1, 8, 8)
    large = np.clip(zoom(small, (1, 1, SIDE / 8, SIDE / 8), order=1), 0, 1).astype(np.float32)
    new, odd = y == UNSEEN, np.arange(len(y)) % 2 == 1
    parts = [Pictures(large[rows], y[rows]) for rows in (~new & ~odd, ~new & odd, new)]
    return parts[0], parts[1], parts[2]


@cache
def network() -> MLPClassifier:
    """A network of one hidden layer on the pictures' blocks of four by four pixels, trained."""
    train = digits()[0].draw(np.random.default_rng(1), 3_000)
    return MLPClassifier((HIDDEN,), max_iter=300, tol=1e-3, random_state=0).fit(
        pooled(train.x), train.y
    )


def pooled(x: Floats) -> Floats:
    """Means of blocks, [N, 64]."""
    blocks = x.reshape(len(x), 8, SIDE // 8, 8, SIDE // 8).mean(axis=(2, 4))
    return np.asarray(blocks.reshape(len(x), -1), np.float32)


def embedding(x: Floats) -> Floats:
    """The hidden layer of the network, [N, 64], as its ONNX file computes it."""
    model = network()
    return np.asarray(np.maximum(0, pooled(x) @ model.coefs_[0] + model.intercepts_[0]), np.float32)


def onnx_of_network() -> Any:
    """The network as a ModelProto: ``picture`` [N, 1, 32, 32] to ``probabilities`` [N, 9]."""
    from onnx import TensorProto, helper, numpy_helper

    model = network()
    arrays = {"w1": model.coefs_[0], "b1": model.intercepts_[0]}
    arrays |= {"w2": model.coefs_[1], "b2": model.intercepts_[1]}
    block = SIDE // 8
    nodes = [
        helper.make_node(
            "AveragePool", ["picture"], ["blocks"], kernel_shape=[block] * 2, strides=[block] * 2
        ),
        helper.make_node("Flatten", ["blocks"], ["flat"]),
        helper.make_node("Gemm", ["flat", "w1", "b1"], ["sums"]),
        helper.make_node("Relu", ["sums"], ["hidden"]),
        helper.make_node("Gemm", ["hidden", "w2", "b2"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1),
    ]
    classes = len(model.classes_)
    graph = helper.make_graph(
        nodes,
        "digits",
        [helper.make_tensor_value_info("picture", TensorProto.FLOAT, ["n", 1, SIDE, SIDE])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", classes])],
        [numpy_helper.from_array(a.astype(np.float32), name) for name, a in arrays.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def sounds(random: np.random.Generator, count: int, size: int = 1_024) -> Floats:
    """Recordings [N, size]: hums of a machine with their overtones in noise, loud by chance."""
    time = np.arange(size) / 8_000
    pitch = random.uniform(90, 130, (count, 1))
    tones = [np.sin(2 * np.pi * k * pitch * time + random.uniform(0, 6, (count, 1))) / k
             for k in (1, 2, 3, 5)]  # fmt: skip
    loud = 10 ** (random.normal(-20, 2, (count, 1)) / 20)
    noise = 0.3 * random.standard_normal((count, size))
    return np.asarray(loud * (np.sum(tones, axis=0) + noise), np.float32)
