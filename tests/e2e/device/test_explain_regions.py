"""Explanations by regions: exact where parts add up, measured where nobody knows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from benchmarks import pictures
from converters import convert
from edge_sdk import EdgeDevice
from edge_sdk.errors import InputError

RANDOM = np.random.default_rng(0)


def device_of(
    folder: Path,
    nodes: list[Any],
    shape: list[Any],
    out: list[Any],
    X: Any,
    *,
    weights: dict[str, np.ndarray[Any, Any]] | None = None,
    dtype: int = TensorProto.FLOAT,
    **keywords: Any,
) -> EdgeDevice:
    """A device that serves a graph from ``x`` to ``y``."""
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", dtype, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, out)],
        [numpy_helper.from_array(array, name) for name, array in (weights or {}).items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.save(model, folder / "m.onnx")
    options = {"variants": ("float32",), "output": "values"} | keywords
    convert(folder / "m.onnx", X, name="m", out=folder / "r", **options)
    return EdgeDevice.offline(folder / "r")


def linear(width: int) -> tuple[list[Any], dict[str, Any]]:
    """Nodes and weights of a model that is linear in all values of its input."""
    weights = {"w": RANDOM.standard_normal((width, 1)).astype(np.float32)}
    nodes = [
        helper.make_node("Flatten", ["x"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], ["y"]),
    ]
    return nodes, weights


@pytest.mark.parametrize("shape", [(3, 16, 24), (16, 24, 3), (1, 8, 8)])
@pytest.mark.parametrize("method", ["occlusion", "shapley"])
def test_parts_of_a_linear_model_of_pictures_are_its_terms(
    tmp_path: Path, shape: tuple[int, ...], method: Any
) -> None:
    width = int(np.prod(shape))
    nodes, weights = linear(width)
    X = RANDOM.random((60, *shape), np.float32)
    with device_of(tmp_path, nodes, ["n", *shape], ["n", 1], X, weights=weights) as device:
        found = device.explain({"x": X[:1]}, method=method, regions=16, calls=200)
        assert device.reports() == []
    channels = 2 if shape[-1] == 3 else 0
    rest = [i for i in range(3) if i != channels]
    usual = np.expand_dims(X.mean(axis=(0, *(i + 1 for i in rest))), rest)
    terms = ((X[0] - usual) * weights["w"].reshape(shape)).sum(axis=channels)
    assert found.regions is not None
    assert found.regions.shape == terms.shape
    expected = np.bincount(found.regions.ravel(), terms.ravel())
    parts = [found.parts[name] for name in found.names]
    assert parts == pytest.approx(expected, abs=0.02)
    assert found.residual == pytest.approx(0, abs=0.01)
    assert found.faithfulness == pytest.approx(1, abs=0.001)
    assert found.heatmap().shape == terms.shape
    assert found.scale == "value"
    assert next(iter(found.parts)) == max(found.parts, key=lambda name: abs(found.parts[name]))


def test_what_acts_together_is_shared_by_shapley_and_missed_by_occlusion(tmp_path: Path) -> None:
    nodes = [helper.make_node("ReduceMax", ["x", "axes"], ["y"], keepdims=1)]
    weights = {"axes": np.array([1], np.int64)}
    X = np.concatenate([np.zeros((60, 32), np.float32), np.ones((60, 32), np.float32)])
    X += RANDOM.random((120, 1), np.float32) * np.float32(0.01)
    feeds = [{"x": row[None]} for row in X]
    with device_of(tmp_path, nodes, ["n", 32], ["n", 1], feeds, weights=weights) as device:
        row = np.full((1, 32), 5, np.float32)
        alone = device.explain({"x": row}, regions=4)
        shared = device.explain({"x": row}, regions=4, method="shapley", calls=4_000)
    assert max(map(abs, alone.parts.values())) < 1e-6
    assert alone.residual > 1
    assert not alone.additive
    each = (shared.output - shared.usual) / 4
    assert list(shared.parts.values()) == pytest.approx([each] * 4, rel=0.25)
    assert shared.residual == pytest.approx(0, abs=1e-4)


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("digits")
    onnx.save(pictures.onnx_of_network(), folder / "m.onnx")
    held_out = pictures.digits()[1].draw(np.random.default_rng(0), 300)
    convert(
        folder / "m.onnx", held_out.x, held_out.y, name="digits", out=folder / "r",
        classes=pictures.network().classes_.tolist(), output="probabilities",
        variants=("float32",),
    )  # fmt: skip
    return folder / "r"


@pytest.mark.parametrize("method", ["occlusion", "shapley"])
def test_taking_away_what_counts_most_lowers_a_classifier_more_than_chance(
    digits: Path, method: Any
) -> None:
    x = pictures.digits()[1].draw(np.random.default_rng(1), 6).x
    random = np.random.default_rng(2)
    with EdgeDevice.offline(digits) as device:
        ours, chance, faithful = [], [], []
        for picture in x:
            found = device.explain(picture[None], method=method, regions=16, calls=400)
            assert found.regions is not None
            assert found.label == device.predict(picture[None]).label
            assert found.faithfulness is not None
            faithful.append(found.faithfulness)
            places = dict(zip(found.names, range(len(found.names)), strict=True))
            best = [places[name] for name, _ in found.top(4)]
            for chosen, fell in ((best, ours), (random.permutation(16)[:4], chance)):
                gone = np.where(np.isin(found.regions, chosen), x.mean(), picture)
                answer = device.predict(np.asarray(gone, np.float32)[None])
                index = list(pictures.network().classes_).index(found.label)
                assert answer.probabilities is not None
                fell.append(found.output - answer.probabilities[index])
    assert np.mean(ours) > np.mean(chance) + 0.1
    assert np.mean(faithful) > 0.4


def test_the_same_input_gets_the_same_explanation(digits: Path) -> None:
    x = pictures.digits()[1].x[:1]
    with EdgeDevice.offline(digits) as device:
        first, again = (device.explain(x, method="shapley", calls=100) for _ in range(2))
        odds = device.explain(x, scale="log-odds")
    assert first.parts == again.parts
    assert odds.scale == "log-odds"


def test_a_vector_is_explained_by_how_similar_it_stays(tmp_path: Path) -> None:
    weights = {"w": RANDOM.standard_normal((40, 8)).astype(np.float32)}
    weights["w"][20:] = 0  # the second half of the series counts for nothing
    nodes = [
        helper.make_node("Flatten", ["x"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], ["y"]),
    ]
    X = RANDOM.standard_normal((60, 20, 2)).astype(np.float32)
    with device_of(tmp_path, nodes, ["n", 20, 2], ["n", 8], X, weights=weights) as device:
        found = device.explain({"x": X[:1]}, regions=4)
    assert (found.scale, found.label) == ("similarity", None)
    assert found.output == pytest.approx(1)
    assert found.names == ("steps 0:5", "steps 5:10", "steps 10:15", "steps 15:20")
    assert min(found.parts[name] for name in found.names[:2]) > 0.01
    assert max(abs(found.parts[name]) for name in found.names[2:]) < 1e-6


def test_tokens_are_taken_away_as_padding_and_a_time_axis_may_come_first(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Cast", ["x"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("ReduceSum", ["f", "axes"], ["y"], keepdims=0),
    ]
    weights = {"axes": np.array([0], np.int64)}
    X = RANDOM.integers(1, 50, (12, 60))
    with device_of(
        tmp_path, nodes, [12, "n"], ["n"], {"x": X}, weights=weights, dtype=TensorProto.INT64
    ) as device:
        row = X[:, :1]
        found = device.explain({"x": row}, regions=12)
    assert [found.parts[name] for name in found.names] == row[:, 0].tolist()


def test_each_label_of_a_multilabel_model_is_explained_by_its_own_score(tmp_path: Path) -> None:
    weights = {"w": np.zeros((16, 2), np.float32)}
    weights["w"][:8, 0] = 1  # the first half makes label a
    weights["w"][8:, 1] = 1
    nodes = [
        helper.make_node("Flatten", ["x"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], ["sums"]),
        helper.make_node("Sigmoid", ["sums"], ["y"]),
    ]
    X = RANDOM.standard_normal((60, 8, 2)).astype(np.float32)
    with device_of(
        tmp_path, nodes, ["n", 8, 2], ["n", 2], X,
        weights=weights, output="multilabel", classes=["a", "b"],
    ) as device:  # fmt: skip
        x = np.ones((8, 2), np.float32)
        x[:4] *= 2
        assert device.predict(x).labels == ("a", "b")
        likeliest, second = device.explain(x, regions=2), device.explain(x, regions=2, label="b")
        assert (likeliest.label, second.label) == ("a", "b")
        assert likeliest.top(1)[0][0] == "steps 0:4"
        assert second.top(1)[0][0] == "steps 4:8"
        with pytest.raises(InputError, match=r"label: expected one of \['a', 'b'\]"):
            device.explain(x, label="c")


def test_words_of_a_text_are_left_out(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("StringSplit", ["x"], ["words", "count"], delimiter=" "),
        helper.make_node("Equal", ["words", "bad"], ["is_bad"]),
        helper.make_node("Cast", ["is_bad"], ["bads"], to=TensorProto.FLOAT),
        helper.make_node("ReduceSum", ["bads", "axes"], ["y"], keepdims=1),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.STRING, ["n"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 1])],
        [helper.make_tensor("bad", TensorProto.STRING, [1], [b"bad"]),
         numpy_helper.from_array(np.array([1]), "axes")],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.save(model, tmp_path / "m.onnx")
    X = [{"x": np.array([" ".join(RANDOM.choice(["so", "bad"], 5))], object)} for _ in range(60)]
    keywords: dict[str, Any] = {"variants": ("float32",), "output": "values"}
    convert(tmp_path / "m.onnx", X, name="m", out=tmp_path / "r", **keywords)
    with EdgeDevice.offline(tmp_path / "r") as device:
        assert device.predict("a bad  bad day").value == 2
        found = device.explain("a bad  bad day", method="shapley", calls=40)
        assert dict(sorted(found.parts.items())) == pytest.approx(
            {"words 0:1 'a'": 0, "words 1:2 'bad'": 1, "words 2:3 'bad'": 1, "words 3:4 'day'": 0}
        )
        assert (found.output, found.usual, found.heatmap().tolist()) == (2, 0, [0, 1, 1, 0])
        long = device.explain(" bad" * 3_000, regions=100)
        assert list(long.parts.values()) == [30] * 100
        for text in ("", "word"):
            with pytest.raises(InputError, match="expected one text of two words at least"):
                device.explain(text)


REFUSED: dict[str, tuple[Any, dict[str, Any], str]] = {
    "several inputs": (np.zeros((2, 1, 32, 32), np.float32), {}, "expected one input"),
    "another shape": (np.zeros((1, 1, 8, 8), np.float32), {}, "expected shape"),
    "an unknown method": (None, {"method": "luck"}, "method: expected one of"),
    "too many regions": (None, {"regions": 5_000}, "regions: expected a whole number"),
    "a part of a region": (None, {"regions": 2.5}, "regions: expected a whole number"),
    "no calls": (None, {"calls": 0}, "calls: expected a whole number"),
    "another tensor": (None, {"tensor": "z"}, "tensor: expected one of"),
    "an unknown scale": (None, {"scale": "luck"}, "scale: expected"),
    "a label of no class": (None, {"label": 7}, "label: expected one of"),
    "labels": (None, {"label": np.array([1, 2])}, "label: expected one of"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_explained_is_refused(digits: Path, case: str) -> None:
    x, keywords, said = REFUSED[case]
    picture = pictures.digits()[1].x[:1] if x is None else x
    with EdgeDevice.offline(digits) as device, pytest.raises(InputError, match=said):
        device.explain({"picture": picture}, **keywords)
