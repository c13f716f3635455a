"""Choice on a real accelerator's runtime: OpenVINO, in an environment of its own.

``.ci/run`` makes one; elsewhere: ``python -m venv V; V/bin/pip install onnxruntime-openvino`` and
what the tests need. It shares a folder with ``onnxruntime``: never install both in one environment.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge_sdk import EdgeDevice
from edge_sdk.contract.manifest import MODEL, Manifest
from edge_sdk.contract.names import CPU
from edge_sdk.errors import ReleaseError
from edge_sdk.model.options import RuntimeOptions
from edge_sdk.model.release import Golden, Release, write_release
from edge_sdk.model.session import Model
from edge_sdk.update.certification import certify
from edge_sdk.update.probe import probe
from tests.edge.builders import CLASSES, FEATURES, make_release, rows, softmax

OPENVINO = "OpenVINOExecutionProvider"
pytestmark = [
    pytest.mark.openvino,
    pytest.mark.skipif(
        OPENVINO not in onnxruntime.get_available_providers(),
        reason="needs onnxruntime-openvino, in an environment of its own; .ci/run makes one",
    ),
]


def network(seed: int = 0) -> bytes:
    """A small MLP with weights so large that another arithmetic shows in its probabilities."""
    generator = np.random.default_rng(seed)
    sizes = (FEATURES, 64, 32, CLASSES)
    nodes, constants, x = [], [], "X"
    for i, (inputs, outputs) in enumerate(itertools.pairwise(sizes)):
        w = generator.normal(size=(inputs, outputs)).astype(np.float32) * 2
        b = generator.normal(size=outputs).astype(np.float32)
        constants += [numpy_helper.from_array(w, f"W{i}"), numpy_helper.from_array(b, f"b{i}")]
        nodes.append(helper.make_node("Gemm", [x, f"W{i}", f"b{i}"], [f"sum{i}"]))
        x = f"sum{i}"
        if outputs != CLASSES:
            nodes.append(helper.make_node("Relu", [x], [f"out{i}"]))
            x = f"out{i}"
    nodes.append(helper.make_node("Softmax", [x], ["probabilities"], axis=1))
    nodes.append(helper.make_node("ArgMax", ["probabilities"], ["label"], axis=1, keepdims=0))
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, [None, FEATURES])],
        [
            helper.make_tensor_value_info("label", TensorProto.INT64, [None]),
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [None, CLASSES]),
        ],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def network_release(folder: Path, tolerance: float) -> Release:
    """A release of it, whose golden vectors are the answers of the CPU provider."""
    made = make_release(folder / "made")
    model, x = network(), rows(64, seed=3) * 3
    session = onnxruntime.InferenceSession(model, providers=[CPU])
    answers = session.run(["label", "probabilities"], {"X": x})
    golden = Golden(
        {"X": x}, dict(zip(("label", "probabilities"), answers, strict=True)), tolerance
    )
    files = {name: (made.folder / name).read_bytes() for name in made.manifest.files}
    manifest: Manifest = replace(made.manifest, version="1.5")
    return write_release(
        folder / "network", manifest, {**files, MODEL: model, "golden.npz": golden.to_bytes()}
    )


def tried(release: Release, *providers: str, **options: Any) -> Any:
    given = RuntimeOptions(1, providers, {OPENVINO: options} if options else {})
    candidates = replace(release, providers=providers).candidates
    return certify(candidates, given, {}, before=None, note=lambda choice: None)


def test_where_it_answers_otherwise_than_the_model_it_is_refused(tmp_path: Path) -> None:
    release = network_release(tmp_path, tolerance=0.0)
    choice = tried(release, OPENVINO, CPU)
    assert (choice.taken.variant, choice.taken.provider) == ("float32", CPU)
    assert choice.refusals.startswith("float32 on OpenVINO: golden vectors: output 'probabilities'")
    with pytest.raises(ReleaseError, match="golden vectors: output 'probabilities' differs by"):
        tried(release, OPENVINO)
    with EdgeDevice.offline(release.folder, providers=[OPENVINO, CPU]) as device:
        assert device.status()["provider"] == CPU


def test_where_it_answers_right_it_serves_with_all_nodes(tmp_path: Path) -> None:
    release = make_release(tmp_path)
    with EdgeDevice.offline(release.folder, providers=[(OPENVINO, {"device_type": "CPU"})]) as here:
        status = here.status()
        assert (status["provider"], status["nodes"]) == (OPENVINO, {OPENVINO: 2})
        # Every row is its own: what a binding holds of the row before is not seen.
        x = rows(32, seed=9)
        for row, expected in zip(x, softmax(x, 0), strict=True):
            p = here.predict(row).probabilities
            assert np.allclose(p, expected, atol=1e-5)
        assert {r.provider for r in here.reports()} == {OPENVINO}  # type: ignore[union-attr]


def test_a_device_that_it_does_not_have_is_no_silent_change_to_the_cpu(tmp_path: Path) -> None:
    release = make_release(tmp_path)
    choice = tried(release, OPENVINO, CPU, device_type="GPU")
    assert choice.taken.provider == CPU
    assert "OpenVINOExecutionProvider does not start here" in choice.refusals
    wrong = tried(release, OPENVINO, CPU, colour="red")
    assert "Invalid OpenVINO EP option: colour" in wrong.refusals


def test_a_probe_holds_single_rows_to_the_golden_vectors_too(tmp_path: Path) -> None:
    release = replace(make_release(tmp_path), providers=(OPENVINO,), provider=OPENVINO)
    result = probe(release, RuntimeOptions(providers=(OPENVINO,)))
    assert (result.golden_rows, result.nodes) == (16, {OPENVINO: 2})
    assert result.difference < 1e-5


def test_a_failure_as_it_runs_is_an_error_and_does_not_move_to_the_cpu(tmp_path: Path) -> None:
    release = replace(make_release(tmp_path, defect="crash"), provider=OPENVINO)
    model = Model.load(release, RuntimeOptions(providers=(OPENVINO,)))
    for _ in range(2):
        with pytest.raises(ReleaseError, match="OpenVINO"):
            model.run({"X": rows(3)})
    assert model.provider == OPENVINO
