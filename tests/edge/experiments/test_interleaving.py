"""Interleaving on a device: who is credited, what is refused, what a candidate's failure does."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_sdk import EdgeDevice, EdgeError
from edge_sdk.contract.experiment_reports import InterleaveReport
from edge_sdk.contract.messages import FeedbackReport, WindowReport
from edge_sdk.contract.serving_terms import Reporting
from edge_sdk.errors import InputError, StateError
from edge_sdk.experiments.interleaving import Interleaver
from edge_sdk.model.release import Release
from edge_sdk.serving.predictor import Predictor
from edge_sdk.serving.terms import ServingTerms
from tests.clock import Clock
from tests.edge.builders import make_release, rows, softmax

SESSIONS = 10_000
TRIED = ServingTerms("exp", "b", Reporting(window_seconds=60, votes=0))


def interleaver(a: Release, b: Release, seed: str = "s", sampled: float = 1.0) -> Interleaver:
    clock = Clock()
    ours, theirs = (
        Predictor(a, ServingTerms(), tag="a", monitoring=False, clock=clock),
        Predictor(b, TRIED, tag="b", monitoring=False, clock=clock),
    )
    return Interleaver("b", ours, theirs, seed=seed, sampled=sampled, clock=clock)


def report_of(running: Interleaver) -> InterleaveReport:
    (report,) = [b for b in running.collect(0.0, final=True) if isinstance(b, InterleaveReport)]
    return report


def test_an_interleaving_of_a_release_with_itself_is_unbiased(tmp_path: Path) -> None:
    release = make_release(tmp_path)
    running = interleaver(release, release)
    random = np.random.default_rng(3)
    for row in rows(SESSIONS):
        ranking = running.rank(row, None, 2)
        assert ranking is not None
        running.clicked(ranking.id, [ranking.items[int(random.integers(2))]])
    report = report_of(running)
    assert report.sessions == sum(report.wins.values()) == SESSIONS
    bound = 3.3 * math.sqrt(SESSIONS) / 2  # p = 0.001
    assert abs(report.wins["b"] - SESSIONS / 2) < bound
    assert abs(report.first["b"] - SESSIONS / 2) < bound


def test_the_better_of_two_wins_and_ties_and_silence_are_told_apart(tmp_path: Path) -> None:
    running = interleaver(make_release(tmp_path), make_release(tmp_path, version="1.1", seed=5))
    x = rows(600)
    for i, row in enumerate(x):
        ranking = running.rank(row, None, 2)
        assert ranking is not None
        best = int(softmax(x, 5)[i].argmax())
        running.clicked(
            ranking.id, ((), [best], list(ranking.items))[i % 3] if best in ranking.items else ()
        )
    report = report_of(running)
    assert report.ties >= 190  # both items clicked: one of each team
    assert report.wins["b"] > 1.5 * report.wins["control"]
    assert report.sessions == 600 > sum(report.wins.values()) + report.ties


def test_the_same_seed_drafts_the_same_lists(tmp_path: Path) -> None:
    a, b = make_release(tmp_path), make_release(tmp_path, version="1.1", seed=5)
    lists = [
        [r.items for row in rows(50) if (r := interleaved.rank(row, None, None)) is not None]
        for interleaved in (interleaver(a, b, "x"), interleaver(a, b, "x"), interleaver(a, b, "y"))
    ]
    assert lists[0] == lists[1] != lists[2]
    assert len(lists[0]) == 50


def test_a_share_of_the_requests_is_mixed(tmp_path: Path) -> None:
    release = make_release(tmp_path)
    running = interleaver(release, release, sampled=0.25)
    mixed = sum(running.rank(row, None, None) is not None for row in rows(2_000))
    assert 400 < mixed < 600


def test_a_request_on_which_the_candidate_fails_gets_what_serves_whole(tmp_path: Path) -> None:
    bad = make_release(tmp_path, version="1.1", seed=5, defect="touchy")
    running = interleaver(make_release(tmp_path), bad)
    row = rows(1)[0]
    assert running.rank(row, None, None) is not None
    row[0] = 1_000
    assert running.rank(row, None, None) is None
    assert running.failure(0.0, 1) == ("b", "the model failed on 1 inputs")


def test_an_offline_device_tries_a_ranking_and_tells_what_came_of_it(tmp_path: Path) -> None:
    a, b = make_release(tmp_path), make_release(tmp_path, version="1.1", seed=5)
    with EdgeDevice.offline(a.folder, interleave=b.folder, clock=Clock()) as device:
        for row in rows(20):
            ranking = device.predict_ranking(row)
            assert sorted(ranking.items) == [0, 1, 2]
            device.feedback(ranking.id, clicks=[ranking.items[0]])
        bodies = device.reports()
        (report,) = [body for body in bodies if isinstance(body, InterleaveReport)]
        assert (report.sessions, sum(report.wins.values())) == (20, 20)
        assert report.window.experiment == "offline"
        arms = {w.window.arm: w.predictions for w in bodies if isinstance(w, WindowReport)}
        assert arms == {"control": {"model": 20}, "candidate": {"model": 20}}
        assert device.reports() == []


def test_without_an_experiment_clicks_are_the_reward_of_what_serves(tmp_path: Path) -> None:
    with EdgeDevice.offline(make_release(tmp_path).folder, clock=Clock()) as device:
        shown = [device.predict_ranking(row, length=1) for row in rows(4)]
        for ranking, clicks in zip(shown, (ranking_items(shown[0]), [], [], []), strict=True):
            device.feedback(ranking.id, clicks=clicks)
        with pytest.raises(EdgeError, match="has its clicks already"):
            device.feedback(shown[0].id, clicks=[])
        told = [body for body in device.reports() if isinstance(body, FeedbackReport)]
    assert [(f.rewards, f.reward_sum) for f in told] == [(4, 1.0)]


def ranking_items(ranking: Any) -> list[Any]:
    return list(ranking.items)


# sentence: (what is done with a device and a ranking of its, what the error says)
REFUSED: dict[str, tuple[Any, str]] = {
    "a unit that is no text": (lambda d, r: d.predict(ROW, unit=5), "unit: expected a text of 1"),
    "an empty unit": (lambda d, r: d.predict_batch([ROW], unit=""), "unit: expected a text of 1"),
    "a ranking of nothing": (lambda d, r: d.predict_ranking(ROW, length=0), "expected at least 1"),
    "clicks that are one text": (lambda d, r: d.feedback(r.id, clicks="ab"), "a list of items"),
    "clicks that are a number": (lambda d, r: d.feedback(r.id, clicks=3), "a list of items"),
    "clicks on lists": (lambda d, r: d.feedback(r.id, clicks=[[1]]), "expected names or numbers"),
    "a click on what was not shown": (lambda d, r: d.feedback(r.id, clicks=[9]), "did not show 9"),
    "candidates that are lists": (
        lambda d, r: d.predict_ranking([ROW], candidates=[[1]]), "expected names or numbers",
    ),
    "no candidates": (lambda d, r: d.predict_ranking([], candidates=[]), "at least one row"),
    "no id": (lambda d, r: d.feedback(None, label=1), "expected the id of a recent prediction"),
}  # fmt: skip
ROW = rows(1)[0]


@pytest.mark.parametrize("beside", [True, False])
@pytest.mark.parametrize("case", REFUSED)
def test_what_makes_no_sense_is_refused_whether_or_not_an_experiment_runs(
    tmp_path: Path, case: str, beside: bool
) -> None:
    do, message = REFUSED[case]
    a, b = make_release(tmp_path), make_release(tmp_path, version="1.1", seed=5)
    with EdgeDevice.offline(
        a.folder, interleave=b.folder if beside else None, clock=Clock()
    ) as device:
        ranking = device.predict_ranking(ROW)
        with pytest.raises(InputError, match=message):
            do(device, ranking)
        told = device.reports()
    counted = sum(sum(b.errors.values()) for b in told if isinstance(b, WindowReport))
    counted += sum(sum(b.refused.values()) for b in told if isinstance(b, InterleaveReport))
    assert counted > 0


def test_a_shadow_and_an_interleaved_release_at_once_are_refused(tmp_path: Path) -> None:
    folder = make_release(tmp_path).folder
    with pytest.raises(StateError, match="one experiment at a time"):
        EdgeDevice.offline(folder, shadow=folder, interleave=folder)
