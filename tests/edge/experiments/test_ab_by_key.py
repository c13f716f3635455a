"""An A/B by key on one device: each key's arm, and sums by bucket of keys."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_sdk.contract.key_buckets import BUCKETS, BucketOutcomes, BucketRequests, mark_of
from edge_sdk.contract.messages import FeedbackReport, WindowReport
from edge_sdk.contract.plan import SLOTS, Arm, Experiment, ReleaseRef, slot_of
from edge_sdk.errors import ReleaseError
from edge_sdk.experiments.ab_by_key import Arms
from edge_sdk.serving.predictor import Predictor
from edge_sdk.serving.terms import ServingTerms
from tests.edge.builders import make_release

UNITS = [f"user-{i}" for i in range(40)]


@pytest.fixture
def arms(tmp_path: Path) -> Iterator[Arms]:
    """Control and a candidate on half of the slots."""
    releases = make_release(tmp_path / "1.0"), make_release(tmp_path / "1.1", version="1.1", seed=3)
    trial = Experiment(
        "ab-1", "ab", "salt", unit="key",
        arms=(Arm("new", ReleaseRef("1.1", releases[1].digest), ((0, SLOTS // 2),)),),
    )  # fmt: skip
    servings = {
        arm: Predictor(release, ServingTerms("ab-1", arm), tag=arm)
        for arm, release in zip(("control", "new"), releases, strict=True)
    }
    yield Arms(trial, {}, servings)
    for serving in servings.values():
        serving.close()


def ask(arms: Arms, unit: str) -> Any:
    serving = arms.serving_for(unit)
    assert serving is not None
    width = len(serving.release.manifest.signature.columns)
    return serving, serving.predict(np.zeros(width, np.float32))


def reports(arms: Arms, kind: type) -> dict[str, Any]:
    return {b.window.arm: b for b in arms.collect(0.0, final=True) if isinstance(b, kind)}


def test_requests_and_first_sights_are_counted_in_the_bucket_of_their_key(arms: Arms) -> None:
    for unit in UNITS * 3:
        ask(arms, unit)
    found = reports(arms, WindowReport)
    for arm, mine in (("new", True), ("control", False)):
        there = [u for u in UNITS if (slot_of("salt", u) < SLOTS // 2) == mine]
        keys = np.bincount([mark_of("salt", u)[1] for u in there], minlength=BUCKETS)
        buckets = found[arm].buckets
        assert found[arm].units == len(there)
        assert buckets.units == tuple(keys)
        assert buckets.requests == buckets.latency_n == tuple(3 * keys)
        mean = np.array(buckets.latency_sum)[keys > 0] / (3 * keys[keys > 0])
        assert ((mean > 0) & (mean < 30)).all()


def test_labels_and_rewards_are_counted_in_the_bucket_of_their_key(arms: Arms) -> None:
    expected = np.zeros(BUCKETS)
    for i, unit in enumerate(UNITS):
        serving, prediction = ask(arms, unit)
        serving.feedback(prediction.id.rpartition("-")[2], prediction.label, float(i))
        expected[mark_of("salt", unit)[1]] += i
    found = reports(arms, FeedbackReport).values()
    assert sum(np.array(f.buckets.reward_sum) for f in found) == pytest.approx(expected)
    for each in found:
        assert sum(each.buckets.labelled) == each.own_labelled
        assert each.buckets.correct == each.buckets.labelled


def test_calls_on_which_the_model_fails_are_counted_in_the_bucket_of_their_key(
    arms: Arms, monkeypatch: pytest.MonkeyPatch
) -> None:
    serving, _ = ask(arms, "user-0")

    def fails(*_: Any, **__: Any) -> Any:
        raise ReleaseError("no")

    monkeypatch.setattr(serving, "_ask_model_and_cloud", fails)
    serving._local.__dict__.clear()
    monkeypatch.setattr(serving, "_prepare", lambda: None)
    with pytest.raises(ReleaseError):
        ask(arms, "user-0")
    buckets = reports(arms, WindowReport)[serving.terms.arm].buckets
    bucket = mark_of("salt", "user-0")[1]
    assert (buckets.requests[bucket], buckets.errors[bucket]) == (2, 1)


def test_a_batch_is_counted_whole_in_the_bucket_of_its_key(arms: Arms) -> None:
    serving = arms.serving_for("user-1")
    assert serving is not None
    width = len(serving.release.manifest.signature.columns)
    batch = serving.predict_batch(np.zeros((7, width), np.float32))
    serving.feedback(batch.ids[3].rpartition("-")[2], reward=2.0)
    bodies = arms.collect(0.0, final=True)
    (window,) = (b for b in bodies if isinstance(b, WindowReport))
    (outcome,) = (b for b in bodies if isinstance(b, FeedbackReport))
    bucket = mark_of("salt", "user-1")[1]
    assert window.buckets is not None
    assert outcome.buckets is not None
    assert window.buckets.requests[bucket] == 7
    assert outcome.buckets.rewards[bucket] == 1


def test_a_copy_for_late_labels_remembers_the_bucket(arms: Arms) -> None:
    serving, _ = ask(arms, "user-2")
    (waiting,) = next(iter(serving.monitor.unlabelled(0, 10).values()))
    assert waiting.bucket == mark_of("salt", "user-2")[1]


def test_bucket_and_arm_have_nothing_in_common() -> None:
    units = [f"u-{i}" for i in range(20_000)]
    slots = np.array([slot_of("salt", u) for u in units])
    buckets = np.array([mark_of("salt", u)[1] for u in units])
    table = np.array([np.bincount(buckets[mine], minlength=BUCKETS)
                      for mine in (slots < SLOTS // 2, slots >= SLOTS // 2)])  # fmt: skip
    apart = ((table - len(units) / (2 * BUCKETS)) ** 2 / (len(units) / (2 * BUCKETS))).sum()
    assert apart < 2 * BUCKETS + 5 * np.sqrt(4 * BUCKETS)  # chi-squared
    assert mark_of("other", "u-1") != mark_of("salt", "u-1")


ONES, NONE = (1,) * BUCKETS, ()
REFUSED: dict[str, Any] = {
    "too few buckets": lambda: BucketRequests((1, 2)),
    "a negative count": lambda: BucketRequests((-1, *ONES[1:])),
    "more errors than requests": lambda: BucketRequests(ONES, (2, *ONES[1:])),
    "sums that no numbers have": lambda: BucketOutcomes(NONE, NONE, ONES, (3.0,) * BUCKETS,
                                                        (1.0,) * BUCKETS),
    "more right than labelled": lambda: BucketOutcomes(NONE, ONES),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_sums_by_bucket_that_cannot_be_are_refused(case: str) -> None:
    with pytest.raises(Exception, match="buckets: "):
        REFUSED[case]()


def test_a_report_has_no_more_in_buckets_than_it_counts(arms: Arms) -> None:
    ask(arms, "user-0")
    report = next(iter(reports(arms, WindowReport).values()))
    with pytest.raises(Exception, match="requests: expected a sum of at most 1, got 128"):
        dataclasses.replace(report, buckets=BucketRequests(ONES))
