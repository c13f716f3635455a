"""A shadow: what it compares, what it skips, and that nobody waits for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_sdk import EdgeDevice
from edge_sdk.contract.experiment_reports import Moments, Pairs, ShadowReport
from edge_sdk.contract.serving_terms import Reporting
from edge_sdk.errors import ReleaseError
from edge_sdk.experiments.crash_marker import CrashMarker, CrashRecord
from edge_sdk.experiments.shadow import FEEDS, LABELS, QUEUE, ComparedAnswers, Shadow
from edge_sdk.model.keys import Canonicaliser
from edge_sdk.model.release import Release
from edge_sdk.packs.reader import Pack
from edge_sdk.packs.writer import write_pack
from edge_sdk.serving.predictor import Predictor
from edge_sdk.serving.terms import ServingTerms
from tests.edge.builders import make_release, rows, softmax
from tests.waiting import wait_for

TERMS = ServingTerms(reporting=Reporting(votes=0))
TRIED = ServingTerms("exp", "b", Reporting(votes=0))


def bare(release: Release, terms: ServingTerms = TERMS) -> Predictor:
    return Predictor(release, terms, tag="x", monitoring=False)


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Release, Release]:
    return make_release(tmp_path), make_release(tmp_path, version="1.1", seed=5)


class Beside:
    """A serving with a shadow that a test drives."""

    def __init__(self, a: Release, b: Release, pack: Path | None = None, **more: Any) -> None:
        opened = None if pack is None else Pack.open(pack, a)
        self.serving = Predictor(a, TERMS, tag="t", pack=opened)
        options = {"budget": 1.0, "limit": 10.0} | more
        self.shadow = Shadow("b", self.serving, bare(a), bare(b, TRIED), **options)

    def offer(self) -> None:
        self.serving.monitor.fold()

    @property
    def idle(self) -> bool:
        """Whether all that was offered is compared: what is taken up is busy before it is taken."""
        return not self.shadow._queue and self.shadow._busy_since is None

    def report(self, ready: Callable[[Any], bool] = lambda counts: True) -> ShadowReport:
        self.offer()
        wait_for(lambda: self.idle and ready(self.shadow._counts), "the comparison")
        (body,) = self.shadow.collect(time.time(), final=True)
        assert isinstance(body, ShadowReport)
        return body


@pytest.fixture
def beside(pair: tuple[Release, Release]) -> Iterator[Beside]:
    made = Beside(*pair)
    yield made
    made.shadow.close()


def test_every_request_is_compared_and_none_twice(beside: Beside) -> None:
    x = rows(700)
    for row in x[:300]:
        beside.serving.predict(row)
    beside.offer()
    for row in x[300:]:
        beside.serving.predict(row)
    report = beside.report(lambda counts: counts.compared == 700)
    a, b = softmax(x, 0), softmax(x, 5)
    assert report.compared == report.confidence.count == 700
    assert report.disagreements == int((a.argmax(axis=1) != b.argmax(axis=1)).sum())
    shift = b.max(axis=1) - a.max(axis=1)
    assert report.confidence.total == pytest.approx(shift.sum(), abs=1e-3)
    assert report.confidence.squares == pytest.approx((shift**2).sum(), abs=1e-3)
    assert (report.value, report.errors, report.skipped) == (Moments(), {}, {})


@pytest.mark.parametrize("early", [True, False])
def test_labels_that_come_before_or_after_the_comparison_fill_mcnemars_table(
    beside: Beside, early: bool
) -> None:
    x = rows(200)
    made = [beside.serving.predict(row) for row in x]
    a, b = softmax(x, 0).argmax(axis=1), softmax(x, 5).argmax(axis=1)
    truth = np.arange(200) % 3
    if not early:
        beside.offer()
        wait_for(lambda: beside.shadow._counts.compared == 200, "the comparison")
    for p, label in zip(made, truth, strict=True):
        beside.shadow.labelled("t", p.id.rpartition("-")[2], int(label))
        beside.shadow.labelled("other", p.id.rpartition("-")[2], int(label))
    report = beside.report(lambda counts: counts.compared == 200)
    assert report.labelled == Pairs(
        int(((a == truth) & (b == truth)).sum()),
        int(((a != truth) & (b == truth)).sum()),
        int(((a == truth) & (b != truth)).sum()),
        int(((a != truth) & (b != truth)).sum()),
    )


def test_inputs_that_the_pack_answered_are_skipped_and_counted(
    pair: tuple[Release, Release], tmp_path: Path
) -> None:
    canonicaliser = Canonicaliser(pair[0].manifest.signature)
    keys = np.array([np.frombuffer(canonicaliser.key(r.tobytes()), np.uint8) for r in rows(10)])
    values = {"probabilities": softmax(rows(10), 9).astype(np.float32)}
    write_pack(tmp_path / "pack", pair[0], keys, values, answered_by="cloud 1.0")
    beside = Beside(*pair, pack=tmp_path / "pack")
    for row in rows(30):
        beside.serving.predict(row)
    report = beside.report(lambda counts: counts.compared == 20)
    assert (report.compared, report.skipped) == (20, {"source": 10})
    beside.shadow.close()


def test_what_the_candidate_fails_on_is_counted_and_the_rest_compared(tmp_path: Path) -> None:
    bad = make_release(tmp_path, version="1.1", seed=5, defect="touchy")
    beside = Beside(make_release(tmp_path), bad)
    x = rows(200)
    x[::50, 0] = 1_000
    for row in x:
        beside.serving.predict(row)
    report = beside.report(lambda counts: counts.compared == 196)
    assert (report.compared, report.errors) == (196, {"model": 4})
    assert beside.shadow.failure(time.monotonic(), 4) == ("b", "the model failed on 4 inputs")
    beside.shadow.close()


def test_the_queue_is_bounded_and_what_does_not_fit_is_counted(tmp_path: Path) -> None:
    slow = make_release(tmp_path, version="1.1", seed=5, defect="hang")
    beside = Beside(make_release(tmp_path), slow)
    x = rows(1)[0]
    x[0] = 1_000
    beside.serving.predict(x)
    beside.offer()
    wait_for(lambda: beside.shadow._busy_since is not None, "the call that hangs")
    for row in rows(QUEUE + 500):
        beside.serving.predict(row)
    beside.offer()
    assert len(beside.shadow._queue) == QUEUE
    assert beside.shadow._counts.skipped == {"queue": 500}
    now = time.monotonic()
    assert beside.shadow.failure(now, 3) is None
    assert beside.shadow.failure(now + 3_600, 3) is None  # the machine slept
    looks = [beside.shadow.failure(now + 3_600 + 0.5 * i, 3) for i in range(21)]
    assert looks[:18] == [None] * 18
    assert looks[-1] == ("b", "it did not answer within 10 seconds")
    beside.shadow.close()
    wait_for(ended, "the end of the call that hung")


def ended() -> bool:
    """Whether no shadow's thread is left."""
    return all(thread.name != "edge-shadow" for thread in threading.enumerate())


