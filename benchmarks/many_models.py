"""Ten models on one device, against ten processes that each serve one with onnxruntime alone.

Memory is resident memory, as a supervisor or a container's limit counts it. Beside it stands the
proportional set size, in which a page that several processes share, such as onnxruntime's own code,
is counted once in all of them: ten processes on one machine share what ten containers do not. Both
sides answer the same input with every model before it is read. With *room for three* the device has
`memory_bytes` for three of the ten. *Back* is the first answer of a model that was unloaded: its
file is read, its checksum compared, and a session made.
"""

from __future__ import annotations

import itertools
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from benchmarks.models import release_of
from converters import convert
from edge_sdk import EdgeDevice
from edge_sdk.bench.goals import Goal
from edge_sdk.bench.harness import Effort
from edge_sdk.bench.result import Findings, GoalRow
from edge_sdk.errors import BenchError
from edge_sdk.model.release import Release, write_release

COUNT: Final = 10
SIDE: Final = 64
CHANNELS: Final = (3, 32, 64, 128, 256, 256, 128)
"""Of a stack of convolutions with 5 MB of weights, each of which halves its picture."""

MEMORY: Final = Goal(
    9, f"resident memory of {COUNT} models, against {COUNT} bare processes", 0.25, "x"
)
BACK: Final = Goal(9, "an unloaded network of 5 MB is back with its answer in", 50.0, "ms")
SMALL: Final = "MLP (64, 32)"
LARGE: Final = "network of 5 MB"
WHO: Final = {
    "ours": f"one device of {COUNT}",
    "three": f"one device of {COUNT} with room for three",
    "bare": f"{COUNT} bare processes",
}


class Held(NamedTuple):
    """Memory of processes, MiB."""

    resident: float
    proportional: float


Tell = Callable[[str], None]

_WAIT: Final = """
sys.stdout.write("ready\\n"); sys.stdout.flush(); sys.stdin.readline()
"""
_BARE: Final = f"""
import sys, numpy, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
given = session.get_inputs()[0]
shape = [size if isinstance(size, int) else 1 for size in given.shape]
for _ in range(100):
    session.run(None, {{given.name: numpy.zeros(shape, "float32")}})
{_WAIT}"""
_OURS: Final = f"""
import json, sys, numpy
from edge_sdk import EdgeDevice
from edge_sdk.config import DeviceConfig
limit, folders, shape = int(sys.argv[1]), sys.argv[2:-1], json.loads(sys.argv[-1])
device = EdgeDevice.offline(folders, config=DeviceConfig(memory_bytes=limit))
for name in device.models:
    for _ in range(100):
        device.model(name).predict(numpy.zeros(shape, "float32"))
{_WAIT}"""


def measure(folder: Path, effort: Effort, tell: Tell) -> Findings:
    """Measure memory and the way back; ``folder`` is for the releases."""
    folder.mkdir(parents=True, exist_ok=True)
    tell("converting")
    kinds = {
        SMALL: (_copies(release_of("mlp-64-32", folder), folder / "small"), [30]),
        LARGE: (_copies(network(folder), folder / "large"), [1, 3, SIDE, SIDE]),
    }
    claims, facts = [], {}
    for kind, (releases, shape) in kinds.items():
        tell(f"memory, {kind}")
        found = _memory(releases, shape, max(1, effort.processes))
        claims.append(GoalRow.of(MEMORY, found["ours"].resident / found["bare"].resident, kind))
        few = f"{kind}, room for three"
        claims.append(GoalRow.of(MEMORY, found["three"].resident / found["bare"].resident, few))
        for name, held in found.items():
            facts[f"{kind}, {WHO[name]}, resident, MiB"] = round(held.resident, 1)
            facts[f"{kind}, {WHO[name]}, proportional, MiB"] = round(held.proportional, 1)
    tell("models that come back")
    back, load = _back(kinds[LARGE][0][0], max(20, effort.loops))
    claims.append(GoalRow.of(BACK, back * 1e3))
    facts["session of onnxruntime alone from the same file, ms"] = round(load * 1e3, 2)
    return Findings((), tuple(claims), facts)


