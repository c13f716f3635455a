"""Classifiers that give scores alone, as torch exports them, are certified as classifiers."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pandas as pd
import pytest
from onnx import TensorProto, helper, numpy_helper

from converters import ConversionError, convert
from edge_sdk import EdgeDevice
from edge_sdk.errors import InputError, PackError, ReleaseError
from edge_sdk.model.keys import Canonicaliser
from edge_sdk.packs.writer import write_pack

CLASSES, WIDTH, ROWS = 10, 16, 400


def weights(width: int = CLASSES, scale: float = 2.0) -> np.ndarray:
    return (scale * np.random.default_rng(0).normal(size=(WIDTH, width))).astype(np.float32)


def rows(count: int = ROWS) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(count, WIDTH)).astype(np.float32)


def truth(width: int = CLASSES) -> np.ndarray:
    return (rows() @ weights(width)).argmax(axis=1)


HEADS = {
    "logits": [],
    "probabilities": [("Softmax", {"axis": 1})],
    "multilabel": [("Sigmoid", {})],
    "halves": [("Cast", {"to": TensorProto.FLOAT16}), ("Softmax", {"axis": 1})],
    "doubles": [("Cast", {"to": TensorProto.DOUBLE})],
}


def saved(folder, head="logits", width=CLASSES, *, columns=WIDTH, trailing=(), opset=18, more=()):
    """``y`` [N, width, *trailing] = the head of x [N, columns] times the weights."""
    nodes = [helper.make_node("MatMul", ["x", "w"], ["s0"])]
    for i, (kind, attributes) in enumerate(HEADS[head]):
        nodes.append(helper.make_node(kind, [f"s{i}"], [f"s{i + 1}"], **attributes))
    constants = [numpy_helper.from_array(weights(width), "w")]
    constants.append(numpy_helper.from_array(np.array([-1, width, *trailing], np.int64), "shape"))
    nodes.append(helper.make_node("Reshape", [nodes[-1].output[0], "shape"], ["y"]))
    kind = {"halves": TensorProto.FLOAT16, "doubles": TensorProto.DOUBLE}.get(head, 1)
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", columns])]
    outputs = [helper.make_tensor_value_info("y", kind, ["n", width, *trailing])]
    for node, output, extra in more:
        nodes.append(node)
        outputs.append(output)
        constants += extra
    graph = helper.make_graph(nodes, "g", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, folder / "m.onnx")
    return folder / "m.onnx"


def softmax(x):
    powers = np.exp(x - x.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def made(folder, path, *args, **options):
    return convert(path, *args, name="m", out=folder / "r", **options)


def test_logits_are_told_by_single_labels_and_served_as_probabilities(tmp_path):
    release = made(tmp_path, saved(tmp_path), rows(), truth())
    assert release.manifest.task == "classification"
    assert release.manifest.metrics["score"] == 1.0
    assert [each.name for each in release.profile().outputs] == ["label", "confidence"]
    with EdgeDevice.offline(release.folder) as device:
        p, batch = device.predict(rows()[0]), device.predict_batch(rows())
    assert p.label == truth()[0]
    assert 0 < p.confidence <= 1
    np.testing.assert_allclose(p.probabilities, softmax(rows() @ weights())[0], atol=1e-6)
    np.testing.assert_array_equal(batch.labels, truth())


def test_flips_of_a_variant_are_counted_where_a_file_gives_logits_alone(tmp_path):
    names = ["float32", "int4-storage"]
    data = rows(1_000)
    release = made(tmp_path, saved(tmp_path, width=64), data, output="logits", variants=names)
    small = {v.name: v for v in release.certificate().variants}["int4-storage"]
    assert small.label_flips > 0.005
    assert small.flips_bound > small.label_flips
    assert "label flips" in small.reason
    assert release.manifest.metrics["label_flips"] == 0


@pytest.mark.parametrize("opset", [9, 11, 13, 17, 21])
@pytest.mark.parametrize("trailing", [(), (1, 1)])
def test_logits_of_any_operator_set_and_with_trailing_axes(tmp_path, opset, trailing):
    path = saved(tmp_path, trailing=trailing, opset=opset)
    release = made(tmp_path, path, rows(), truth(), variants=["float32"])
    with EdgeDevice.offline(release.folder) as device:
        batch = device.predict_batch(rows())
    np.testing.assert_allclose(batch.probabilities, softmax(rows() @ weights()), atol=1e-6)


@pytest.mark.parametrize("head", ["halves", "doubles"])
def test_scores_of_other_precision_are_read_as_well(tmp_path, head):
    release = made(tmp_path, saved(tmp_path, head), rows(), truth(), variants=["float32"])
    with EdgeDevice.offline(release.folder) as device:
        batch = device.predict_batch(rows())
    np.testing.assert_allclose(batch.probabilities, softmax(rows() @ weights()), atol=2e-3)
    assert (batch.labels == truth()).mean() > 0.99  # halves round


def test_rows_that_sum_to_one_are_probabilities_and_y_names_the_classes(tmp_path):
    names = np.array([f"class {i}" for i in range(CLASSES)])
    release = made(tmp_path, saved(tmp_path, "probabilities"), rows(), names[truth()])
    assert release.manifest.signature.classes == tuple(names.tolist())
    with EdgeDevice.offline(release.folder) as device:
        p = device.predict(rows()[3])
        assert device.predict_batch(rows()).labels.tolist() == names[truth()].tolist()
        assert p.label == names[truth()[3]]
        device.feedback(p.id, label="class 2")
    assert release.manifest.training["label"] == "argmax"
    assert release.manifest.metrics["score"] == 1.0


def test_without_labels_the_classes_are_the_numbers_of_the_columns(tmp_path):
    release = made(tmp_path, saved(tmp_path, "probabilities"), rows())
    assert release.manifest.signature.classes == tuple(range(CLASSES))
    assert release.profile().outputs[0].counts[0] > 0


@pytest.mark.parametrize("kind", ["logits", "probabilities"])
def test_one_column_is_the_second_class_of_two(tmp_path, kind):
    head = "multilabel" if kind == "probabilities" else "logits"
    y = np.where(rows() @ weights(1)[:, 0] > 0, "yes", "no")
    release = made(tmp_path, saved(tmp_path, head, 1), rows(), y, output=kind)
    assert release.manifest.signature.classes == ("no", "yes")
    with EdgeDevice.offline(release.folder) as device:
        batch = device.predict_batch(rows())
    assert batch.labels.tolist() == y.tolist()
    expected = 1 / (1 + np.exp(-(rows() @ weights(1)[:, 0])))
    np.testing.assert_allclose(batch.probabilities[:, 1], expected, atol=1e-6)


UNKNOWN: dict[str, tuple[str, Any, str]] = {
    "logits without labels": ("logits", None, "'y' has 10 columns from -"),
    "independent scores with labels": ("multilabel", truth(), "rows that do not sum to 1"),
    "values with numbers": ("logits", np.random.default_rng(0).normal(size=ROWS), "cannot tell"),
}


@pytest.mark.parametrize("case", UNKNOWN)
def test_what_the_answers_do_not_prove_is_refused_until_it_is_declared(case, tmp_path):
    head, y, reason = UNKNOWN[case]
    with pytest.raises(ConversionError, match=f"output: .*{reason}.*Declare"):
        made(tmp_path, saved(tmp_path, head), rows(), y)
    assert not (tmp_path / "r").exists()


WRONG: dict[str, tuple[str, dict[str, Any], str]] = {
    "probabilities as logits": ("probabilities", {"output": "logits"}, "probabilities already"),
    "logits as probabilities": ("logits", {"output": "probabilities"}, "row .* that sum to"),
    "scores as probabilities": ("multilabel", {"output": "probabilities"}, "row .* that sum to"),
    "logits as scores": ("logits", {"output": "multilabel"}, "multilabel-logits"),
    "no kind": ("logits", {"output": "softmax"}, "expected one of logits"),
    "no kind by name": ("logits", {"output": {"y": "softmax"}}, "expected one of logits"),
    "no output": ("logits", {"output": {"z": "logits"}}, r"which are \['y'\]; got 'z'"),
    "too few classes": ("probabilities", {"classes": range(9)}, "expected 10 labels.*got 9"),
    "classes twice": ("probabilities", {"classes": [0] * 10}, "different labels"),
    "a class that is none": ("probabilities", {"classes": [0.5, *range(9)]}, "whole numbers"),
    "a missing class": ("probabilities", {"classes": [None, *range(9)]}, "is missing"),
    "classes of values": ("logits", {"output": "values", "classes": range(10)}, "gives values"),
    "a threshold that is none": ("multilabel", {"output": "multilabel", "threshold": 2}, "between"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_declared_is_held_against_the_answers(case, tmp_path):
    head, options, reason = WRONG[case]
    with pytest.raises(ConversionError, match=reason):
        made(tmp_path, saved(tmp_path, head), rows(), **options)
    assert not (tmp_path / "r").exists()


CODINGS: dict[str, tuple[Any, dict[str, Any], str]] = {
    "numbers from 1": (truth() + 1, {}, r"from 0 to 9; got 1 to 10.*range\(1, 11\)"),
    "a label beyond": (np.where(truth() == 9, 10, truth()), {}, "got 0 to 10"),
    "labels of other classes": (truth(), {"classes": list("abcdefghij")}, "in another coding"),
    "a missing label": (np.where(truth() == 3, np.nan, truth()), {}, r"y\[\d+\] is missing"),
    "no label": ([None, *truth()[1:]], {}, r"y\[0\] is missing"),
    "halves": (truth() + 0.5, {}, "whole numbers or texts"),
    "no label of pandas": (pd.array([None, *truth()[1:]], "Int64"), {}, r"y\[0\] is missing"),
    "a number beyond 64 bits": ([2**70, *truth()[1:]], {}, "whole numbers or texts, got 1180591"),
    "half a character": (np.array([*"abcdefghi", "\ud800"])[truth()], {}, "whole numbers or texts"),
    "a text with NUL": (np.array([*"abcdefghi", "j\0k"])[truth()], {}, "whole numbers or texts"),
    "a table": (np.eye(10)[truth()], {}, r"argmax\(axis=1\)"),
    "too few": (truth()[:7], {}, "expected 400 values, one for each row of X; got 7"),
    "one value": (3, {}, "got one value"),
    "too few different texts": (np.where(truth() == 3, "a", "b"), {}, "y has 2 different ones"),
    "the classes in another order": (
        np.random.default_rng(8).permutation(10)[truth()],
        {},
        r"% of the labels are right, 100.0% would be with the classes in the order",
    ),
    "named in another order": (truth(), {"classes": [*range(1, 10), 0]}, "would be"),
}


@pytest.mark.parametrize("case", CODINGS)
def test_labels_in_another_coding_are_refused(case, tmp_path):
    y, options, reason = CODINGS[case]
    with pytest.raises(ConversionError, match=reason):
        made(tmp_path, saved(tmp_path, "probabilities"), rows(), y, **options)
    assert not (tmp_path / "r").exists()


ORDERS = {
    "shifted": lambda y: (y + 3) % 200,
    "reversed": lambda y: 199 - y,
    "sorted as text": lambda y: np.argsort(np.arange(200).astype(str))[y],
    "numbered by place in text": lambda y: np.argsort(np.argsort(np.arange(200).astype(str)))[y],
}


@pytest.mark.parametrize("case", ORDERS)
def test_another_order_of_many_classes_is_seen_on_few_rows(case, tmp_path):
    path = saved(tmp_path, "probabilities", 200)
    y = ORDERS[case](truth(200))
    with pytest.raises(ConversionError, match=r"\d\.\d% of the labels are right, 100.0% would"):
        made(tmp_path, path, rows()[:40], y[:40])
    assert made(tmp_path, path, rows()[:40], truth(200)[:40]).manifest.metrics["score"] == 1.0


@pytest.mark.parametrize(("width", "count"), [(2, 12), (2, ROWS), (10, ROWS), (10, 20), (60, 40)])
def test_a_model_that_guesses_is_no_model_of_another_order(tmp_path, width, count):
    for seed in range(3):
        y = np.random.default_rng(seed).integers(0, width, count)
        path = saved(tmp_path, "probabilities", width)
        options = {"classes": range(width), "variants": ["float32"]}
        release = convert(path, rows(count), y, name="m", out=tmp_path / f"{seed}", **options)
        assert release.manifest.metrics["score"] < 0.8


def test_a_model_that_confuses_two_classes_is_no_model_of_another_order(tmp_path):
    y = truth(2)
    wrong = np.random.default_rng(0).random(ROWS) < 0.6
    release = made(tmp_path, saved(tmp_path, "probabilities", 2), rows(), np.where(wrong, 1 - y, y))
    assert release.manifest.metrics["score"] == pytest.approx(1 - wrong.mean())


def test_a_model_that_always_says_the_same_is_no_model_of_another_order(tmp_path):
    model = onnx.load(saved(tmp_path, "probabilities", 2))
    bias = np.zeros((WIDTH, 2), np.float32)
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(bias, "w"))
    onnx.save(model, tmp_path / "m.onnx")
    y = np.r_[np.ones(380, int), np.zeros(20, int)]
    release = made(tmp_path, tmp_path / "m.onnx", rows(), y)
    assert release.manifest.metrics["score"] == pytest.approx(0.05)


@pytest.mark.parametrize("kind", ["multilabel", "multilabel-logits"])
@pytest.mark.parametrize("form", ["table", "lists"])
def test_multilabel_answers_are_a_kind_of_their_own(tmp_path, kind, form):
    names = ("cat", "dog", "hat")
    scores = 1 / (1 + np.exp(-(rows() @ weights(3))))
    table = scores >= 0.5
    y = table.astype(int) if form == "table" else [
        [n for n, has in zip(names, row, strict=True) if has] for row in table
    ]  # fmt: skip
    head = "multilabel" if kind == "multilabel" else "logits"
    path = saved(tmp_path, head, 3)
    release = made(tmp_path, path, rows(), y, output=kind, classes=names)
    assert release.manifest.task == "multilabel"
    assert release.manifest.metrics["score"] == 1.0
    with EdgeDevice.offline(release.folder) as device:
        p, batch = device.predict(rows()[0]), device.predict_batch(rows())
        assert p.labels == tuple(n for n, has in zip(names, table[0], strict=True) if has)
        assert (p.label, p.confidence, p.value) == (None, None, None)
        np.testing.assert_allclose(p.probabilities, scores[0], atol=1e-6)
        assert batch[0].labels == p.labels == batch.labels[0]
        assert "labels" not in repr(p.outputs)
        assert len(batch.ids) == ROWS
        with pytest.raises(InputError, match="a list of labels"):
            device.feedback(p.id, label="cat")
        device.feedback(p.id, label=list(p.labels))
        device.feedback(p.id, reward=1.0)


def test_flips_of_several_labels_are_rows_with_another_set(tmp_path):
    path = saved(tmp_path, "multilabel", 40)
    options = {"output": "multilabel", "variants": ["float32", "int4-storage"]}
    release = made(tmp_path, path, rows(), **options)
    small = {v.name: v for v in release.certificate().variants}["int4-storage"]
    assert small.label_flips > 0.1


def test_a_threshold_decides_which_labels_are_given(tmp_path):
    options = {"output": "multilabel", "threshold": 0.9}
    release = made(tmp_path, saved(tmp_path, "multilabel", 3), rows(), **options)
    scores = 1 / (1 + np.exp(-(rows() @ weights(3))))
    with EdgeDevice.offline(release.folder) as device:
        for x, row in zip(rows(20), scores[:20], strict=True):
            assert device.predict(x).labels == tuple(np.flatnonzero(row >= 0.9).tolist())


def test_a_pack_keeps_the_labels_of_each_row(tmp_path):
    release = made(tmp_path, saved(tmp_path, "multilabel", 3), rows(), output="multilabel")
    key = Canonicaliser(release.manifest.signature).key
    keys = np.frombuffer(b"".join(key(x.tobytes()) for x in rows(50)), np.uint8).reshape(-1, 16)
    other = np.random.default_rng(2).random((50, 3)).astype(np.float32)  # not the model's own
    write_pack(tmp_path / "p", release, keys, {"y": other}, answered_by="t")
    with EdgeDevice.offline(release.folder, pack=tmp_path / "p") as device:
        for x, scores in zip(rows(50), other, strict=True):
            p = device.predict(x)
            assert (p.source, p.confidence) == ("pack", None)
            assert p.labels == tuple(np.flatnonzero(scores >= 0.5).tolist())
    other = np.minimum(other, 0.9)
    other[0] = [0.0, 0.4999, 0.9]  # between two codes, of which the upper is the nearer
    with pytest.raises(PackError, match="1 of 50 rows would get another label"):
        write_pack(
            tmp_path / "q", release, keys, {"y": other}, answered_by="t", encodings={"y": "uint8"}
        )


SETS: dict[str, tuple[Any, str]] = {
    "another width": (np.zeros((ROWS, 4)), "3 columns"),
    "other numbers": (np.full((ROWS, 3), 2), "zeros and ones"),
    "single labels": (["cat"] * ROWS, r"y\[0\] is 'cat'"),
    "unknown labels": ([["mouse"]] * ROWS, "'mouse'"),
    "too few": (np.zeros((3, 3)), "got 3"),
}


@pytest.mark.parametrize("case", SETS)
def test_sets_of_labels_that_do_not_fit_are_refused(case, tmp_path):
    y, reason = SETS[case]
    path = saved(tmp_path, "multilabel", 3)
    with pytest.raises(ConversionError, match=reason):
        made(tmp_path, path, rows(), y, output="multilabel", classes=("cat", "dog", "hat"))


def test_values_with_y_are_certified_as_a_regressor(tmp_path):
    y = rows() @ weights(1)
    release = made(tmp_path, saved(tmp_path, "logits", 1), rows(), y[:, 0], output="values")
    assert release.manifest.task == "regression"
    assert release.manifest.metrics["score"] == pytest.approx(1.0)
    assert [each.name for each in release.profile().outputs] == ["value"]
    with EdgeDevice.offline(release.folder) as device:
        assert device.predict(rows()[0]).value == pytest.approx(float(y[0, 0]), abs=1e-5)
    y[4] = np.nan
    with pytest.raises(ConversionError, match=r"y\[4\] is missing"):
        convert(tmp_path / "m.onnx", rows(), y, name="m", out=tmp_path / "s", output="values")


def test_numbers_of_a_label_output_become_the_labels_of_the_classes(tmp_path):
    node = helper.make_node("ArgMax", ["y"], ["picked"], axis=1, keepdims=0)
    picked = helper.make_tensor_value_info("picked", TensorProto.INT64, ["n"])
    path = saved(tmp_path, "probabilities", more=[(node, picked, [])])
    names = list("abcdefghij")
    release = made(tmp_path, path, rows(), classes=names)
    with EdgeDevice.offline(release.folder) as device:
        assert device.predict_batch(rows()).labels.tolist() == [names[i] for i in truth()]


@pytest.mark.parametrize("y", [None, "own"])
def test_a_files_own_labels_name_the_classes_of_its_columns(tmp_path, y):
    """Labels from 10 down to 1 for the columns 0 to 9."""
    nodes = [
        helper.make_node("ArgMax", ["y"], ["place"], axis=1, keepdims=0),
        helper.make_node("Sub", ["ten", "place"], ["picked"]),
    ]
    path = saved(tmp_path, "probabilities")
    model = onnx.load(path)
    model.graph.node.extend(nodes)
    model.graph.initializer.append(numpy_helper.from_array(np.array(10, np.int64), "ten"))
    model.graph.output.append(helper.make_tensor_value_info("picked", TensorProto.INT64, ["n"]))
    onnx.save(model, path)
    release = made(tmp_path, path, rows(), None if y is None else 10 - truth())
    assert release.manifest.signature.classes == tuple(range(10, 0, -1))
    with EdgeDevice.offline(release.folder) as device:
        assert device.predict(rows()[0]).label == 10 - truth()[0]
    with pytest.raises(ConversionError, match="in another coding"):
        convert(path, rows(), truth(), name="m", out=tmp_path / "s")


def test_a_label_by_a_rule_of_its_own_is_kept(tmp_path):
    """The second class from 0.2 on."""
    scores = softmax(rows() @ weights(2))
    nodes = [
        helper.make_node("Greater", ["y", "least"], ["above"]),
        helper.make_node("Cast", ["above"], ["numbers"], to=TensorProto.INT64),
        helper.make_node("Gather", ["numbers", "second"], ["picked"], axis=1),
    ]
    constants = [
        numpy_helper.from_array(np.array([0.2], np.float32), "least"),
        numpy_helper.from_array(np.array(1, np.int64), "second"),
    ]
    path = saved(tmp_path, "probabilities", 2)
    model = onnx.load(path)
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(constants)
    model.graph.output.append(helper.make_tensor_value_info("picked", TensorProto.INT64, ["n"]))
    onnx.save(model, path)
    release = made(tmp_path, path, rows(), classes=[0, 1])
    expected = (scores[:, 1] > 0.2).astype(int)
    assert "label" not in release.manifest.training
    with EdgeDevice.offline(release.folder) as device:
        assert device.predict_batch(rows()).labels.tolist() == expected.tolist()
        assert [device.predict(x).label for x in rows(20)] == expected[:20].tolist()


def test_of_several_tables_the_one_that_answers_is_named(tmp_path):
    twice = helper.make_node("Add", ["y", "y"], ["z"])
    more = [(twice, helper.make_tensor_value_info("z", TensorProto.FLOAT, ["n", CLASSES]), [])]
    path = saved(tmp_path, more=more)
    with pytest.raises(ConversionError, match="expected one output with a row of numbers"):
        made(tmp_path, path, rows(), truth(), output="logits")
    release = made(tmp_path, path, rows(), truth(), output={"y": "logits"})
    assert [spec.role for spec in release.manifest.signature.outputs] == [
        "probabilities",
        "other",
        "label",
    ]


def answered(folder, nodes, outputs, constants=(), width=WIDTH):
    """A file over x [N, width]; ``outputs`` are names with shapes and element types."""
    shapes = [helper.make_tensor_value_info(*output) for output in outputs]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", width])]
    values = [numpy_helper.from_array(array, name) for name, array in constants]
    graph = helper.make_graph(nodes, "g", inputs, shapes, values)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.save(model, folder / "m.onnx")
    return folder / "m.onnx"


def test_attention_beside_the_logits_is_not_taken_for_the_answer(tmp_path):
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["logits"]),
        helper.make_node("Softmax", ["x"], ["attention"], axis=1),
    ]
    outputs = [("logits", 1, ["n", CLASSES]), ("attention", 1, ["n", WIDTH])]
    path = answered(tmp_path, nodes, outputs, [("w", weights())])
    for y in (None, truth()):
        with pytest.raises(ConversionError, match="cannot tell.*'attention' .* sum to 1.*Declare"):
            made(tmp_path, path, rows(), y)
    release = made(tmp_path, path, rows(), truth(), output={"logits": "logits"})
    assert release.manifest.metrics["score"] == 1.0


def missing_in_some_rows(folder, head, value=np.nan):
    """Answers of ``head``, but ``value`` where the first feature is above 1.5."""
    softmax = head == "probabilities"
    constants = [("w", weights()), ("c", np.float32(1.5)), ("nan", np.float32(value))]
    constants += [(name, np.array([i], np.int64)) for i, name in enumerate(("zero", "one"))]
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["s"]),
        *[helper.make_node("Softmax", ["s"], ["p"], axis=1)] * softmax,
        helper.make_node("Slice", ["x", "zero", "one", "one"], ["first"]),
        helper.make_node("Greater", ["first", "c"], ["is_bad"]),
        helper.make_node("Where", ["is_bad", "nan", "p" if softmax else "s"], ["y"]),
    ]
    return answered(folder, nodes, [("y", 1, ["n", CLASSES])], constants)


@pytest.mark.parametrize("head", ["probabilities", "logits"])
def test_an_answer_that_is_no_number_proves_no_logits_and_no_class(tmp_path, head):
    path, bad = missing_in_some_rows(tmp_path, head), rows()[:, 0] > 1.5
    with pytest.raises(ConversionError, match=f"in {bad.sum()} rows no number .*Declare"):
        made(tmp_path, path, rows(), truth())
    with pytest.raises(ConversionError, match=f"answer to row {np.flatnonzero(bad)[0]} of X"):
        made(tmp_path, path, rows(), truth(), output=head)
    release = made(tmp_path, path, rows()[~bad], truth()[~bad])
    assert release.manifest.metrics["score"] == 1.0


def test_infinite_logits_are_no_answer_and_masked_ones_are(tmp_path):
    path = missing_in_some_rows(tmp_path, "logits", np.inf)
    with pytest.raises(ConversionError, match="infinite ones, in the answer to row"):
        made(tmp_path, path, rows(), output="logits")
    mask = np.where(np.arange(CLASSES) == 3, -np.inf, 0).astype(np.float32)
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["s"]),
        helper.make_node("Add", ["s", "mask"], ["y"]),
    ]
    constants = [("w", weights()), ("mask", mask)]
    path = answered(tmp_path, nodes, [("y", 1, ["n", CLASSES])], constants)
    release = made(tmp_path, path, rows(), truth(), output="logits")
    assert release.manifest.metrics["score"] == pytest.approx((truth() != 3).mean())


def test_values_that_are_no_numbers_certify_no_score(tmp_path):
    path = answered(tmp_path, [helper.make_node("Log", ["x"], ["y"])], [("y", 1, ["n", WIDTH])])
    with pytest.raises(ConversionError, match=r"y: no score.*gives nan for row 0 of X"):
        made(tmp_path, path, rows(), rows(), output="values")


@pytest.mark.parametrize("width", [2, CLASSES])
def test_a_count_beside_probabilities_is_no_label(tmp_path, width):
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["s"]),
        helper.make_node("Softmax", ["s"], ["p"], axis=1),
        helper.make_node("ReduceSum", ["x", "one"], ["sum"], keepdims=0),
        helper.make_node("Abs", ["sum"], ["size"]),
        helper.make_node("Cast", ["size"], ["whole"], to=TensorProto.INT64),
        helper.make_node("Mod", ["whole", "width"], ["count"]),
    ]
    outputs = [("p", 1, ["n", width]), ("count", TensorProto.INT64, ["n"])]
    constants = [("w", weights(width)), ("one", np.array([1])), ("width", np.array(width))]
    path = answered(tmp_path, nodes, outputs, constants)
    with pytest.raises(ConversionError, match='"p": "probabilities", "count": "values"'):
        made(tmp_path, path, rows())
    release = made(tmp_path, path, rows(), output={"p": "probabilities", "count": "values"})
    with EdgeDevice.offline(release.folder) as device:
        assert device.predict_batch(rows()).labels.tolist() == truth(width).tolist()


@pytest.mark.parametrize("scores", [False, True])
def test_labels_in_a_column_become_one_label_a_row(tmp_path, scores):
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["s"]),
        helper.make_node("Softmax", ["s"], ["p"], axis=1),
        helper.make_node("ArgMax", ["s"], ["y"], axis=1, keepdims=1),
    ]
    outputs = [("p", 1, ["n", CLASSES])] * scores + [("y", TensorProto.INT64, ["n", 1])]
    release = made(
        tmp_path, answered(tmp_path, nodes, outputs, [("w", weights())]), rows(), truth()
    )
    assert release.manifest.metrics["score"] == 1.0
    with EdgeDevice.offline(release.folder) as device:
        assert device.predict(rows()[0]).label == truth()[0]


def test_labels_of_a_file_without_scores_are_held_to_y_in_its_coding(tmp_path):
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["s"]),
        helper.make_node("ArgMax", ["s"], ["y"], axis=1, keepdims=0),
    ]
    path = answered(tmp_path, nodes, [("y", TensorProto.INT64, ["n"])], [("w", weights())])
    with pytest.raises(ConversionError, match=r"0.0% of the labels are right, 100.0% would be"):
        made(tmp_path, path, rows(), truth() + 1)


def test_a_sigmoid_that_is_declared_as_a_logit_is_refused(tmp_path):
    with pytest.raises(ConversionError, match="every answer would be the second class"):
        made(tmp_path, saved(tmp_path, "multilabel", 1), rows(), truth(2), output="logits")


def test_a_multilabel_model_may_have_one_class(tmp_path):
    path, has = saved(tmp_path, "multilabel", 1), (rows() @ weights(1)) >= 0
    release = made(tmp_path, path, rows(), has.astype(int), output="multilabel", classes=["hat"])
    assert release.manifest.metrics["score"] == 1.0
    with EdgeDevice.offline(release.folder) as device:
        assert [device.predict(x).labels for x in rows(9)] == [
            ("hat",) * int(h) for h in has[:9, 0]
        ]


@pytest.mark.parametrize("width", [1, CLASSES])
def test_a_network_in_half_precision_is_held_to_its_own_rounding(tmp_path, width):
    values = numpy_helper.from_array(weights(width).astype(np.float16), "w")
    kind = TensorProto.FLOAT16
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", kind, ["n", WIDTH])],
        [helper.make_tensor_value_info("y", kind, ["n", width])],
        [values],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.save(model, tmp_path / "m.onnx")
    release = made(tmp_path, tmp_path / "m.onnx", rows(), output="logits")
    assert release.certificate().variants[0].max_difference < 0.01


def test_a_larger_picture_than_scores_are_for_is_refused_on_a_device(tmp_path):
    nodes = [
        helper.make_node("Conv", ["x", "k"], ["s"]),
        helper.make_node("Softmax", ["s"], ["y"], axis=1),
    ]
    kernel = np.random.default_rng(0).normal(size=(4, 3, 1, 1)).astype(np.float32)
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", 1, ["n", 3, "h", "w"])],
        [helper.make_tensor_value_info("y", 1, ["n", 4, "h", "w"])],
        [numpy_helper.from_array(kernel, "k")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.save(model, tmp_path / "m.onnx")
    pictures = np.random.default_rng(1).normal(size=(6, 3, 1, 1)).astype(np.float32)
    release = made(tmp_path, tmp_path / "m.onnx", pictures)
    with EdgeDevice.offline(release.folder) as device:
        assert device.predict(pictures[:1]).label in range(4)
        with pytest.raises(ReleaseError, match="expected answers to 1 inputs"):
            device.predict(np.ones((1, 3, 8, 8), np.float32))
