"""What watching pictures costs: its share of a call of a network of MobileNet's size.

The network is a stack of depthwise and pointwise convolutions on pictures of 224 by 224, width and
depth as in MobileNet's, its weights by chance: they change neither its time nor that of watching.
Both figures are processor time of one thread. *On the caller's path* is the copying of an excerpt;
*in all* adds the statistics and the embedding's directions, which another thread computes.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np

from converters import convert
from edge_sdk import EdgeDevice
from edge_sdk.bench.goals import Goal
from edge_sdk.bench.harness import Effort
from edge_sdk.bench.result import Findings, GoalRow
from edge_sdk.model.release import Release
from edge_sdk.model.session import Model
from edge_sdk.telemetry.tensor_watch import AT_ONCE, Excerpt, TensorWatch

SIDE: Final = 224
SAMPLES: Final = 40
BLOCKS: Final = (
    *((32, 64, 1), (64, 128, 2), (128, 128, 1), (128, 256, 2), (256, 256, 1), (256, 512, 2)),
    *[(512, 512, 1)] * 5,
    *((512, 1024, 2), (1024, 1024, 1)),
)
"""Channels in and out, and stride, of each depthwise and pointwise pair."""

CALLER: Final = Goal(5, "watching pictures, on the caller's path, share of a call", 0.02, "x")
WHOLE: Final = Goal(5, "watching pictures, in all, share of a call", 0.02, "x")
Tell = Callable[[str], None]


def measure(folder: Path, effort: Effort, tell: Tell) -> Findings:
    """Measure the share of watching; ``folder`` is for the release."""
    tell("converting a network of MobileNet's size")
    release = network(folder)
    calls = max(20, effort.loops * 20)
    random = np.random.default_rng(1)
    x = random.random((8, 3, SIDE, SIDE), np.float32)
    tell(f"{calls} calls, and as many excerpts")
    model, watch = Model.load(release), TensorWatch(release.profile(), release.manifest.signature)
    name = release.manifest.signature.inputs[0].name
    feeds = [{name: picture[None]} for picture in x]
    outputs = [model.run(feed) for feed in feeds]
    call = _median(lambda i: model.run(feeds[i % len(feeds)]), calls)
    taken: list[Excerpt] = []

    def take(i: int) -> None:
        taken.append(watch.excerpt(feeds[i % len(feeds)], outputs[i % len(feeds)], 0))

    copying = _median(take, calls)
    parts = [taken[i : i + AT_ONCE] for i in range(0, len(taken) - AT_ONCE + 1, AT_ONCE)]
    computing = _median(lambda i: watch.values(parts[i % len(parts)]), calls // 4) / AT_ONCE
    looked_at = _looked_at(release, x, calls)
    claims = (
        GoalRow.of(CALLER, copying / call),
        GoalRow.of(WHOLE, (copying + computing) / call),
    )
    facts = {
        "one call, ms": round(call * 1e3, 3),
        "an excerpt, µs": round(copying * 1e6, 2),
        "its statistics, µs": round(computing * 1e6, 2),
        "share of the calls that are looked at": round(looked_at, 3),
    }
    return Findings((), claims, facts)


def _median(work: Callable[[int], Any], times: int) -> float:
    """Median processor seconds of this thread."""
    seconds = []
    for i in range(times):
        started = time.thread_time()
        work(i)
        seconds.append(time.thread_time() - started)
    return statistics.median(seconds)


def _looked_at(release: Release, x: Any, calls: int) -> float:
    """Share of single calls of a device that its allowance lets it look at."""
    from edge_sdk.contract.messages import WindowReport

    with EdgeDevice.offline(release.folder) as device:
        for i in range(max(calls, 400)):
            device.predict(x[i % len(x)][None])
        report = next(body for body in device.reports() if isinstance(body, WindowReport))
    return report.observations / sum(report.predictions.values())


def network(folder: Path) -> Release:
    """Convert a network of MobileNet's size with random weights, its last layer's input watched."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    random = np.random.default_rng(0)
    nodes, weights = [], []

    def convolution(x: str, y: str, out: int, into: int, size: int, stride: int, group: int) -> str:
        shape = (out, into // group, size, size)
        scale = np.sqrt(2 / (shape[1] * size * size))
        w = (scale * random.standard_normal(shape)).astype(np.float32)
        weights.append(numpy_helper.from_array(w, f"{y}.w"))
        nodes.append(
            helper.make_node(
                "Conv", [x, f"{y}.w"], [f"{y}.sum"], strides=[stride] * 2, group=group,
                pads=[size // 2] * 4, kernel_shape=[size] * 2,
            )
        )  # fmt: skip
        nodes.append(helper.make_node("Relu", [f"{y}.sum"], [y]))
        return y

    at = convolution("picture", "stem", 32, 3, 3, 2, 1)
    for i, (into, out, stride) in enumerate(BLOCKS):
        at = convolution(at, f"deep{i}", into, into, 3, stride, into)
        at = convolution(at, f"point{i}", out, into, 1, 1, 1)
    nodes.append(helper.make_node("GlobalAveragePool", [at], ["pooled"]))
    nodes.append(helper.make_node("Flatten", ["pooled"], ["embedding"]))
    last = random.standard_normal((1024, 100)).astype(np.float32)
    weights.append(numpy_helper.from_array(last, "last"))
    nodes.append(helper.make_node("Gemm", ["embedding", "last"], ["scores"]))
    nodes.append(helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1))
    graph = helper.make_graph(
        nodes,
        "mobile",
        [helper.make_tensor_value_info("picture", TensorProto.FLOAT, ["n", 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", 100])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(model, folder / "mobile.onnx")
    return convert(
        folder / "mobile.onnx",
        random.random((SAMPLES, 3, SIDE, SIDE), np.float32),
        name="mobile",
        out=folder / "mobile",
        classes=[str(i) for i in range(100)],
        output="probabilities",
        variants=("float32",),
    )
