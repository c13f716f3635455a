"""Watching what is no table: from the conversion over the device to the hub's findings."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from benchmarks import pictures
from cloud_hub.monitoring.findings import FleetWindow, References, evaluate
from cloud_hub.telemetry.histograms import HistogramLayout, ReportHistograms
from converters import ConversionError, convert
from edge_sdk import EdgeDevice
from edge_sdk.contract.experiment_reports import ShadowReport
from edge_sdk.contract.messages import FeedbackReport, WindowReport
from edge_sdk.contract.serving_terms import Reporting, Sharing
from edge_sdk.errors import InputError
from edge_sdk.model.release import Release
from edge_sdk.serving.predictor import Predictor
from edge_sdk.serving.terms import ServingTerms
from edge_sdk.telemetry.tensor_watch import Allowance

UNLIMITED = 1e6
"""Share of the time of a call that lets every call be looked at."""


@pytest.fixture(scope="module")
def camera(tmp_path_factory: pytest.TempPathFactory) -> Release:
    folder = tmp_path_factory.mktemp("camera")
    onnx.save(pictures.onnx_of_network(), folder / "m.onnx")
    held_out = pictures.digits()[1].draw(np.random.default_rng(0), 1_000)
    classes = pictures.network().classes_.tolist()
    return convert(
        folder / "m.onnx", held_out.x, held_out.y, name="digits", out=folder / "r",
        classes=classes, output="probabilities", variants=("float32",),
    )  # fmt: skip


@pytest.fixture
def every_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at every call, however fast the model is."""
    monkeypatch.setattr("edge_sdk.telemetry.tensor_watch.SHARE", UNLIMITED)


def report_of(device: EdgeDevice) -> WindowReport:
    return next(body for body in device.reports() if isinstance(body, WindowReport))


def alarms(release: Release, report: WindowReport) -> set[str]:
    """Signals that alarm on the hub in the window of one device."""
    profile = release.profile()
    decoded = ReportHistograms.of(report)
    decoded.check(report, HistogramLayout.of(profile))
    counts = (*decoded.features, *decoded.outputs)
    names = [f.name for f in (*profile.features, *profile.outputs)]
    by_name = {name: each[None] for name, each in zip(names, counts, strict=True)}
    found = evaluate(FleetWindow(0, 300, ("d",), by_name), References(profile), outputs=True)
    return {finding.signal for finding in found if finding.alarming}


def seen(release: Release, x: Any) -> WindowReport:
    with EdgeDevice.offline(release.folder) as device:
        for picture in x:
            device.predict(picture[None])
        return report_of(device)


def test_a_window_of_pictures_as_at_training_alarms_nobody(
    camera: Release, every_call: None
) -> None:
    x = pictures.digits()[1].draw(np.random.default_rng(2), 500).x
    report = seen(camera, x)
    assert report.observations == 500
    assert report.predictions == {"model": 500}
    assert alarms(camera, report) == set()


@pytest.mark.parametrize(
    ("change", "signals"),
    [
        ("blurred", {"drift:picture sharpness", "drift:picture detail of 2 px"}),
        ("brighter", {"drift:picture brightness", "drift:picture contrast"}),
        ("a new class", {"drift:hidden off directions", "estimate:accuracy", "drift:confidence"}),
    ],
)
def test_a_change_of_the_camera_is_found_in_one_window_by_its_name(
    camera: Release, every_call: None, change: str, signals: set[str]
) -> None:
    random = np.random.default_rng(3)
    known, new = pictures.digits()[1].draw(random, 500).x, pictures.digits()[2]
    x = {
        "blurred": lambda: pictures.blurred(known, 1.0),
        "brighter": lambda: np.clip(np.float32(1.3) * known, 0, 1),
        "a new class": lambda: np.concatenate([known[:300], new.draw(random, 200).x]),
    }[change]()
    assert signals <= alarms(camera, seen(camera, x))


