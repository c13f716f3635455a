"""Answers: pack, then model, then cloud; and what is counted of them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_sdk.contract.fleet import CloudReply, CloudRequest
from edge_sdk.contract.histograms import NO_HISTOGRAMS
from edge_sdk.contract.manifest import Cascade
from edge_sdk.contract.messages import FeedbackReport, KeyVotes, SampleBatch, WindowReport
from edge_sdk.contract.serving_terms import CascadePolicy, Reporting, Sharing
from edge_sdk.device import EdgeDevice
from edge_sdk.errors import HubUnreachable, InputError, ReleaseError
from edge_sdk.model.keys import Canonicaliser
from edge_sdk.packs.reader import Pack
from edge_sdk.packs.writer import write_pack
from edge_sdk.serving.predictor import Predictor
from edge_sdk.serving.terms import ServingTerms
from edge_sdk.telemetry.histogram_codec import decode_histograms
from edge_sdk.telemetry.ring_records import BATCH_SAMPLE
from edge_sdk.update.probe import probe
from tests.clock import Clock
from tests.edge.builders import make_release, rows, softmax
from tests.waiting import PATIENCE


def reporting(**options: Any) -> ServingTerms:
    return ServingTerms(
        reporting=Reporting(**({"window_seconds": 60, "minimum_observations": 10} | options))
    )


def collect(serving: Predictor, cls: type, *, final: bool = True) -> list[Any]:
    return [b for b in serving.monitor.collect(0.0, final=final) if isinstance(b, cls)]


def test_the_model_answers_rows_lists_dicts_and_batches_alike(tmp_path: Path) -> None:
    serving = Predictor(make_release(tmp_path), ServingTerms(), tag="t", clock=Clock())
    x = rows(30)
    expected = softmax(x, 0)
    batch = serving.predict_batch(x)
    assert np.allclose(batch.probabilities, expected, atol=1e-6)
    for i, row in enumerate(x):
        for given in (row, row.tolist(), {f"f{j}": row[j] for j in range(4)}):
            p = serving.predict(given)
            assert (p.label, p.source, p.version) == (int(expected[i].argmax()), "model", "1.0")
            assert np.allclose(p.probabilities, expected[i], atol=1e-6)
        assert batch[i].label == p.label
    assert len({p.id for p in batch} | {serving.predict(x[0]).id}) == 31


@pytest.mark.parametrize("argmax", [True, False])
def test_the_label_is_a_plain_python_value(tmp_path: Path, argmax: bool) -> None:
    serving = Predictor(
        make_release(tmp_path, argmax=argmax), ServingTerms(), tag="t", clock=Clock()
    )
    assert type(serving.predict(rows(1)[0]).label) is int


def test_an_answer_stays_the_callers_after_the_next_call(tmp_path: Path) -> None:
    serving = Predictor(make_release(tmp_path), ServingTerms(), tag="t", clock=Clock())
    x = rows(2)
    first = serving.predict(x[0])
    kept = first.probabilities.copy()
    serving.predict(x[1])
    assert (first.probabilities == kept).all()


def test_many_threads_get_their_own_answers(tmp_path: Path) -> None:
    serving = Predictor(make_release(tmp_path), reporting(), tag="t", clock=Clock())
    x, wrong = rows(8), []
    expected = softmax(x, 0)

    def ask(i: int) -> None:
        for _ in range(300):
            if not np.allclose(serving.predict(x[i]).probabilities, expected[i], atol=1e-6):
                wrong.append(i)

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert wrong == []
    assert sum(r.predictions["model"] for r in collect(serving, WindowReport)) == 2_400


def with_pack(tmp_path: Path, cloud_seed: int = 9) -> Predictor:
    release = make_release(tmp_path)
    canonicaliser = Canonicaliser(release.manifest.signature)
    x = rows(10)
    keys = np.array([np.frombuffer(canonicaliser.key(row.tobytes()), np.uint8) for row in x])
    values = {"probabilities": softmax(x, cloud_seed).astype(np.float32)}
    write_pack(tmp_path / "pack", release, keys, values, answered_by="cloud 1.0")
    return Predictor(
        release, reporting(), tag="t", pack=Pack.open(tmp_path / "pack", release), clock=Clock()
    )


def test_the_pack_answers_first_and_the_model_what_it_does_not_hold(tmp_path: Path) -> None:
    serving = with_pack(tmp_path)
    known, unknown = serving.predict(rows(10)[3]), serving.predict(rows(12)[11])
    assert (known.source, unknown.source) == ("pack", "model")
    assert np.allclose(known.probabilities, softmax(rows(10), 9)[3], atol=1e-6)
    assert known.label == int(softmax(rows(10), 9)[3].argmax())


def test_a_batch_may_ask_the_pack_and_the_model_answers_the_other_rows(tmp_path: Path) -> None:
    serving = with_pack(tmp_path)
    x = np.concatenate([rows(20)[15:], rows(10)[:3], rows(20)[12:14]])
    plain, mixed = serving.predict_batch(x), serving.predict_batch(x, pack=True)
    assert plain.sources == ["model"] * 10
    assert mixed.sources == ["model"] * 5 + ["pack"] * 3 + ["model"] * 2
    assert (mixed.source, repr(mixed).startswith("<BatchPrediction of 10")) == ("model", True)
    for i, row in enumerate(x):
        alone = serving.predict(row)
        assert (alone.source, alone.label) == (mixed[i].source, mixed[i].label)
        assert np.allclose(alone.probabilities, mixed[i].probabilities, atol=1e-6)
    whole = serving.predict_batch(rows(10), pack=True)
    assert (whole.source, whole.counts) == ("pack", {"pack": 10})
    assert serving.predict_batch(rows(13)[10:], pack=True).source == "model"
    (report,) = collect(serving, WindowReport)
    assert report.predictions == {"model": 10 + 7 + 7 + 3, "pack": 3 + 3 + 10}


def test_a_label_for_a_row_of_the_pack_is_none_of_the_models_own(tmp_path: Path) -> None:
    serving = with_pack(tmp_path)
    x = rows(12)[8:]
    batch = serving.predict_batch(x, pack=True)
    assert batch.sources == ["pack", "pack", "model", "model"]
    for p in batch:
        serving.feedback(p.id.rpartition("-")[2], label=p.label)
    (feedback,) = collect(serving, FeedbackReport)
    assert (feedback.labelled, feedback.own_labelled) == (4, 2)
    assert feedback.by_source == {"pack": (2, 2), "model": (2, 2)}


class Cloud:
    def __init__(self, answer: Callable[[], CloudReply]) -> None:
        self.answer = answer
        self.asked: list[CloudRequest] = []

    def __call__(self, request: CloudRequest, deadline: float) -> CloudReply:
        assert deadline == 0.25
        self.asked.append(request)
        return self.answer()


def away() -> CloudReply:
    raise HubUnreachable("nobody there")


SURE = CloudReply("7.0", 2, (0.0, 0.1, 0.9))


def unsure(
    tmp_path: Path, cloud: Cloud, mode: str = "cascade", threshold: float = 2.0
) -> Predictor:
    release = make_release(tmp_path, cascade=Cascade(threshold))
    terms = ServingTerms(cascade=CascadePolicy(mode))  # type: ignore[arg-type]
    return Predictor(release, terms, tag="t", cloud=cloud, clock=Clock())


def test_an_unsure_model_asks_the_cloud_with_the_row(tmp_path: Path) -> None:
    cloud = Cloud(lambda: SURE)
    p = unsure(tmp_path, cloud).predict(rows(1)[0])
    assert (p.source, p.version, p.label, p.degraded) == ("cloud", "7.0", 2, False)
    assert cloud.asked[0].row == tuple(rows(1)[0].tolist())


def test_a_sure_model_does_not_ask(tmp_path: Path) -> None:
    cloud = Cloud(lambda: SURE)
    assert unsure(tmp_path, cloud, threshold=0.0).predict(rows(1)[0]).source == "model"
    assert cloud.asked == []


@pytest.mark.parametrize(("mode", "asked"), [("local", 0), ("cloud", 1)])
def test_the_plan_may_forbid_or_demand_the_cloud(tmp_path: Path, mode: str, asked: int) -> None:
    cloud = Cloud(lambda: SURE)
    unsure(tmp_path, cloud, mode, threshold=0.0).predict(rows(1)[0])
    assert len(cloud.asked) == asked


def test_a_cloud_that_is_away_leaves_the_models_answer_degraded_and_is_soon_left_alone(
    tmp_path: Path,
) -> None:
    cloud = Cloud(away)
    serving = unsure(tmp_path, cloud)
    answers = [serving.predict(row) for row in rows(20)]
    assert all(p.degraded and p.source == "model" for p in answers)
    assert len(cloud.asked) == 3


def test_the_models_own_label_is_scored_where_the_cloud_answered(tmp_path: Path) -> None:
    serving = unsure(tmp_path, Cloud(lambda: SURE))
    p = serving.predict(rows(1)[0])
    serving.feedback(p.id.rpartition("-")[2], label=2)
    (report,) = collect(serving, FeedbackReport)
    own = int(softmax(rows(1), 0)[0].argmax())
    assert (report.labelled, report.correct) == (1, 1)
    assert (report.own_labelled, report.own_correct) == (1, int(own == 2))


def test_a_window_says_what_was_answered_and_nothing_of_the_rows(tmp_path: Path) -> None:
    clock = Clock()
    serving = Predictor(make_release(tmp_path), reporting(), tag="t", clock=clock)
    for row in rows(50):
        serving.predict(row)
    for bad in ([1], [1, 2, 3, "x"], [1, 2, 3, float("nan")]):
        with pytest.raises(InputError):
            serving.predict(bad)
    (report,) = collect(serving, WindowReport)
    assert report.predictions == {"model": 50}
    assert report.errors == {"shape": 1, "dtype": 1, "missing": 1}
    for text in (report.features, report.outputs):
        assert decode_histograms(text).add_up_to(50)
    assert sum(report.latency["model"]) == 50


def test_a_window_is_told_when_it_ended_and_not_before(tmp_path: Path) -> None:
    clock = Clock()
    serving = Predictor(make_release(tmp_path), reporting(), tag="t", clock=clock)
    for row in rows(20):
        serving.predict(row)
    assert serving.monitor.collect(clock.now) == []
    assert len(serving.monitor.collect(clock.now + 60)) >= 1
    assert serving.monitor.collect(clock.now + 120) == []


def test_few_observations_keep_their_histograms_for_the_next_window(tmp_path: Path) -> None:
    clock = Clock()
    serving = Predictor(make_release(tmp_path), reporting(), tag="t", clock=clock)
    for row in rows(6):
        serving.predict(row)
    (first,) = [b for b in serving.monitor.collect(clock.now + 60) if isinstance(b, WindowReport)]
    clock.now += 60
    for row in rows(6):
        serving.predict(row)
    (second,) = collect(serving, WindowReport)
    assert (first.predictions, first.observations) == ({"model": 6}, 0)
    assert first.features == NO_HISTOGRAMS
    assert (second.predictions, second.observations) == ({"model": 6}, 12)


def test_what_the_ring_lost_is_counted(tmp_path: Path) -> None:
    serving = Predictor(make_release(tmp_path), reporting(), tag="t", clock=Clock())
    serving.monitor._ring = type(serving.monitor._ring)(maxlen=16)
    for row in rows(50):
        serving.predict(row)
    (report,) = collect(serving, WindowReport)
    assert (report.predictions, report.lost) == ({"model": 16}, {"ring": 34})


def test_a_large_batch_is_counted_whole_and_looked_at_in_part(tmp_path: Path) -> None:
    serving = Predictor(make_release(tmp_path), reporting(), tag="t", clock=Clock())
    serving.predict_batch(rows(10_000))
    (report,) = collect(serving, WindowReport)
    assert report.predictions == {"model": 10_000}
    assert 0 < report.observations <= BATCH_SAMPLE


def test_late_labels_are_joined_once_and_only_with_predictions_that_were_made(
    tmp_path: Path,
) -> None:
    serving = Predictor(make_release(tmp_path), reporting(), tag="t", clock=Clock())
    expected = softmax(rows(10), 0).argmax(axis=1)
    batch = serving.predict_batch(rows(10))
    for i in range(10):
        serving.feedback(
            batch[i].id.rpartition("-")[2],
            label=int(expected[i] if i < 7 else (expected[i] + 1) % 3),
        )
    with pytest.raises(InputError, match="has its label already"):
        serving.feedback(batch[0].id.rpartition("-")[2], label=1)
    with pytest.raises(InputError, match="expected one of the last"):
        serving.feedback("999", label=1)
    with pytest.raises(InputError, match="expected one of"):
        serving.feedback("1", label=17)
    (report,) = collect(serving, FeedbackReport)
    assert (report.labelled, report.correct, report.unmatched) == (10, 7, 1)


def test_rewards_are_summed(tmp_path: Path) -> None:
    serving = Predictor(make_release(tmp_path), reporting(), tag="t", clock=Clock())
    for row, reward in zip(rows(3), (1.0, 2.0, 3.0), strict=True):
        p = serving.predict(row)
        serving.feedback(p.id.rpartition("-")[2], reward=reward)
    (report,) = collect(serving, FeedbackReport)
    assert (report.rewards, report.reward_sum, report.reward_squares) == (3, 6.0, 14.0)


@pytest.mark.parametrize("reward", ["good", float("nan"), [1.0], {}])
def test_a_reward_that_is_no_number_is_refused(reward: object, tmp_path: Path) -> None:
    with EdgeDevice.offline(make_release(tmp_path).folder) as device:
        prediction = device.predict(rows(1)[0])
        with pytest.raises(InputError, match="expected a finite number as reward"):
            device.feedback(prediction.id, reward=reward)  # type: ignore[arg-type]
        device.feedback(prediction.id, reward=1.0)


@pytest.mark.parametrize(
    ("asked", "given", "expected"), [(True, True, 5), (True, False, 0), (False, True, 0)]
)
def test_rows_are_shared_only_if_asked_for_and_opted_in_and_capped(
    tmp_path: Path, asked: bool, given: bool, expected: int
) -> None:
    terms = ServingTerms(
        reporting=Reporting(window_seconds=60), sharing=Sharing(asked, per_window=5)
    )
    serving = Predictor(make_release(tmp_path), terms, tag="t", share=given, clock=Clock())
    for row in rows(9):
        p = serving.predict(row)
        serving.feedback(p.id.rpartition("-")[2], label=1)
    found = [row for batch in collect(serving, SampleBatch) for row in batch.rows]
    assert len(found) == expected
    assert all(len(row) == 4 for row in found)


def test_only_keys_that_come_again_are_voted_for_and_only_so_many(tmp_path: Path) -> None:
    serving = Predictor(make_release(tmp_path), reporting(votes=2), tag="t", clock=Clock())
    x = rows(6)
    for i, times in enumerate((5, 4, 3, 1, 1, 1)):
        for _ in range(times):
            serving.predict(x[i])
    (votes,) = collect(serving, KeyVotes)
    canonicaliser = Canonicaliser(make_release(tmp_path / "again").manifest.signature)
    assert set(votes.keys) == {canonicaliser.key(row.tobytes()).hex() for row in x[:2]}


def test_a_model_that_crashes_is_an_error_that_is_counted(tmp_path: Path) -> None:
    serving = Predictor(make_release(tmp_path, defect="crash"), reporting(), tag="t", clock=Clock())
    with pytest.raises(ReleaseError, match="the model failed"):
        serving.predict(rows(1)[0])
    assert serving.errors == 1
    (report,) = collect(serving, WindowReport)
    assert report.errors == {"model": 1}


@pytest.mark.parametrize("defect", ["nan", "crash"])
def test_a_defective_release_does_not_pass_the_probe(tmp_path: Path, defect: str) -> None:
    with pytest.raises(ReleaseError):
        probe(make_release(tmp_path, defect=defect))


def test_the_probe_holds_a_release_to_its_budget(tmp_path: Path) -> None:
    from edge_sdk.contract.manifest import Budget

    assert probe(make_release(tmp_path / "a", budget=Budget(p99_ms=1e6))).golden_rows == 16
    with pytest.raises(ReleaseError, match="allowed 1.0"):
        probe(make_release(tmp_path / "b", budget=Budget(rss_mb=1.0)))
