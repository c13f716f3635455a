"""What monitoring counts when much happens at once, out of order, or not as expected."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_sdk.contract.codec import decode, encode
from edge_sdk.contract.fleet import CloudReply, CloudRequest
from edge_sdk.contract.manifest import Cascade, Column, OutputSpec, Signature, TensorSpec
from edge_sdk.contract.messages import SampleBatch, WindowReport
from edge_sdk.contract.profile import FeatureProfile
from edge_sdk.contract.serving_terms import CascadePolicy, Reporting
from edge_sdk.contract.window import SOURCES
from edge_sdk.errors import InputError
from edge_sdk.model.inputs import FeedInputs, inputs_for
from edge_sdk.model.keys import Canonicaliser
from edge_sdk.model.release import Release
from edge_sdk.model.runtime import bound_call
from edge_sdk.model.schema import InputSchema
from edge_sdk.model.session import Model
from edge_sdk.serving.predictor import Predictor
from edge_sdk.serving.terms import ServingTerms
from edge_sdk.telemetry.groups import Grouping
from edge_sdk.telemetry.histogram_codec import decode_histograms
from edge_sdk.telemetry.histograms import FEW, Bins, HistogramCounts, histogram
from edge_sdk.telemetry.label_join import AnswerColumns, LabelJoin
from edge_sdk.telemetry.ring_records import RingColumns, RingRecord
from tests.clock import Clock
from tests.edge.builders import make_release, rows
from tests.waiting import PATIENCE

WINDOW = ServingTerms(reporting=Reporting(window_seconds=60, minimum_observations=1))


def windows(serving: Predictor) -> list[WindowReport]:
    bodies = serving.monitor.collect(0.0, final=True)
    return [body for body in bodies if isinstance(body, WindowReport)]


def test_batches_between_single_rows_are_not_taken_for_losses(tmp_path: Path) -> None:
    serving = Predictor(make_release(tmp_path), WINDOW, tag="t", clock=Clock())
    serving.monitor._ring = type(serving.monitor._ring)(maxlen=8)
    for row in rows(8):
        serving.predict(row)
        serving.predict_batch(rows(3))
    (report,) = windows(serving)
    assert (report.predictions, report.lost) == ({"model": 8 + 24}, {})


def test_losses_of_several_folds_add_up(tmp_path: Path) -> None:
    serving = Predictor(make_release(tmp_path), WINDOW, tag="t", clock=Clock())
    serving.monitor._ring = type(serving.monitor._ring)(maxlen=8)
    for count in (10, 3, 20):
        for row in rows(count):
            serving.predict(row)
        serving.monitor.fold()
    (report,) = windows(serving)
    assert (report.predictions, report.lost) == ({"model": 19}, {"ring": 14})


def test_threads_that_predict_while_others_fold_are_all_counted(tmp_path: Path) -> None:
    serving = Predictor(make_release(tmp_path), WINDOW, tag="t", clock=Clock())
    done = threading.Event()

    def fold() -> None:
        while not done.is_set():
            serving.monitor.fold()

    def predict() -> None:
        for row in rows(500):
            serving.predict(row)

    folder = threading.Thread(target=fold)
    threads = [threading.Thread(target=predict) for _ in range(4)]
    for thread in (folder, *threads):
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    done.set()
    folder.join(PATIENCE)
    (report,) = windows(serving)
    assert (report.predictions, report.lost) == ({"model": 2_000}, {})
    for text in (report.features, report.outputs):
        assert decode_histograms(text).add_up_to(2_000)


def test_a_clock_set_back_does_not_hold_reports_back(tmp_path: Path) -> None:
    clock = Clock()
    serving = Predictor(make_release(tmp_path), WINDOW, tag="t", clock=clock)
    serving.monitor.collect(clock.now)
    clock.now -= 86_400
    serving.predict(rows(1)[0])
    serving.monitor.collect(clock.now)
    bodies = serving.monitor.collect(clock.now + 60)
    assert [body.predictions for body in bodies if isinstance(body, WindowReport)] == [{"model": 1}]


def test_an_error_is_counted_in_the_window_in_which_it_happened(tmp_path: Path) -> None:
    clock = Clock()
    serving = Predictor(make_release(tmp_path), WINDOW, tag="t", clock=clock)
    serving.monitor.record_error("shape")
    clock.now += 60
    serving.monitor.record_error("dtype")
    first, second = windows(serving)
    assert (first.errors, second.errors) == ({"shape": 1}, {"dtype": 1})


def answered(count: int, answer: Any = 1) -> AnswerColumns:
    answers, own, nothing = (np.empty(count, object) for _ in range(3))
    answers[:], own[:] = answer, answer
    times = np.zeros(count, np.int64)
    source = np.full(count, SOURCES.index("model"), np.uint8)
    return AnswerColumns(times, times, source, answers, own, nothing)


def test_the_oldest_predictions_and_batches_are_forgotten() -> None:
    pending = LabelJoin(10, Grouping((), ()))
    pending.add(range(1, 13), answered(12))
    for number in (1, 2, 3):
        pending.add_batch(number, answered(5))
    for known in ("3", "12", "2.4", "3.0"):
        pending.label(pending.find(known), 1)
    for unknown in ("1", "2", "13", "0", "1.0", "2.5", "2.", ".2", "-1", "x", "", "1.2.3"):
        with pytest.raises(InputError, match="expected one of the last 10"):
            pending.find(unknown)
    assert pending.unmatched == 12


@pytest.mark.parametrize("at_once", [1, 7, 5_000, 30_000])
def test_a_table_that_grows_forgets_nothing(at_once: int) -> None:
    capacity, last = 20_000, 29_999
    pending = LabelJoin(capacity, Grouping((), ()))
    for first in range(1, last + 1, at_once):
        numbers = range(first, min(first + at_once, last + 1))
        pending.add(numbers, answered(len(numbers))._replace(taken=np.array(numbers)))
        oldest = max(1, numbers[-1] - capacity + 1)
        for number in (oldest, max(oldest, first - at_once), numbers[-1]):
            place = pending.find(str(number))
            assert place.taken == number
    for unknown in (last - capacity, last + 1, 10**17):
        with pytest.raises(InputError, match="expected one of the last 20000"):
            pending.find(str(unknown))


def test_a_batch_larger_than_the_table_takes_labels_until_the_next() -> None:
    pending = LabelJoin(10, Grouping((), ()))
    pending.add_batch(1, answered(100))
    assert pending.find("1.99").window == 0
    pending.add_batch(2, answered(100))
    with pytest.raises(InputError):
        pending.find("1.99")


def test_a_second_label_or_reward_is_refused_and_not_counted() -> None:
    pending = LabelJoin(10, Grouping((), ()))
    pending.add([1], answered(1))
    for join in (pending.label, pending.reward):
        join(pending.find("1"), 1)
        with pytest.raises(InputError, match="prediction 1: has its .* already"):
            join(pending.find("1"), 1)
    outcomes, _ = pending.take(0)
    assert (outcomes[0].labelled, outcomes[0].rewards) == (1, 1)


@pytest.mark.parametrize("missing", [False, True])
def test_the_key_of_what_votes_count_is_the_key_of_the_row(tmp_path: Path, missing: bool) -> None:
    release = make_release(tmp_path)
    training = {"label": "argmax", "missing": "allowed" if missing else "no"}
    release = Release(release.folder, replace(release.manifest, training=training), release.digest)
    schema = InputSchema(release.manifest.signature, missing=missing)
    inputs = inputs_for(schema, Model.load(release))
    x = rows(20)
    x[3] = -0.0
    if missing:
        x[5, 0] = np.nan
    given = [inputs.check(row) for row in x]
    keys = [inputs.key_of_mark(mark) for mark in inputs.marks(given) if mark is not None]
    assert keys == [inputs.key(row) for row in given]
    assert (keys[5] is None) == missing
    assert inputs.values(given[5])[0] is None or not missing


def cascade(
    tmp_path: Path, answer: Callable[[], CloudReply], mode: str = "cascade", **training: str
) -> tuple[Predictor, list[CloudRequest]]:
    asked: list[CloudRequest] = []

    def cloud(request: CloudRequest, _deadline: float) -> CloudReply:
        asked.append(request)
        return answer()

    release = make_release(tmp_path, cascade=Cascade(2.0))
    manifest = replace(release.manifest, training={"label": "argmax", **training})
    release = Release(release.folder, manifest, release.digest)
    terms = ServingTerms(cascade=CascadePolicy(mode))  # type: ignore[arg-type]
    return Predictor(release, terms, tag="t", cloud=cloud, clock=Clock()), asked


def test_a_missing_value_travels_to_the_cloud_as_none(tmp_path: Path) -> None:
    serving, asked = cascade(tmp_path, lambda: CloudReply("7.0", 1), missing="allowed")
    serving.predict([1.0, float("nan"), 2.0, 3.0])
    assert asked[0].row == (1.0, None, 2.0, 3.0)


@pytest.mark.parametrize(
    "reply",
    [CloudReply("7.0", 9), CloudReply("7.0", None), CloudReply("7.0", 1, (0.5, 0.5))],
    ids=["a class that this release does not know", "no label", "too few probabilities"],
)
def test_a_cloud_that_answers_beside_the_point_leaves_the_models_answer(
    tmp_path: Path, reply: CloudReply
) -> None:
    serving, _ = cascade(tmp_path, lambda: reply)
    p = serving.predict(rows(1)[0])
    assert (p.source, p.degraded) == ("model", True)


def test_text_that_is_no_unicode_is_refused_before_the_model() -> None:
    signature = Signature(
        inputs=(TensorSpec("city", "string", (None, 1)),),
        outputs=(OutputSpec("y", "float32", (None,)),),
        columns=(Column("city", "string", "city", 0),),
    )
    with pytest.raises(InputError, match="'city': expected Unicode text"):
        InputSchema(signature).row({"city": "Os\udcfflo"})


def test_a_truth_value_is_shared_as_a_number_and_the_message_can_be_read() -> None:
    signature = Signature(
        inputs=(TensorSpec("garden", "bool", (None, 1)), TensorSpec("town", "string", (None, 1))),
        outputs=(OutputSpec("y", "float32", (None,)),),
        columns=(Column("garden", "bool", "garden"), Column("town", "string", "town")),
    )
    schema = InputSchema(signature)
    inputs = FeedInputs(schema, cast(Model, None), Canonicaliser(signature))
    row = inputs.values(schema.row({"garden": True, "town": "Bonn"}))
    assert [type(value) for value in row] == [int, str]
    batch = SampleBatch("m", "1.0", (row,), (1.5,), (7,))
    assert decode(SampleBatch, encode(batch), limit=1_000).rows == ((1, "Bonn"),)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_large_finite_numbers_pass_and_infinities_do_not(dtype: str) -> None:
    signature = Signature(
        inputs=(TensorSpec("X", dtype, (None, 2)),),  # type: ignore[arg-type]
        outputs=(OutputSpec("y", "float32", (None,)),),
        columns=tuple(Column(n, dtype, "X", i) for i, n in enumerate("ab")),  # type: ignore[arg-type]
    )
    x = np.array([[np.finfo(dtype).max, 1]], dtype)
    assert InputSchema(signature).batch(x)["X"].tolist() == x.tolist()
    with pytest.raises(InputError, match="'b'"):
        InputSchema(signature).batch(np.array([[1, np.inf]], dtype))


def test_every_value_falls_into_the_bin_that_the_contract_says() -> None:
    feature = FeatureProfile("x", (0,) * 4, edges=(0.0, 1.0, 2.0))
    values = [0.0, 0.5, 1.0, 2.0, -0.1, 2.1, np.inf, -np.inf, np.nan, None]
    assert histogram(feature, values).tolist() == [2, 2, 2, 4]
    constant = FeatureProfile("x", (0,) * 3, edges=(3.0,))
    assert histogram(constant, [3.0, 2.9, 3.1, np.nan]).tolist() == [1, 1, 2]
    named = FeatureProfile("x", (0,) * 4, categories=("1", "Oslo"))
    mixed = [1, 1.0, True, "Oslo", "Rome", None, np.nan, 1.5, np.inf]
    assert histogram(named, mixed).tolist() == [3, 1, 2, 3]


EDGES = st.lists(st.sampled_from([-2.0, -0.5, 0.0, 0.25, 1.0, 3.5]), min_size=1, unique=True)
NUMBERS = st.sampled_from([-9.0, -2.0, -1.0, -0.5, 0.0, 0.1, 0.25, 1.0, 3.5, 4.0, np.nan, np.inf])


@settings(max_examples=200)
@given(st.lists(EDGES, min_size=1, max_size=5), st.integers(1, FEW), st.data())
def test_a_few_rows_are_counted_as_many_are(
    edges: list[list[float]], count: int, data: st.DataObject
) -> None:
    features = [
        FeatureProfile(f"f{i}", (0,) * (max(1, len(e) - 1) + 2), tuple(sorted(e)))
        for i, e in enumerate(edges)
    ]
    row = st.lists(NUMBERS, min_size=count, max_size=count)
    columns = np.array([data.draw(row) for _ in features], np.float32)
    few = HistogramCounts.zeros(features)
    Bins(features).add(columns, few)
    for feature, values, counted in zip(features, columns, few.each, strict=True):
        assert counted.tolist() == histogram(feature, values).tolist()


def test_the_bound_run_has_a_public_way_when_onnxruntime_is_built_otherwise() -> None:
    class Session:
        def run_with_iobinding(self, binding: str) -> str:
            return f"ran {binding}"

    assert bound_call(Session(), "binding")() == "ran binding"  # type: ignore[func-returns-value]


def test_columns_of_the_ring_are_the_fields_of_its_records() -> None:
    assert RingColumns._fields == RingRecord._fields
    records = [tuple(range(14)), tuple(range(14, 28))]
    assert RingColumns.of(records).latency == (9, 23)
    assert RingRecord._make(records[0]).latency == 9
