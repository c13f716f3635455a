"""The pipeline knows models by the ModelSource protocol alone, and logs its steps."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from converters import CascadeTarget, ConversionError, Tolerances, convert
from converters.certification.golden import recorded_vectors
from converters.certification.reference import Reference
from converters.certification.search import plan_of
from converters.pipeline.release_pipeline import ReleasePipeline, with_cascade
from converters.release_spec import ReleaseSpec
from converters.sources.model_source import ModelSource
from edge_sdk import EdgeDevice
from edge_sdk.contract.manifest import OutputSpec, Signature, TensorSpec
from edge_sdk.contract.profile import ReferenceProfile
from edge_sdk.model.session import Model
from edge_sdk.update.probe import probe
from tests.converters import builders
from tests.waiting import PATIENCE


class Scaled:
    """``y = 2 x``: the smallest model that comes from no framework that the package knows."""

    kind, task, exact, metrics, groups = "scaled", "generic", ("float32",), ("max_difference",), ()
    rows, packages = 8, ()

    def __init__(self, factor: float = 2.0) -> None:
        self.factor = factor
        self.x = np.arange(16, dtype=np.float32).reshape(8, 2)

    def export(self):
        value = onnx.helper.make_tensor_value_info
        graph = onnx.helper.make_graph(
            [onnx.helper.make_node("Mul", ["x", "two"], ["y"])],
            "model",
            [value("x", 1, [None, 2])],
            [value("y", 1, [None, 2])],
            [onnx.numpy_helper.from_array(np.float32([2.0]), "two")],
        )
        opsets = [onnx.helper.make_opsetid("", 18)]
        return onnx.helper.make_model(graph, opset_imports=opsets, ir_version=10)

    def signature(self):
        shape = (None, 2)
        outputs = (OutputSpec("y", "float32", shape, "other"),)
        return Signature((TensorSpec("x", "float32", shape),), outputs, (), ())

    def reference(self, float32):
        return Reference({"y": self.x * np.float32(self.factor)}, None, {})

    def verify(self, release):
        if self.reference(release).difference(self.run(release)).maximum > 1e-4:
            raise ConversionError("the exported model differs from the original")
        return {"framework": "none"}

    def columns(self, release):
        return ()

    def run(self, release):
        return Model.load(release).run(self.timed())

    def timed(self):
        return {"x": self.x}

    def calibration(self):
        return [{"x": self.x}]

    def profile(self, release, answers):
        return ReferenceProfile(self.rows, ())

    def golden(self, release, answers):
        return recorded_vectors(self.timed(), answers)


def pipeline(source: ModelSource, out: Path) -> ReleasePipeline:
    plan = plan_of(None, Tolerances(), None, None)
    return ReleasePipeline(source, ReleaseSpec("m", out), plan, lambda step: None)


def test_a_source_of_another_framework_needs_nothing_but_the_protocol(tmp_path):
    release = pipeline(Scaled(), tmp_path / "r").run()
    assert probe(release).golden_rows == 8
    assert release.manifest.training == {"estimator": "scaled", "framework": "none"}
    assert release.manifest.metrics == {"max_difference": 0.0}
    with EdgeDevice.offline(tmp_path / "r") as device:
        outputs = device.predict({"x": np.array([[1.0, 2.0]])}).outputs
    np.testing.assert_array_equal(outputs["y"], [2.0, 4.0])


def test_a_source_that_refuses_its_own_export_stops_the_conversion(tmp_path):
    with pytest.raises(ConversionError, match="differs from the original"):
        pipeline(Scaled(3.0), tmp_path / "r").run()
    assert not (tmp_path / "r").exists()


def messages(caplog, level):
    return [r.getMessage() for r in caplog.records if r.levelno == level]


def test_steps_variants_and_the_choice_are_logged(tmp_path, caplog):
    X, y = builders.data_of("scaler and MLP")
    with caplog.at_level(logging.INFO, logger="converters"):
        convert(builders.model("scaler and MLP"), X, y, name="m", out=tmp_path / "r")
    lines = messages(caplog, logging.INFO)
    assert lines[0] == "m 1.0: exporting"
    assert any(line.startswith("variant int8-storage tried: ") for line in lines)
    assert any(line.startswith("m 1.0: chose ") for line in lines)
    assert messages(caplog, logging.WARNING) == []
    assert {r.name.split(".")[0] for r in caplog.records} == {"converters"}


def test_a_variant_that_the_target_refuses_is_a_warning(tmp_path, caplog):
    X, y = builders.data_of("forest")
    convert(builders.model("forest"), X, y, name="m", out=tmp_path / "r", target="legacy")
    (line,) = messages(caplog, logging.WARNING)
    assert line.startswith("m 1.0: left out compact-trees: legacy: needs ai.onnx.ml")


def test_a_cascade_that_cannot_be_certified_is_a_warning(tmp_path, caplog):
    X, y = builders.iris()
    manifest = convert(builders.model("voting"), X, y, name="m", out=tmp_path / "r").manifest
    answers = {"label": np.zeros(50, int), "probabilities": np.full((50, 2), 0.5)}
    noted = with_cascade(manifest, answers, np.ones(50, int), CascadeTarget())
    assert noted.cascade is None
    assert noted.training["cascade"].startswith("not useful")
    assert messages(caplog, logging.WARNING) == ["m: no cascade threshold could be certified"]


def test_importing_the_package_configures_no_logging():
    code = (
        "import logging, converters; from converters import convert; "
        "root = logging.getLogger('converters'); "
        "print(logging.root.handlers, [type(h).__name__ for h in root.handlers], root.level)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=PATIENCE
    )
    assert done.stdout.strip() == "[] ['NullHandler'] 0"