def test_no_prediction_shows_the_inner_embedding(camera: Release) -> None:
    assert [o.role for o in camera.manifest.signature.outputs][-1] == "embedding"
    x = pictures.digits()[1].x[:3]
    with EdgeDevice.offline(camera.folder) as device:
        assert set(device.predict(x[:1]).outputs) == set()
        assert set(device.predict_batch(x).outputs) == {"probabilities"}
    assert "hidden" not in camera.golden().outputs


def test_a_batch_is_watched_by_some_of_its_rows(camera: Release, every_call: None) -> None:
    x = pictures.digits()[1].draw(np.random.default_rng(4), 640).x
    with EdgeDevice.offline(camera.folder) as device:
        for i in range(0, 640, 64):
            device.predict_batch(x[i : i + 64])
        report = report_of(device)
    assert report.predictions == {"model": 640}
    assert 100 <= report.observations <= 160
    decoded = ReportHistograms.of(report)
    decoded.check(report, HistogramLayout.of(camera.profile()))


def test_a_buffer_that_the_application_fills_again_does_not_change_what_was_counted(
    camera: Release, every_call: None
) -> None:
    pictures_seen = pictures.digits()[1].draw(np.random.default_rng(5), 120).x
    buffer = np.empty_like(pictures_seen[:1])
    with EdgeDevice.offline(camera.folder) as device:
        for picture in pictures_seen:
            buffer[:] = picture
            device.predict(buffer)
            buffer[:] = 0
        report = report_of(device)
    fresh = seen(camera, pictures_seen)
    assert report.observations == 120
    assert report.features == fresh.features


def test_a_shadow_answers_to_what_was_in_the_buffer_and_not_to_what_is_now(
    camera: Release, tmp_path: Path
) -> None:
    seen_pictures = pictures.digits()[1].draw(np.random.default_rng(8), 200).x
    buffer = np.empty_like(seen_pictures[:1])
    with EdgeDevice.offline(camera.folder, shadow=camera.folder) as device:
        for picture in seen_pictures:
            buffer[:] = picture
            device.predict(buffer)
            buffer[:] = 0
        (report,) = (body for body in device.reports() if isinstance(body, ShadowReport))
    assert report.compared > 0
    assert report.disagreements == 0


def test_a_picture_may_come_without_the_axis_of_the_rows(camera: Release) -> None:
    picture = pictures.digits()[1].x[0]
    with EdgeDevice.offline(camera.folder) as device:
        alone, first = device.predict(picture), device.predict(picture[None])
        assert alone.probabilities is not None
        assert alone.probabilities.tolist() == first.probabilities.tolist()  # type: ignore[union-attr]
        assert device.predict({"picture": picture}).label == first.label
        assert device.explain(picture).parts == device.explain(picture[None]).parts
        for wrong in (picture[0], None, "a.jpg", picture[None, None], [[1, 2], [3]]):
            with pytest.raises(InputError, match="input 'picture': expected"):
                device.predict(wrong)
        with pytest.raises(InputError, match="expected shape"):
            device.predict_batch(picture)


def test_many_threads_are_counted_whole(camera: Release, every_call: None) -> None:
    x = pictures.digits()[1].draw(np.random.default_rng(6), 40).x
    with EdgeDevice.offline(camera.folder) as device:

        def ask() -> None:
            for picture in x:
                device.predict(picture[None])

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        report = report_of(device)
    assert report.predictions == {"model": 160}
    assert 0 < report.observations <= 160
    ReportHistograms.of(report).check(report, HistogramLayout.of(camera.profile()))


def test_watching_takes_no_more_than_its_share_of_the_time() -> None:
    took, cost, looked = 10_000_000, 500_000, 0  # 10 ms a call, half a millisecond to look at one
    allowance, now = Allowance(0), 0
    for _ in range(5_000):
        now += took
        if allowance.earn(took, now):
            looked += 1
            allowance.spent(cost, 1)
    assert looked * cost <= 0.0205 * 5_000 * took
    assert looked >= 0.9 * 0.02 * 5_000 * took / cost