def _memory(releases: Sequence[Release], shape: list[int], rounds: int) -> dict[str, Held]:
    """Median memory of one device with all of the models, and of a bare process for each."""
    folders = [str(release.folder) for release in releases]
    room = 3 * max(release.model_bytes for release in releases)
    commands = {
        "ours": [[_OURS, "0", *folders, json.dumps(shape)]],
        "three": [[_OURS, str(room), *folders, json.dumps(shape)]],
        "bare": [[_BARE, str(release.model_path)] for release in releases],
    }
    taken = [{name: _held(each) for name, each in commands.items()} for _ in range(rounds)]
    return {
        name: Held(*map(statistics.median, zip(*(each[name] for each in taken), strict=True)))
        for name in commands
    }


def _held(commands: Sequence[Sequence[str]]) -> Held:
    """Return the memory of processes that all live at once."""
    environment: Mapping[str, str] = {
        **os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }  # fmt: skip
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for command in commands
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            if process.stdout.readline() != "ready\n":
                raise BenchError("a process that serves failed; see its error above")
        time.sleep(0.5)  # a device's background thread folds what it was asked
        parts = [_memory_of(process.pid) for process in processes]
        return Held(*map(sum, zip(*parts, strict=True)))
    finally:
        for process in processes:
            process.communicate("\n")


def _memory_of(pid: int) -> Held:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    figures = {line.split(":")[0]: line.split()[1] for line in lines[1:]}
    return Held(int(figures["Rss"]) / 1024, int(figures["Pss"]) / 1024)


def _back(release: Release, times: int) -> tuple[float, float]:
    """Median seconds until an unloaded model has answered, and of bare onnxruntime's loading."""
    import onnxruntime

    x, back, load = np.zeros((1, 3, SIDE, SIDE), np.float32), [], []
    with EdgeDevice.offline(release.folder) as device:
        model = device.model(release.manifest.model)._service.current().model
        for _ in range(times):
            model.unload()
            started = time.perf_counter()
            device.predict(x)
            back.append(time.perf_counter() - started)
            started = time.perf_counter()
            onnxruntime.InferenceSession(
                str(release.model_path), providers=["CPUExecutionProvider"]
            )
            load.append(time.perf_counter() - started)
    return statistics.median(back), statistics.median(load)


def _copies(release: Release, folder: Path) -> list[Release]:
    """Return releases of as many models as are measured, each with files of its own."""
    files = {name: release.folder / name for name in release.manifest.files}
    return [
        write_release(folder / str(i), replace(release.manifest, model=f"m{i}"), files)
        for i in range(COUNT)
    ]


def network(folder: Path) -> Release:
    """Convert a network of 5 MB with random weights."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    random = np.random.default_rng(0)
    nodes: list[Any] = []
    weights, at = [], "picture"
    for i, (into, out) in enumerate(itertools.pairwise(CHANNELS)):
        w = (np.sqrt(2 / (into * 9)) * random.standard_normal((out, into, 3, 3))).astype("float32")
        weights.append(numpy_helper.from_array(w, f"w{i}"))
        nodes.append(
            helper.make_node(
                "Conv", [at, f"w{i}"], [f"c{i}"], strides=[2, 2], pads=[1] * 4, kernel_shape=[3, 3]
            )
        )
        nodes.append(helper.make_node("Relu", [f"c{i}"], [f"r{i}"]))
        at = f"r{i}"
    nodes.append(helper.make_node("Flatten", [at], ["scores"]))
    nodes.append(helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1))
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("picture", TensorProto.FLOAT, ["n", 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", CHANNELS[-1]])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.save(model, folder / "network.onnx")
    return convert(
        folder / "network.onnx",
        random.random((40, 3, SIDE, SIDE), np.float32),
        name="network",
        out=folder / "network",
        classes=[str(i) for i in range(CHANNELS[-1])],
        output="probabilities",
        variants=("float32",),
    )
