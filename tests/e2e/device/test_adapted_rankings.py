"""Rankings that adapt to a unit, of real releases."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression

from converters import convert
from edge_sdk import EdgeDevice
from edge_sdk.contract.personal.ranking_report import RankingReport
from edge_sdk.contract.serving_terms import Personalisation, Reporting
from edge_sdk.errors import InputError
from edge_sdk.serving.adapted_rankings import AdaptedRankings
from edge_sdk.serving.ranking import Ranking

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(400, 4)).astype(np.float32)
TERMS = Personalisation(minimum_units=2, explore=0.1)
GREEDY = Personalisation(minimum_units=2, explore=0.0)


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("releases")
    liked = (X @ [1, 0.5, 0, 0] + RANDOM.normal(size=400) > 0).astype(int)
    some = {
        "clicks": (LogisticRegression(), liked),
        "numbers": (LinearRegression(), X @ [1, 0.5, 0, 0]),
        "all items": (LogisticRegression(), RANDOM.integers(0, 12, 400)),
    }
    for name, (model, y) in some.items():
        model.fit(X, y)
        convert(model, X, y, name="rank", out=folder / name, variants=("float32",))
    return {name: folder / name for name in some}


@contextmanager
def adapting(
    folder: Path, terms: Personalisation | None = TERMS, seed: int | None = 1
) -> Iterator[EdgeDevice]:
    with EdgeDevice.offline(folder) as device:
        service = device._service
        serving = service.current()
        serving.terms = dataclasses.replace(serving.terms, personalise=terms)
        if terms is not None and seed is not None:
            service._rankings = AdaptedRankings(
                terms, service.personalisation().store, service.clock, seed=seed
            )
        yield device


def like(device: EdgeDevice, wanted: Callable[[Any], bool], rounds: int, **call: Any) -> Ranking:
    """Show lists to ``u``, who clicks on what they want, and return one more."""
    for _ in range(rounds):
        ranking = device.predict_ranking(**call, unit="u")
        device.feedback(ranking.id, clicks=[i for i in ranking.items if wanted(i)])
    return device.predict_ranking(**call, unit="u")


@pytest.mark.parametrize("which", ["clicks", "numbers"])
def test_a_list_moves_to_what_a_unit_clicks_on_and_others_keep_the_release_s_order(
    releases: dict[str, Path], which: str
) -> None:
    rows = X[:30]
    with adapting(releases[which], GREEDY) as device:
        own = device.predict_ranking(rows, candidates=range(30))
        first = device.predict_ranking(rows, candidates=range(30), unit="u")
        assert first.items == own.items
        assert (first.personalised, own.personalised, own.propensities) == (False, False, None)
        assert first.propensities == (1.0,) * 30
        third = like(device, lambda i: rows[i, 2] > 0.3, 12, x=rows, candidates=range(30), length=8)
        assert third.personalised
        mean = [np.mean(rows[list(r.items[:8]), 2]) for r in (own, third)]
        assert mean[1] > mean[0] + 0.5
        other = device.predict_ranking(rows, candidates=range(30), unit="other")
        assert other.items == own.items


def test_a_model_that_scores_all_items_adapts_by_features_of_the_call(
    releases: dict[str, Path],
) -> None:
    features = RANDOM.normal(size=(12, 3))
    with adapting(releases["all items"], GREEDY) as device:
        own = device.predict_ranking(X[0], unit="u")
        assert not own.personalised
        assert own.propensities is None
        adapted = like(device, lambda i: features[i, 0] > 0, 10, x=X[0], features=features)
        assert adapted.personalised
        assert {*adapted.items[:3]} < {i for i in range(12) if features[i, 0] > 0}
        assert sorted(adapted.items) == list(range(12))


@pytest.mark.parametrize("terms", [None, Personalisation(mode="learn", explore=0.5)])
def test_without_terms_or_while_it_only_learns_the_release_s_order_is_shown(
    releases: dict[str, Path], terms: Personalisation | None
) -> None:
    with adapting(releases["clicks"], terms) as device:
        own = device.predict_ranking(X[:20], candidates=range(20))
        found = like(device, lambda i: X[i, 2] > 0, 8, x=X[:20], candidates=range(20))
        assert found.items == own.items
        assert not found.personalised


def test_the_same_seed_gives_the_same_lists_and_another_one_others(
    releases: dict[str, Path],
) -> None:
    def lists(seed: int) -> list[tuple[Any, ...]]:
        terms = Personalisation(explore=0.5)
        with adapting(releases["clicks"], terms, seed) as device:
            shown = []
            for start in range(0, 200, 10):
                rows = X[start : start + 10]
                ranking = device.predict_ranking(rows, candidates=range(10), unit="u")
                device.feedback(ranking.id, clicks=[ranking.items[2]])
                assert ranking.propensities is not None
                assert all(0 < p <= 1 for p in ranking.propensities)
                shown.append(ranking.items)
            return shown

    assert lists(1) == lists(1) != lists(2)


def test_exploration_is_bounded_by_the_plan(releases: dict[str, Path]) -> None:
    with adapting(releases["clicks"], Personalisation(explore=0.2)) as device:
        own = device.predict_ranking(X[:10], candidates=range(10)).items
        shown = [
            device.predict_ranking(X[:10], candidates=range(10), unit=f"new {i}").items
            for i in range(400)
        ]
    share = np.mean([items != own for items in shown])
    assert 0.02 < share < 0.15  # half of a fifth is the release's own, which is the best so far


@pytest.mark.parametrize("terms", [TERMS, Personalisation(minimum_units=1, epsilon=1.0)])
def test_reports_of_a_window_hold_sums_of_two_units_or_more_and_nothing_else(
    releases: dict[str, Path], terms: Personalisation
) -> None:
    kept: list[Any] = []
    with adapting(releases["clicks"], terms) as device:
        service = device._service
        service._keep = kept.extend
        now = [1_000_000.0]
        service.clock = lambda: now[0]
        service._rankings = AdaptedRankings(
            terms, service.personalisation().store, service.clock, seed=3
        )
        for unit in ("a", "b"):
            ranking = device.predict_ranking(X[:10], candidates=range(10), unit=unit)
            device.feedback(ranking.id, clicks=[ranking.items[0]])
            now[0] += Reporting().window_seconds
            service.collect()
            reports = [body for body in kept if isinstance(body, RankingReport)]
            assert len(reports) == (unit == "b")
    [report] = reports
    assert (report.lists, report.shown, report.units) == (2, 2, 2)
    assert report.policies["logged"].reward == 2.0
    assert report.window.end <= now[0]


def test_a_forgotten_unit_begins_anew_and_clicks_on_its_lists_teach_nobody(
    releases: dict[str, Path],
) -> None:
    with adapting(releases["clicks"], GREEDY) as device:
        late = like(device, lambda i: X[i, 2] > 0, 5, x=X[:20], candidates=range(20))
        service = device._service
        assert late.personalised
        assert service._rankings is not None
        assert device.forget("u")
        device.feedback(late.id, clicks=[late.items[0]])
        again = device.predict_ranking(X[:20], candidates=range(20), unit="u")
        assert not again.personalised
        assert not device.forget("nobody")


BAD: dict[str, tuple[Any, str]] = {
    "NaN": (np.full((10, 2), np.nan), "finite"),
    "infinite": (np.full((10, 2), np.inf), "finite"),
    "too few rows": (np.zeros((9, 2)), r"\[10, 1 to 8192\]"),
    "one axis": (np.zeros(10), "a row for each item"),
    "no columns": (np.zeros((10, 0)), "a row for each item"),
    "too many columns": (np.zeros((10, 8_193)), "1 to 8192"),
    "texts": ([["a"]] * 10, "expected numbers"),
    "ragged": ([[1.0]] * 9 + [[1.0, 2.0]], "expected numbers"),
}


@pytest.mark.parametrize(("features", "said"), BAD.values(), ids=BAD)
def test_features_that_are_none_are_refused_in_words(
    releases: dict[str, Path], features: Any, said: str
) -> None:
    with adapting(releases["clicks"]) as device, pytest.raises(InputError, match=said):
        device.predict_ranking(X[:10], candidates=range(10), unit="u", features=features)


def test_extreme_rewards_and_features_are_bounded(
    releases: dict[str, Path],
) -> None:
    with adapting(releases["clicks"]) as device:
        huge = np.array([[1e30, -1e30, 0.0]] * 10)
        for features in (huge, np.zeros((10, 3)), np.full((10, 3), 1e-200)):
            for reward in (1e50, -1e50, 0.5):
                ranking = device.predict_ranking(
                    X[:10], candidates=range(10), unit="u", features=features, length=1
                )
                device.feedback(ranking.id, reward=reward)
                with pytest.raises(InputError):
                    device.feedback(ranking.id, reward=float("nan"))
                with pytest.raises(InputError):
                    device.feedback(ranking.id, reward=1e300)
        ranking = device.predict_ranking(
            X[:10], candidates=range(10), unit="u", features=np.eye(10)
        )
        assert sorted(ranking.items) == list(range(10))


def test_items_of_any_hashable_kind_and_ten_thousand_of_them_are_ranked(
    releases: dict[str, Path],
) -> None:
    items = [("a", 1), frozenset([2]), None, 3.5, "text"]
    with adapting(releases["clicks"]) as device:
        ranking = device.predict_ranking(X[:5], candidates=items, unit="u")
        device.feedback(ranking.id, clicks=[None])
        assert set(ranking.items) == set(items)
        many = np.tile(X, (25, 1))
        for length in (None, 20):
            ranking = device.predict_ranking(
                many, candidates=range(10_000), unit="u", length=length
            )
            assert len(set(ranking.items)) == (length or 10_000)
            device.feedback(ranking.id, clicks=ranking.items[-1:])


def test_features_of_another_number_begin_anew_and_are_told(
    releases: dict[str, Path], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with adapting(releases["clicks"], GREEDY) as device:
        call: dict[str, Any] = {"x": X[:10], "candidates": range(10)}
        assert like(device, lambda i: i > 5, 3, **call, features=np.eye(10)).personalised
        other = device.predict_ranking(**call, unit="u", features=np.ones((10, 2)))
        assert not other.personalised
        assert "another meaning" in caplog.text


def test_many_features_are_projected_and_still_teach(releases: dict[str, Path]) -> None:
    features = np.random.default_rng(2).normal(size=(30, 500)) * 0.1
    features[:15, 0] += 5
    with adapting(releases["clicks"], GREEDY) as device:
        call: dict[str, Any] = {"x": X[:30], "candidates": range(30), "features": features}
        adapted = like(device, lambda i: i < 15, 15, **call, length=10)
        assert np.mean(np.array(adapted.items) < 15) > 0.8


def test_asyncio_passes_features_on(releases: dict[str, Path]) -> None:
    from edge_sdk import AsyncEdgeDevice

    async def ask() -> Ranking:
        async with AsyncEdgeDevice.offline(releases["all items"]) as device:
            return await device.predict_ranking(X[0], unit="u", features=np.eye(12))

    assert len(asyncio.run(ask()).items) == 12