def test_a_device_that_is_asked_now_and_then_looks_at_every_input() -> None:
    allowance, now, looked = Allowance(0), 0, 0
    for _ in range(100):
        now += 1_000_000_000
        looked += allowance.earn(20_000, now)
        allowance.spent(300_000, 1)
    assert looked == 100


def model_of(node: Any, shape: list[Any], out: list[Any], dtype: int = TensorProto.FLOAT) -> Any:
    graph = helper.make_graph(
        [node] if not isinstance(node, list) else node, "g",
        [helper.make_tensor_value_info("x", dtype, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, out)],
        [numpy_helper.from_array(np.eye(12, dtype=np.float32), "w"),
         numpy_helper.from_array(np.array([1], np.int64), "axes")],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


RANDOM = np.random.default_rng(7)
CASES: dict[str, tuple[Any, Any, dict[str, Any], str, list[str]]] = {
    "a sound whose kind is declared": (
        lambda: model_of(
            helper.make_node("ReduceL2", ["x", "axes"], ["y"], keepdims=1), ["n", 1_024], ["n", 1]
        ),
        RANDOM.standard_normal((60, 1_024)).astype(np.float32),
        {"kinds": {"x": "audio"}, "embedding": False, "output": "values"},
        "audio",
        ["x level", "x peak over level", "x offset"],
    ),
    "tokens": (
        lambda: model_of(
            [helper.make_node("Cast", ["x"], ["f"], to=TensorProto.FLOAT),
             helper.make_node("ReduceMean", ["f", "axes"], ["y"], keepdims=1)],
            ["n", 16], ["n", 1], TensorProto.INT64,
        ),
        [{"x": RANDOM.integers(0, 500, (1, 16))} for _ in range(60)],
        {"output": "values"}, "tokens", ["x length", "x rarity"],
    ),
    "a series": (
        lambda: model_of(
            helper.make_node("MatMul", ["x", "w"], ["y"]),
            ["n", 5, 12], ["n", 5, 12],
        ),
        RANDOM.standard_normal((60, 5, 12)).astype(np.float32),
        {}, "series", ["x mean", "x roughness", "x channel 12"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_other_tensors_are_watched_by_statistics_of_their_kind(
    tmp_path: Path, every_call: None, case: str
) -> None:
    build, X, keywords, kind, names = CASES[case]
    onnx.save(build(), tmp_path / "m.onnx")
    release = convert(
        tmp_path / "m.onnx", X, name="m", out=tmp_path / "r", variants=("float32",), **keywords
    )
    profile = release.profile()
    assert profile.watched[0].kind == kind
    assert set(names) <= {feature.name for feature in profile.features}
    with EdgeDevice.offline(release.folder) as device:
        for i in range(120):
            j = i % len(X)
            device.predict(X[j] if isinstance(X, list) else {"x": X[j : j + 1]})
        report = report_of(device)
    assert report.observations == 120
    counts = ReportHistograms.of(report).features
    outside = sum(int(each[-1] + each[-2]) for each in counts)
    assert outside == 0


def test_a_vector_that_comes_out_is_watched_along_its_directions(tmp_path: Path) -> None:
    build = model_of(helper.make_node("MatMul", ["x", "w"], ["y"]), ["n", 12], ["n", 12])
    onnx.save(build, tmp_path / "m.onnx")
    X = [{"x": row[None]} for row in RANDOM.standard_normal((60, 12)).astype(np.float32)]
    release = convert(
        tmp_path / "m.onnx", X, name="m", out=tmp_path / "r", variants=("float32",), output="values"
    )
    embedding = release.profile().embedding
    assert embedding is not None
    assert embedding.output == "y"
    assert np.linalg.norm(embedding.directions, axis=1) == pytest.approx(np.ones(8), abs=1e-3)
    with EdgeDevice.offline(release.folder) as device:
        assert device.predict(X[0]).value == pytest.approx(X[0]["x"][0])


def test_of_inputs_that_are_no_table_no_row_is_shared(camera: Release) -> None:
    x = pictures.digits()[1].x
    terms = ServingTerms(reporting=Reporting(votes=100), sharing=Sharing(True, 50))
    serving = Predictor(camera, terms, tag="t", share=True)
    for i in range(200):
        prediction = serving.predict(x[i % 2 : i % 2 + 1])
        serving.feedback(prediction.id.rpartition("-")[2], 3)
    bodies = serving.monitor.collect(0.0, final=True)
    serving.close()
    assert {type(body) for body in bodies} == {WindowReport, FeedbackReport}


def test_answers_that_are_no_numbers_have_no_directions(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["product"]),
        helper.make_node("Log", ["product"], ["y"]),
    ]
    onnx.save(model_of(nodes, ["n", 12], ["n", 12]), tmp_path / "m.onnx")
    rows = RANDOM.random((60, 12)).astype(np.float32)
    keywords: dict[str, Any] = {"name": "m", "variants": ("float32",), "output": "values"}
    none = [{"x": -row[None]} for row in rows]
    release = convert(tmp_path / "m.onnx", none, out=tmp_path / "none", **keywords)
    assert release.profile().embedding is None
    with pytest.raises(ConversionError, match="embedding: y: expected finite numbers"):
        convert(tmp_path / "m.onnx", none, out=tmp_path / "no", embedding="y", **keywords)
    assert not (tmp_path / "no").exists()
    some = [{"x": row[None] * (-1) ** i} for i, row in enumerate(rows)]
    release = convert(tmp_path / "m.onnx", some, out=tmp_path / "some", **keywords)
    missing = {f.name: f.counts[-2] for f in release.profile().features}
    assert missing["y direction 1"] > 10


def test_few_samples_make_no_profile_of_tensors(tmp_path: Path) -> None:
    build = model_of(helper.make_node("MatMul", ["x", "w"], ["y"]), ["n", 12], ["n", 12])
    onnx.save(build, tmp_path / "m.onnx")
    X = [{"x": row[None]} for row in RANDOM.standard_normal((20, 12)).astype(np.float32)]
    release = convert(
        tmp_path / "m.onnx", X, name="m", out=tmp_path / "r", variants=("float32",), output="values"
    )
    assert release.profile().features == ()
    with EdgeDevice.offline(release.folder) as device:
        device.predict(X[0])
        assert report_of(device).predictions == {"model": 1}


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a kind that does not exist": ({"kinds": {"picture": "video"}}, "kinds: picture: expected one"),
    "a kind of no input": ({"kinds": {"z": "image"}}, "kinds: expected names of the inputs"),
    "a kind that does not fit": ({"kinds": {"picture": "tokens"}}, "expected samples that are"),
    "kinds that are no mapping": ({"kinds": "image"}, "kinds: expected kinds by the name"),
    "an embedding that is none": ({"embedding": "nowhere"}, "embedding: expected the name"),
    "an embedding that is no name": ({"embedding": 3}, "embedding: expected the name"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_watched_is_refused_and_nothing_written(tmp_path: Path, case: str) -> None:
    keywords, said = REFUSED[case]
    onnx.save(pictures.onnx_of_network(), tmp_path / "m.onnx")
    held_out = pictures.digits()[1]
    with pytest.raises(ConversionError, match=said):
        convert(
            tmp_path / "m.onnx", held_out.x[:60], held_out.y[:60], name="m", out=tmp_path / "r",
            classes=pictures.network().classes_.tolist(), variants=("float32",), **keywords,
        )  # fmt: skip
    assert not (tmp_path / "r").exists()
