"""Lists that may be shown, and their chances."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_sdk.personalise.rankings.clicks import READ, examined_rewards
from edge_sdk.personalise.rankings.exploration import (
    DRAWS,
    OWN,
    Method,
    exploring_scores,
    list_chances,
    top,
)
from edge_sdk.personalise.rankings.session_model import SessionModel, design
from edge_sdk.personalise.rankings.taste_mixture import TasteMixture

METHODS: tuple[Method, ...] = ("thompson", "linucb", "none")


def lists_of(seed: int, n: int, length: int, explore: float, method: Method):  # type: ignore[no-untyped-def]
    random = np.random.default_rng(seed)
    x = design(1.0, np.sort(random.random(n))[::-1], random.standard_normal((n, 3)))
    best = random.random(n)
    parts = SessionModel().priors(3)
    posterior = TasteMixture(parts, np.full(len(parts), 1 / len(parts)))
    scores = exploring_scores(method, posterior, x, best, random)
    return list_chances(best, scores, explore, length), best, random


@given(
    st.integers(0, 1_000), st.integers(1, 40), st.floats(0, 0.5), st.sampled_from(METHODS),
    st.data(),
)  # fmt: skip
@settings(deadline=None, max_examples=100)
def test_chances_of_lists_and_of_items_at_each_place_sum_to_one(
    seed: int, n: int, explore: float, method: Method, data: st.DataObject
) -> None:
    length = data.draw(st.integers(1, n))
    lists, best, _ = lists_of(seed, n, length, explore, method)
    assert lists.chances.sum() == pytest.approx(1)
    assert lists.chances[lists.best] >= 1 - explore - 1e-12
    assert lists.orders[lists.own].tolist() == list(range(length))
    assert lists.orders[lists.best].tolist() == np.argsort(-best, kind="stable")[:length].tolist()
    placed = np.zeros((length, n))
    for i, (order, chance) in enumerate(zip(lists.orders, lists.chances, strict=True)):
        assert len(set(order.tolist())) == length
        placed[np.arange(length), order] += chance
        assert (lists.propensities(i) >= chance - 1e-12).all()
    np.testing.assert_allclose(placed.sum(axis=1), 1)
    for i, order in enumerate(lists.orders):
        np.testing.assert_allclose(lists.propensities(i), placed[np.arange(length), order])


@pytest.mark.parametrize("method", METHODS)
def test_lists_are_shown_as_often_as_their_chances_say(method: Method) -> None:
    lists, _, random = lists_of(5, 6, 3, 0.4, method)
    runs = 20_000
    shown = np.bincount([lists.choose(random) for _ in range(runs)], minlength=len(lists.orders))
    error = np.sqrt(lists.chances * (1 - lists.chances) / runs)
    assert (np.abs(shown / runs - lists.chances) <= 5 * error + 1e-9).all()


def test_the_release_s_own_order_has_its_share_and_draws_have_the_rest() -> None:
    lists, _, _ = lists_of(1, 30, 30, 0.2, "thompson")
    assert lists.chances[lists.own] == pytest.approx(0.2 * OWN)
    draws = np.delete(lists.chances, [lists.own, lists.best]) / (0.2 * (1 - OWN) / DRAWS)
    assert draws.sum() == pytest.approx(DRAWS)  # some may be alike
    np.testing.assert_allclose(draws, np.round(draws))


def test_without_exploration_only_the_best_list_has_a_chance() -> None:
    for method in METHODS:
        lists, _, random = lists_of(2, 9, 9, 0.0, method)
        assert lists.chances[lists.best] == 1
        assert {lists.choose(random) for _ in range(50)} == {lists.best}


@given(st.lists(st.integers(0, 3), min_size=1, max_size=60), st.data())
def test_the_top_of_many_is_the_beginning_of_their_stable_order(
    scores: list[int], data: st.DataObject
) -> None:
    length = data.draw(st.integers(1, len(scores)))
    array = np.array(scores, dtype=np.float64)
    expected = np.argsort(-array, kind="stable")[:length].tolist()
    assert top(array, length).tolist() == expected


@pytest.mark.parametrize(
    ("clicked", "length", "rewards"),
    [
        ([], 4, [0, 0, 0, 0]),
        ([], 50, [0] * READ),
        ([2], 5, [0, 0, 1]),
        ([0, 3], 5, [1, 0, 0, 1]),
        ([0], 1, [1]),
        ([40], 32, [0] * 32),
        ([1, 40], 32, [0, 1, *[0] * 30]),
    ],
)
def test_items_below_the_last_click_say_nothing(
    clicked: list[int], length: int, rewards: list[float]
) -> None:
    assert examined_rewards(clicked, length).tolist() == rewards