def test_a_share_of_the_requests_is_compared(pair: tuple[Release, Release]) -> None:
    beside = Beside(*pair, sampled=0.25)
    for row in rows(2_000):
        beside.serving.predict(row)
    report = beside.report()
    assert 400 < report.compared < 600
    assert report.skipped == {}
    beside.shadow.close()


def test_the_budget_bounds_the_share_of_the_time(pair: tuple[Release, Release]) -> None:
    """Waits are in proportion to the work: no clock is looked at but the shadow's own."""
    beside = Beside(*pair, budget=0.25)
    waits: list[float] = []
    wait = beside.shadow._stopped.wait
    beside.shadow._stopped.wait = lambda s=None: waits.append(s) or wait(0)  # type: ignore[method-assign, assignment, func-returns-value]
    worked: list[float] = []
    work = beside.shadow._compare_some
    beside.shadow._compare_some = lambda: worked.append(work()) or worked[-1]  # type: ignore[method-assign, func-returns-value]
    for row in rows(500):
        beside.serving.predict(row)
    beside.report(lambda counts: counts.compared == 500)
    beside.shadow.close()
    wait_for(ended, "the end of the shadow")  # so that the wait after the last work is there
    assert sum(waits) == pytest.approx(3 * sum(worked))


def test_a_candidate_of_other_inputs_is_refused(tmp_path: Path) -> None:
    other = make_release(tmp_path, version="1.1", columns=("a", "b", "c", "d"))
    with pytest.raises(ReleaseError, match=r"1\.1 takes other inputs than 1\.0"):
        Beside(make_release(tmp_path), other)


def compared(device: EdgeDevice, count: int) -> int:
    """How many inputs were compared without an error, once there are ``count``."""
    told: list[ShadowReport] = []

    def reached() -> bool:
        told.extend(body for body in device.reports() if isinstance(body, ShadowReport))
        return sum(body.compared for body in told) >= count

    wait_for(reached, "the comparison")
    assert [body.errors for body in told if body.errors] == []
    return sum(body.compared for body in told)


def test_an_offline_device_compares_with_a_shadow(pair: tuple[Release, Release]) -> None:
    with EdgeDevice.offline(pair[0].folder, shadow=pair[1].folder) as device:
        for row in rows(50):
            p = device.predict(row)
            assert p.version == "1.0"
            device.feedback(p.id, label=0)
        assert compared(device, 50) == 50
        assert device.status()["beside"] == {"candidate": "1.1"}


def test_only_the_newest_answers_wait_for_labels() -> None:
    answers = ComparedAnswers(4)
    answers.put([1, 2, 3], ["a", "b", "c"], ["x", "y", "z"])
    answers.put([4, 5], ["d", "e"], ["v", "w"])
    assert answers.take(1) is None
    assert answers.take(5) == ("e", "w")
    assert answers.take(5) is None
    assert answers.take(2) == ("b", "y")
    assert LABELS > QUEUE > FEEDS


def test_while_it_runs_that_is_marked_and_the_first_time_as_such(
    pair: tuple[Release, Release], tmp_path: Path
) -> None:
    made = Beside(*pair, marker=CrashMarker(tmp_path / "mark"))
    candidate, seen = made.shadow._candidate, []
    again = candidate.again

    def looking(given: Any) -> Any:
        (tmp_path / "copy").write_bytes((tmp_path / "mark").read_bytes())
        seen.append(CrashMarker(tmp_path / "copy").crashed)
        return again(given)

    candidate.again = looking  # type: ignore[method-assign]
    for row in rows(20):
        made.serving.predict(row)
    made.report(lambda counts: counts.compared == 20)
    made.shadow.close()
    digest = pair[1].digest
    assert seen[0] == CrashRecord(digest, True, 1)
    assert set(seen[1:]) == {CrashRecord(digest, False, 1)}
    assert CrashMarker(tmp_path / "mark").crashed is None
