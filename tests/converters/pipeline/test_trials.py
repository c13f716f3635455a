"""The search tries what it can: a variant that fails, or comes too late, is a row with a reason."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from converters import ConversionError, convert
from converters.certification.report import certificate_table
from converters.quantization.variants import VARIANTS
from converters.sources import onnx_source
from edge_sdk import EdgeDevice
from edge_sdk.update.probe import probe
from tests.converters import networks

EVERY = [name for name in VARIANTS if "trees" not in name]


def converted(network, tmp_path, **keywords):
    x, y = networks.digits()
    path = networks.saved(network, tmp_path)
    classes = list(range(10))
    return convert(path, {"x": x}, y, name="m", out=tmp_path / "r", classes=classes, **keywords)


def results(release):
    return {v.name: v for v in release.certificate().variants}


def test_a_variant_that_cannot_be_made_is_a_row_of_the_table_with_its_reason(tmp_path):
    variants = ["int8-static-minmax", "int8-storage", "int4-storage"]
    release = converted(networks.convolutional(opset=11), tmp_path, variants=variants)
    reason = release.certificate().not_chosen["int8-static-minmax"]
    assert "needs operator set 13, this model has 11" in reason
    assert {"int8-storage", "int4-storage"} <= set(results(release))
    (row,) = [
        line
        for line in certificate_table(release).splitlines()
        if line.startswith("| int8-static-minmax")
    ]
    assert row.count("|") == certificate_table(release).splitlines()[2].count("|")
    assert reason in row


def test_a_variant_that_overflows_is_left_out_with_its_reason(tmp_path):
    weights = np.zeros((66, 64), np.float32)
    weights[:3] = [[44.36], [44.36], [60.0]]  # rounded to 127 steps of 60: 44.41, and twice that
    nodes = [helper.make_node("MatMul", ["x", "w"], ["z"]), helper.make_node("Exp", ["z"], ["y"])]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", 1, ["n", 66])],
        [helper.make_tensor_value_info("y", 1, ["n", 64])],
        [numpy_helper.from_array(weights, "w")],
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8),
        tmp_path / "m.onnx",
    )
    x = np.eye(66, dtype=np.float32)
    x[0, 1] = 1.0
    options = {"variants": ["float32", "int8-storage"], "output": "values"}
    release = convert(tmp_path / "m.onnx", x, name="m", out=tmp_path / "r", **options)
    assert release.manifest.variant == "float32"
    assert "infinite or no numbers" in release.certificate().not_chosen["int8-storage"]


@pytest.mark.parametrize("form", ["as it is", "bodies of If"])
def test_every_variant_of_a_network_with_attention_runs_or_has_a_reason(form, tmp_path):
    network = networks.attention()
    network = networks.in_branches(network) if form == "bodies of If" else network
    release = converted(network, tmp_path, variants=EVERY)
    certificate = release.certificate()
    tried = {v.name for v in certificate.variants} | set(certificate.not_chosen)
    assert {"float16-storage", "int8-storage"} <= tried
    if form == "as it is":
        assert {"int8-dynamic", "int8-static-minmax"} <= tried
    else:  # the runtime's own converter does not look into bodies
        assert certificate.not_chosen["float16"].startswith("does not run")
    assert probe(release).golden_rows > 0


@pytest.fixture(scope="module")
def usual(tmp_path_factory):
    """A network that was converted without wishes, and the files that were asked on the way."""
    files, plain = [], onnx_source.answering

    def answering(release):
        files.append(release.model_path.read_bytes())
        return plain(release)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(onnx_source, "answering", answering)
        return converted(networks.convolutional(), tmp_path_factory.mktemp("usual")), files


def test_int8_convolutions_are_tried_and_flip_hardly_a_label(usual):
    release, _ = usual
    static = results(release)["int8-static-minmax"]
    assert static.bytes < 0.3 * results(release)["float32"].bytes
    assert static.label_flips < 0.03


def test_an_lstm_is_tried_in_dynamic_int8(tmp_path):
    release = converted(networks.recurrent("LSTM"), tmp_path, variants=["int8-dynamic"])
    dynamic = results(release)["int8-dynamic"]
    assert dynamic.bytes < 0.31 * results(release)["float32"].bytes
    assert dynamic.label_flips < 0.03


def test_a_simpler_graph_answers_as_the_file_does(tmp_path):
    release = converted(networks.convolutional(), tmp_path, variants=["optimised", "int8-storage"])
    left_out = release.certificate().not_chosen
    assert "optimised" in results(release) or "optimised" not in left_out
    if "optimised" in results(release):
        assert results(release)["optimised"].label_flips == 0
        assert results(release)["optimised"].max_difference < 1e-4


def test_each_file_answers_to_all_samples_once(usual):
    _, files = usual
    assert len(files) >= 4
    assert len(files) == len(set(files))


def test_conversions_of_a_network_choose_the_same_file(usual, tmp_path):
    """Though they are timed on a machine that does other work, too."""
    again = converted(networks.convolutional(), tmp_path)
    first, _ = usual
    assert again.manifest.variant == first.manifest.variant
    assert again.model_path.read_bytes() == first.model_path.read_bytes()


def test_what_was_not_tried_in_time_is_said(tmp_path):
    release = converted(networks.convolutional(), tmp_path, seconds=1e-6)
    assert list(results(release)) == ["float32"]
    assert "not tried" in release.certificate().not_chosen["int8-storage"]


@pytest.mark.parametrize("seconds", [0, -1, "soon"])
def test_a_time_that_is_none_is_refused(seconds, tmp_path):
    with pytest.raises(ConversionError, match="seconds: expected a positive number"):
        converted(networks.convolutional(), tmp_path, seconds=seconds)


def test_variants_of_a_recurrent_model_are_judged_over_the_sequence(tmp_path):
    path = networks.saved(networks.stepwise(), tmp_path)
    steps = np.random.default_rng(0).normal(size=(400, 1, 8)).astype(np.float32)
    release = convert(
        path, [{"x": step} for step in steps], name="m", out=tmp_path / "r", output="values",
        state={"h": "h_out"}, variants=["int8-storage"],
    )  # fmt: skip
    stored = results(release)["int8-storage"]
    assert release.certificate().rows == 400
    assert stored.accepted, stored.reason
    assert stored.bytes < 0.3 * results(release)["float32"].bytes
    with EdgeDevice.offline(release.folder) as device:
        assert device.predict({"x": steps[0]}) is not None
