"""ONNX files that somebody else exported become releases with their own signature."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pandas as pd
import pytest
from onnx import TensorProto, helper, numpy_helper
from sklearn.linear_model import LogisticRegression

from converters import ConversionError, convert
from converters.sources.onnx_samples import Samples
from edge_sdk import EdgeDevice
from edge_sdk.contract.manifest import OutputSpec, Signature, TensorSpec
from edge_sdk.update.probe import probe
from tests.converters import builders
from tests.edge.builders import onnx_bytes
from tests.edge.builders import rows as linear_rows


@pytest.fixture
def linear(tmp_path):
    """Features [N, 4] to ``label`` and ``probabilities`` [N, 3]."""
    path = tmp_path / "linear.onnx"
    path.write_bytes(onnx_bytes(0))
    return path


def saved(tmp_path, nodes, inputs, outputs, initializers=(), opsets=(("", 18),)):
    graph = helper.make_graph(nodes, "g", inputs, outputs, list(initializers))
    made = [helper.make_opsetid(*opset) for opset in opsets]
    onnx.save(helper.make_model(graph, opset_imports=made, ir_version=10), tmp_path / "m.onnx")
    return tmp_path / "m.onnx"


def floats(name, shape):
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


@pytest.fixture
def two_inputs(tmp_path):
    """``sum`` [N, 2] = ``a`` [N, 2] + ``b`` [N, 1]."""
    return saved(
        tmp_path,
        [helper.make_node("Add", ["a", "b"], ["sum"])],
        [floats("a", [None, 2]), floats("b", [None, 1])],
        [floats("sum", [None, 2])],
    )


def test_with_classes_a_file_answers_with_labels_and_probabilities(linear, tmp_path):
    x = linear_rows(50)
    release = convert(linear, x, name="m", out=tmp_path / "r", classes=[0, 1, 2])
    assert release.manifest.task == "classification"
    assert [o.name for o in release.profile().outputs] == ["label", "confidence"]
    with EdgeDevice.offline(tmp_path / "r") as device:
        p = device.predict(x[0])
    assert p.label == int(np.argmax(p.probabilities))
    assert len(p.probabilities) == 3


def test_labels_certify_a_score(linear, tmp_path):
    x = linear_rows(50)
    first = convert(linear, x, name="m", out=tmp_path / "a", classes=[0, 1, 2])
    with EdgeDevice.offline(first.folder) as device:
        labels = np.asarray(device.predict_batch(x).labels)
    labels[0] = (labels[0] + 1) % 3
    second = convert(linear, x, labels, name="m", out=tmp_path / "b", classes=[0, 1, 2])
    assert second.manifest.metrics["score"] == pytest.approx(0.98)
    assert second.certificate().original_score == pytest.approx(0.98)


def test_labels_of_another_length_are_refused(linear, tmp_path):
    with pytest.raises(ConversionError, match="expected 50 values, one for each row of X; got 3"):
        convert(linear, linear_rows(50), [0, 1, 2], name="m", out=tmp_path / "r", classes=[0, 1, 2])
    assert not (tmp_path / "r").exists()


def test_values_of_several_outputs_come_by_name(linear, tmp_path):
    x = linear_rows(50)
    release = convert(linear, x, name="m", out=tmp_path / "r", output="values")
    assert release.manifest.task == "generic"
    with EdgeDevice.offline(tmp_path / "r") as device:
        p = device.predict(x[0])
    assert set(p.outputs) == {"label", "probabilities"}


def test_a_dataframe_gives_the_features_their_names(linear, tmp_path):
    frame = pd.DataFrame(linear_rows(50), columns=["n", "e", "s", "w"])
    release = convert(linear, frame, name="m", out=tmp_path / "r")
    assert [c.name for c in release.manifest.signature.columns] == ["n", "e", "s", "w"]
    assert [f.name for f in release.profile().features] == ["n", "e", "s", "w"]


def test_feeds_are_samples_for_files_of_several_inputs(two_inputs, tmp_path):
    feeds = [{"a": np.full((1, 2), i), "b": np.ones((1, 1))} for i in range(40)]
    release = convert(two_inputs, feeds, name="m", out=tmp_path / "r", output="values")
    assert release.certificate().rows == 40
    assert probe(release).golden_rows == 32
    with EdgeDevice.offline(tmp_path / "r") as device:
        p = device.predict({"a": np.array([[1.0, 2.0]]), "b": np.array([[3.0]])})
    np.testing.assert_array_equal(p.value, [4.0, 5.0])


def test_a_fixed_batch_axis_is_kept(tmp_path):
    path = saved(
        tmp_path,
        [helper.make_node("Neg", ["x"], ["y"])],
        [floats("x", [1, 3, 3])],
        [floats("y", [1, 3, 3])],
    )
    feeds = [{"x": np.full((1, 3, 3), i)} for i in range(3)]
    release = convert(path, feeds, name="m", out=tmp_path / "r")
    assert probe(release).golden_rows == release.certificate().rows == 3


def test_doubled_opset_imports_and_the_producers_words_are_cleaned(tmp_path):
    node = helper.make_node("Neg", ["x"], ["y"])
    node.doc_string = "private remark"
    path = saved(
        tmp_path,
        [node],
        [floats("x", [None, 2])],
        [floats("y", [None, 2])],
        opsets=[("", 18), ("", 18)],
    )
    release = convert(path, np.ones((4, 2)), name="m", out=tmp_path / "r", output="values")
    cleaned = onnx.load(release.model_path)
    assert [entry.domain for entry in cleaned.opset_import] == [""]
    assert b"private remark" not in release.model_path.read_bytes()


def test_an_initializer_that_is_also_an_input_is_not_asked_of_the_app(tmp_path):
    path = saved(
        tmp_path,
        [helper.make_node("Mul", ["x", "w"], ["y"])],
        [floats("x", [None, 2]), floats("w", [2])],
        [floats("y", [None, 2])],
        [numpy_helper.from_array(np.ones(2, np.float32), "w")],
    )
    release = convert(path, np.ones((4, 2)), name="m", out=tmp_path / "r", output="values")
    assert [spec.name for spec in release.manifest.signature.inputs] == ["x"]


BAD_SAMPLES = {
    "rows of another width": (np.ones((3, 5)), "4"),
    "no rows": (np.ones((0, 4)), "at least one row"),
    "infinity": (np.full((3, 4), np.inf), "finite"),
    "text": (np.full((3, 4), "a"), "float32"),
    "a feed of another name": ([{"Z": np.ones((1, 4))}], "X"),
    "no feeds": ([], "X"),
    "a table with a column less": (pd.DataFrame(np.ones((3, 3))), "expected 4 columns, got .* 3"),
    "lists of different lengths": ({"X": [[1.0], [1.0, 2.0]]}, "all rows of one shape"),
    "nothing": (None, "X"),
}


@pytest.mark.parametrize("case", BAD_SAMPLES)
def test_samples_that_do_not_fit_are_refused(case, linear, tmp_path):
    samples, reason = BAD_SAMPLES[case]
    with pytest.raises(ConversionError, match=reason):
        convert(linear, samples, name="m", out=tmp_path / "r")
    assert not (tmp_path / "r").exists()


def test_a_file_with_a_zipmap_is_refused_with_what_to_do(tmp_path):
    from skl2onnx import to_onnx

    X, y = builders.iris()
    proto = to_onnx(LogisticRegression(max_iter=500).fit(X, y), np.asarray(X[:1], np.float32))
    (tmp_path / "z.onnx").write_bytes(proto.SerializeToString())
    with pytest.raises(ConversionError, match="ZipMap"):
        convert(tmp_path / "z.onnx", X, name="m", out=tmp_path / "r")
    assert not (tmp_path / "r").exists()


def test_a_cascade_is_not_calibrated_for_a_file(linear, tmp_path):
    release = convert(linear, linear_rows(5), name="m", out=tmp_path / "r")
    with pytest.raises(ConversionError, match="calibrate_against"):
        convert(linear, linear_rows(5), name="m", out=tmp_path / "s", calibrate_against=release)


@pytest.fixture
def picture_model(tmp_path):
    """A convolution and two layers whose weights are turned, as other exporters write them."""
    random = np.random.default_rng(0)

    def weights(name, *shape):
        values = random.normal(size=shape) / np.sqrt(np.prod(shape[1:]))
        return numpy_helper.from_array(values.astype(np.float32), name)

    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Identity", ["b"], ["kept"]),
        helper.make_node("Flatten", ["kept"], ["c"]),
        helper.make_node("Gemm", ["c", "v", "o"], ["d"], transB=1),
        helper.make_node("Softmax", ["d"], ["probabilities"]),
        helper.make_node("ArgMax", ["d"], ["label"], axis=1, keepdims=0),
    ]
    constants = [weights("w", 32, 4, 3, 3), weights("v", 5, 512), weights("o", 5)]
    label = helper.make_tensor_value_info("label", TensorProto.INT64, [None])
    outputs = [label, floats("probabilities", [None, 5])]
    return saved(tmp_path, nodes, [floats("x", [None, 4, 4, 4])], outputs, constants)


def pictures(count=60):
    return {"x": np.random.default_rng(1).normal(size=(count, 4, 4, 4)).astype(np.float32)}


def test_weights_of_any_layout_are_stored_in_eight_bits(picture_model, tmp_path):
    release = convert(picture_model, pictures(), name="m", out=tmp_path / "r", classes=range(5))
    results = {v.name: v for v in release.certificate().variants}
    assert results["int8-storage"].bytes < 0.4 * results["float32"].bytes
    assert results["int8-storage"].max_difference < 0.02
    assert results["float16-storage"].label_flips == 0
    assert release.manifest.variant in results
    assert probe(release).golden_rows > 0


def test_a_file_is_held_to_a_budget_and_a_target(picture_model, tmp_path):
    from converters.errors import BudgetExceeded

    release = convert(
        picture_model,
        pictures(),
        name="m",
        out=tmp_path / "r",
        classes=range(5),
        budget="size<=12KB flips<=15% difference<=0.1",
        target="pi4",
    )
    assert release.model_path.stat().st_size <= 12_000
    with pytest.raises(BudgetExceeded, match="size is"):
        convert(picture_model, pictures(), name="m", out=tmp_path / "s", budget="size<=1KB")


def test_what_only_hands_on_is_gone(picture_model, tmp_path):
    release = convert(picture_model, pictures(), name="m", out=tmp_path / "r", variants=["float32"])
    kinds = [node.op_type for node in onnx.load(release.model_path).graph.node]
    assert "Identity" not in kinds


def test_rows_to_learn_ranges_from_are_no_copies() -> None:
    outputs = (OutputSpec("y", "float32", (None, 1)),)
    signature = Signature((TensorSpec("x", "float32", (None, 4)),), outputs)
    rows = np.arange(40, dtype=np.float32).reshape(10, 4)
    singles = Samples(({"x": rows},), signature).singles(7)
    assert [feed["x"].tolist() for feed in singles] == [rows[i : i + 1].tolist() for i in range(7)]
    assert all(np.shares_memory(feed["x"], rows) for feed in singles)
    blocks = replace(signature, inputs=(TensorSpec("x", "float32", (4, 4)),))
    last = Samples(({"x": rows},), blocks).singles(3)[-1]["x"]
    assert last.tolist() == rows[[8, 9, 9, 9]].tolist()
