"""The rows of a file are found by running it, and no call loses an answer."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from converters import ConversionError, convert
from edge_sdk import EdgeDevice
from edge_sdk.errors import InputError
from edge_sdk.update.probe import probe

RANDOM = np.random.default_rng(0)
FEATURES, HIDDEN = 3, 5


def value(name, shape, kind=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


def constant(name, array):
    values = np.asarray(array)
    return numpy_helper.from_array(
        values.astype("f4") if values.dtype.kind == "f" else values, name
    )


def saved(folder, nodes, inputs, outputs, constants=(), opset=18):
    graph = helper.make_graph(nodes, "g", inputs, outputs, list(constants))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, folder / "m.onnx")
    return folder / "m.onnx"


def made(folder, path, X, *args, **options):
    release = convert(path, X, *args, name="m", out=folder / "r", **options)
    probe(release)
    return release


def gru(folder, *, steps="t", rows="n", last=False):
    """A GRU over x [time, batch, features]; its outputs by step, or those of the last one."""
    shapes = {"W": (1, 3 * HIDDEN, FEATURES), "R": (1, 3 * HIDDEN, HIDDEN)}
    constants = [constant(name, RANDOM.normal(size=shape)) for name, shape in shapes.items()]
    nodes = [
        helper.make_node("GRU", ["x", "W", "R"], ["raw", "final"], hidden_size=HIDDEN),
        helper.make_node("Squeeze", ["final" if last else "raw", "axis"], ["y"]),
    ]
    constants.append(constant("axis", np.array([0 if last else 1])))
    shape = [rows, HIDDEN] if last else [steps, rows, HIDDEN]
    return saved(
        folder, nodes, [value("x", [steps, rows, FEATURES])], [value("y", shape)], constants
    )


def test_a_time_major_network_has_its_rows_along_the_second_axis(tmp_path):
    x = RANDOM.normal(size=(7, 4, FEATURES)).astype(np.float32)
    release = made(tmp_path, gru(tmp_path), x)
    signature = release.manifest.signature
    assert signature.batched
    assert (signature.inputs[0].batch, signature.outputs[0].batch) == (1, 1)
    assert release.certificate().rows == 4
    with EdgeDevice.offline(release.folder) as device:
        whole = device.predict_batch(x)
        one = device.predict({"x": x[:, 2:3]})
        assert one.outputs["y"].shape == (7, HIDDEN)
        assert whole.outputs["y"].shape == (4, 7, HIDDEN)
        np.testing.assert_allclose(whole[2].outputs["y"], one.outputs["y"], atol=1e-6)
        with pytest.raises(InputError, match="size 1 along axis 1, got 4.*predict_batch"):
            device.predict(x)


def test_the_last_step_of_a_time_major_network_has_its_rows_first(tmp_path):
    x = RANDOM.normal(size=(7, 4, FEATURES)).astype(np.float32)
    release = made(tmp_path, gru(tmp_path, last=True), x, output="values")
    signature = release.manifest.signature
    assert (signature.inputs[0].batch, signature.outputs[0].batch) == (1, 0)
    with EdgeDevice.offline(release.folder) as device:
        assert device.predict_batch(x).values.shape == (4, HIDDEN)
        assert device.predict(x[:, :1]).value.shape == (HIDDEN,)


def test_a_sequence_without_a_batch_axis_keeps_every_step(tmp_path):
    x = RANDOM.normal(size=(7, 1, FEATURES)).astype(np.float32)
    release = made(tmp_path, gru(tmp_path, rows=1), x)
    assert not release.manifest.signature.batched
    with EdgeDevice.offline(release.folder) as device:
        p = device.predict(x)
        assert p.outputs["y"].shape == (7, 1, HIDDEN)
        longer = np.concatenate([x, x])
        assert device.predict(longer).outputs["y"].shape == (14, 1, HIDDEN)


def test_sequences_of_different_lengths_are_all_samples(tmp_path):
    feeds = [RANDOM.normal(size=(n, 1, FEATURES)).astype(np.float32) for n in (3, 9, 5, 9)]
    release = made(tmp_path, gru(tmp_path, rows=1), feeds)
    assert release.certificate().rows == 4


def test_open_axes_alone_make_no_batch(tmp_path):
    """x [any, any] to x times its transpose: the answer to a row depends on the others."""
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"]),
        helper.make_node("MatMul", ["x", "t"], ["y"]),
    ]
    path = saved(tmp_path, nodes, [value("x", ["a", "b"])], [value("y", ["a", "c"])])
    x = RANDOM.normal(size=(4, 3)).astype(np.float32)
    release = made(tmp_path, path, {"x": x})
    assert not release.manifest.signature.batched
    with EdgeDevice.offline(release.folder) as device:
        np.testing.assert_allclose(device.predict({"x": x}).outputs["y"], x @ x.T, atol=1e-5)
        with pytest.raises(InputError, match="use predict"):
            device.predict_batch({"x": x})


def test_a_feed_of_four_rows_is_not_answered_for_the_first_alone(tmp_path):
    nodes = [helper.make_node("Mul", ["x", "x"], ["y"])]
    path = saved(tmp_path, nodes, [value("x", ["n", 2, 2])], [value("y", ["n", 2, 2])])
    x = RANDOM.normal(size=(4, 2, 2)).astype(np.float32)
    release = made(tmp_path, path, {"x": x})
    with EdgeDevice.offline(release.folder) as device:
        with pytest.raises(InputError, match="got 4 in shape.*predict_batch"):
            device.predict({"x": x})
        assert device.predict({"x": x[:1]}).outputs["y"].shape == (2, 2)
        np.testing.assert_allclose(device.predict_batch({"x": x}).outputs["y"], x * x)


def detector(folder, first="n"):
    """Pictures of any size to the places [found, 4] that are above 1."""
    nodes = [
        helper.make_node("Greater", ["x", "one"], ["above"]),
        helper.make_node("NonZero", ["above"], ["where"]),
        helper.make_node("Transpose", ["where"], ["places"]),
        helper.make_node("Cast", ["places"], ["y"], to=TensorProto.FLOAT),
    ]
    inputs = [value("x", [first, 1, "h", "w"])]
    outputs = [value("y", ["found", 4])]
    return saved(folder, nodes, inputs, outputs, [constant("one", np.array(1.0))])


@pytest.mark.parametrize("first", ["n", 1])
def test_a_detector_takes_pictures_of_any_size(tmp_path, first):
    sizes = [(8, 8), (12, 7), (5, 20)]
    pictures = [RANDOM.normal(size=(1, 1, *size)).astype(np.float32) for size in sizes]
    release = made(tmp_path, detector(tmp_path, first), pictures)
    signature = release.manifest.signature
    assert not signature.batched
    assert signature.inputs[0].shape[2:] == (None, None)
    assert release.certificate().rows == 3
    with EdgeDevice.offline(release.folder) as device:
        for picture in [*pictures, RANDOM.normal(size=(1, 1, 31, 3))]:
            found = device.predict(picture).outputs["y"]
            assert len(found) == (picture.astype(np.float32) > 1).sum()


def test_a_detector_may_find_nothing(tmp_path):
    nothing = np.zeros((3, 1, 4, 4), np.float32)
    release = made(tmp_path, detector(tmp_path), [*nothing[:, None]])
    with EdgeDevice.offline(release.folder) as device:
        assert device.predict(nothing[:1]).outputs["y"].shape == (0, 4)
        assert device.predict(nothing[:1] + 2).outputs["y"].shape == (16, 4)


def convolution(folder, dim):
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node("GlobalAveragePool", ["a"], ["b"]),
        helper.make_node("Flatten", ["b"], ["y"]),
    ]
    weights = [constant("w", RANDOM.normal(size=(4, 3, 3, 3)))]
    inputs, outputs = [value("x", [dim, 3, dim, dim])], [value("y", [dim, 4])]
    return saved(folder, nodes, inputs, outputs, weights)


def test_a_size_of_minus_one_is_an_open_dimension(tmp_path):
    path = convolution(tmp_path, -1)
    x = RANDOM.normal(size=(6, 3, 9, 9)).astype(np.float32)
    release = made(tmp_path, path, x, output="values")
    assert release.manifest.signature.inputs[0].shape == (None, 3, None, None)
    assert release.manifest.signature.outputs[0].shape == (None, 4)
    kept = onnx.load(release.model_path).graph
    sizes = [d.dim_value for v in (*kept.input, *kept.output) for d in v.type.tensor_type.shape.dim]
    assert min(sizes) >= 0
    with EdgeDevice.offline(release.folder) as device:
        assert device.predict_batch(x).values.shape == (6, 4)
        assert device.predict(x[:1, :, :5, :4]).value.shape == (4,)


def test_pictures_of_several_sizes_are_rows_of_one_network(tmp_path):
    sizes = [(9, 9), (9, 9), (6, 4), (9, 9)]
    pictures = [RANDOM.normal(size=(3, *size)).astype(np.float32) for size in sizes]
    y = [0, 1, 0, 1]
    options = {"output": "logits", "classes": list("abcd")}
    release = made(tmp_path, convolution(tmp_path, None), pictures, **options)
    assert release.manifest.signature.batched
    assert release.certificate().rows == 4
    with pytest.raises(ConversionError, match="in another coding"):
        convert(tmp_path / "m.onnx", pictures, y, name="m", out=tmp_path / "s", **options)


def test_an_axis_of_one_row_that_the_file_fixes_takes_any_number(tmp_path):
    x = RANDOM.normal(size=(6, 3, 9, 9)).astype(np.float32)
    path = convolution(tmp_path, 1)
    model = onnx.load(path)
    for i in (2, 3):
        model.graph.input[0].type.tensor_type.shape.dim[i].dim_value = 9
    onnx.save(model, path)
    release = made(tmp_path, path, x, output="values")
    assert release.certificate().rows == 6
    with EdgeDevice.offline(release.folder) as device:
        batch = device.predict_batch(x)
        np.testing.assert_allclose(device.predict(x[4:5]).value, batch.values[4], atol=1e-5)


def test_a_file_that_was_traced_with_one_row_answers_any_number(tmp_path):
    """Its input has an open first axis, and its graph a reshape to one row."""
    nodes = [
        helper.make_node("Reshape", ["x", "one row"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], ["y"]),
    ]
    weights = RANDOM.normal(size=(12, 4))
    constants = [constant("one row", np.array([1, 12])), constant("w", weights)]
    path = saved(tmp_path, nodes, [value("x", ["n", 3, 4])], [value("y", ["n", 4])], constants)
    x = RANDOM.normal(size=(60, 3, 4)).astype(np.float32)
    y = (x.reshape(60, 12) @ weights).argmax(axis=1)
    release = made(tmp_path, path, x, y)
    assert release.manifest.metrics["score"] == 1.0
    with EdgeDevice.offline(release.folder) as device:
        assert device.predict_batch(x).labels.tolist() == y.tolist()
        assert device.predict(x[7:8]).label == y[7]


def test_rows_that_the_caller_claims_must_be_there(tmp_path):
    x = RANDOM.normal(size=(7, 1, FEATURES)).astype(np.float32)
    with pytest.raises(ConversionError, match="batched=True: expected answers to three rows"):
        convert(gru(tmp_path, rows=1), x, name="m", out=tmp_path / "r", batched=True)
    release = made(tmp_path, gru(tmp_path), x, batched=False)
    assert not release.manifest.signature.batched


def test_words_of_several_inputs_are_rows_together(tmp_path):
    """Numbers of words and a mask [N, words] to the mean of their vectors."""
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["vectors"]),
        helper.make_node("Unsqueeze", ["mask", "last"], ["wide"]),
        helper.make_node("Cast", ["wide"], ["share"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["vectors", "share"], ["kept"]),
        helper.make_node("ReduceMean", ["kept", "one"], ["y"], keepdims=0),
    ]
    constants = [
        constant("table", RANDOM.normal(size=(50, 6))),
        constant("last", np.array([-1])),
        constant("one", np.array([1])),
    ]
    inputs = [value(name, ["n", "words"], TensorProto.INT64) for name in ("ids", "mask")]
    path = saved(tmp_path, nodes, inputs, [value("y", ["n", 6])], constants)
    feed = {"ids": RANDOM.integers(0, 50, (8, 5)), "mask": RANDOM.integers(0, 2, (8, 5))}
    release = made(tmp_path, path, feed, output="values")
    assert release.manifest.signature.batched
    with EdgeDevice.offline(release.folder) as device:
        assert device.predict_batch(feed).values.shape == (8, 6)
        with pytest.raises(InputError, match="as many rows"):
            device.predict_batch({"ids": feed["ids"], "mask": feed["mask"][:3]})


def test_an_input_that_all_rows_share_makes_it_one_input_at_a_time(tmp_path):
    nodes = [helper.make_node("Mul", ["x", "factor"], ["y"])]
    inputs = [value("x", ["n", 3, 2]), value("factor", [])]
    path = saved(tmp_path, nodes, inputs, [value("y", ["n", 3, 2])])
    feeds = [{"x": RANDOM.normal(size=(2, 3, 2)).astype(np.float32), "factor": 2.0}] * 3
    release = made(tmp_path, path, feeds)
    assert not release.manifest.signature.batched
    with EdgeDevice.offline(release.folder) as device:
        assert device.predict(feeds[0]).outputs["y"].shape == (2, 3, 2)


def test_the_steps_of_a_model_with_state_are_all_judged(tmp_path):
    """An accumulator: its last answer depends on all inputs."""
    nodes = [
        helper.make_node("Add", ["x", "sum"], ["next"]),
        helper.make_node("Relu", ["next"], ["y"]),
    ]
    inputs = [value("x", [1, 2]), value("sum", [1, 2])]
    path = saved(tmp_path, nodes, inputs, [value("y", [1, 2]), value("next", [1, 2])])
    x = np.ones((5, 2), np.float32)
    options = {"state": {"sum": "next"}, "output": "values"}
    y = np.cumsum(x, axis=0)
    release = made(tmp_path, path, {"x": x}, y, **options)
    assert release.certificate().rows == 5
    assert release.manifest.metrics["score"] == 1.0


REFUSED = {
    "a generator": (lambda: (x for x in [1]), r"a generator is read with list\(X\)"),
    "nothing": (lambda: None, "X: expected samples of the inputs.*NoneType"),
    "an empty list": (list, "at least one sample"),
    "no rows": (lambda: np.zeros((7, 0, FEATURES), np.float32), "at least one sample"),
    "another rank": (lambda: np.zeros((7, FEATURES), np.float32), "expected shape"),
    "another width": (lambda: np.zeros((7, 1, 9), np.float32), "expected shape"),
    "text": (lambda: np.full((7, 1, FEATURES), "a"), "float32"),
    "endless": (lambda: np.full((7, 1, FEATURES), np.inf), "finite"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_samples_that_are_none_are_refused(case, tmp_path):
    make, reason = REFUSED[case]
    with pytest.raises(ConversionError, match=reason):
        convert(gru(tmp_path), make(), name="m", out=tmp_path / "r")
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize("count", [1, 3, 30])
def test_rows_that_fill_up_the_last_block_are_no_samples(tmp_path, count):
    kernel = RANDOM.normal(size=(16, 3))
    nodes = [
        helper.make_node("Flatten", ["x"], ["f"], axis=1),
        helper.make_node("MatMul", ["f", "k"], ["y"]),
    ]
    path = saved(
        tmp_path, nodes, [value("x", [4, 4, 4])], [value("y", [4, 3])], [constant("k", kernel)]
    )
    x = RANDOM.normal(size=(count, 4, 4)).astype(np.float32)
    y = (x.reshape(count, -1) @ kernel.astype("f4")).argmax(axis=1)
    release = made(tmp_path, path, x, y, output="logits")
    assert release.certificate().rows == count
    assert release.manifest.metrics["score"] == 1.0
    profile = release.profile()
    assert profile.rows == count
    assert sum(profile.outputs[0].counts) == count


def test_a_state_that_grows_with_each_step_is_refused(tmp_path):
    nodes = [
        helper.make_node("Concat", ["past", "x"], ["present"], axis=1),
        helper.make_node("ReduceMean", ["present", "axis"], ["y"], keepdims=0),
    ]
    inputs = [value("x", ["n", 1, FEATURES]), value("past", ["n", "t", FEATURES])]
    outputs = [value("y", ["n", FEATURES]), value("present", ["n", "u", FEATURES])]
    path = saved(tmp_path, nodes, inputs, outputs, [constant("axis", np.array([1]))])
    steps = [{"x": x} for x in RANDOM.normal(size=(5, 1, 1, FEATURES)).astype(np.float32)]
    with pytest.raises(ConversionError, match="state: expected 'present' in the shape of 'past'"):
        made(tmp_path, path, steps, output={"y": "values"}, state={"past": "present"})


def test_lists_of_different_lengths_are_no_input_of_a_device(tmp_path):
    nodes = [helper.make_node("ReduceSum", ["x", "axis"], ["y"])]
    path = saved(
        tmp_path,
        nodes,
        [value("x", ["n", "t"])],
        [value("y", ["n", 1])],
        [constant("axis", np.array([1]))],
    )
    release = made(tmp_path, path, np.eye(4, dtype=np.float32), output="values")
    with EdgeDevice.offline(release.folder) as device, pytest.raises(InputError, match="shape"):
        device.predict_batch([[1.0], [1.0, 2.0]])
