"""Team drafts: whole, fair, and the same for the same seed."""

from __future__ import annotations

import math
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_sdk.experiments.team_draft import coins, team_draft, winner

SESSIONS = 10_000


@given(st.permutations(range(8)), st.permutations(range(8)), st.integers(1, 10), st.booleans())
def test_a_draft_holds_each_item_once_and_every_round_one_pick_of_each_team(
    first: list[int], second: list[int], length: int, coin: bool
) -> None:
    items, teams = team_draft((first, second), length, lambda: coin)
    assert len(items) == len(set(items)) == min(length, 8)
    for i in range(0, len(teams) - 1, 2):
        assert {teams[i], teams[i + 1]} == {0, 1}
    for team, ranking in enumerate((first, second)):
        for place, item in enumerate(items):
            if teams[place] == team:  # the best of its own ranking that was not there yet
                left = [each for each in ranking if each not in items[:place]]
                assert item == left[0]


@given(st.lists(st.integers(0, 20), unique=True), st.lists(st.integers(0, 20), unique=True))
def test_rankings_of_other_items_and_lengths_are_used_up(a: list[int], b: list[int]) -> None:
    items, _ = team_draft((a, b), 100, lambda: True)
    assert set(items) == set(a) | set(b)


def test_an_example_worked_by_hand() -> None:
    rankings = (list("abcd"), list("beaf"))
    tosses = iter([False, True, False])
    items, teams = team_draft(rankings, 6, lambda: next(tosses))
    assert "".join(map(str, items)) == "abecdf"
    assert teams == [0, 1, 1, 0, 0, 1]


@pytest.mark.parametrize(
    ("clicked", "won"), [([], None), ([0], 0), ([1], 1), ([0, 1], None), ([1, 0, 1], 1)]
)
def test_the_team_with_more_clicks_wins(clicked: list[int], won: int | None) -> None:
    assert winner(clicked) == won  # type: ignore[arg-type]


# Frozen: the log's seed must give the same coins on every platform and in every version.
@pytest.mark.parametrize(
    ("seed", "session", "first"),
    [
        ("8f1b", 1, "0111110001010010"),
        ("8f1b", 2, "1000111010110000"),
        ("seed", 1, "0000011100101000"),
    ],
)
def test_coins_equal_the_golden_vectors(seed: str, session: int, first: str) -> None:
    toss = coins(seed, session)
    assert "".join(str(int(toss())) for _ in range(16)) == first


def test_coins_are_fair_beyond_one_block() -> None:
    toss = coins("seed", 1)
    heads = sum(toss() for _ in range(SESSIONS))
    assert abs(heads - SESSIONS / 2) < 4 * math.sqrt(SESSIONS) / 2


@pytest.mark.parametrize("noise", [0, 3])
def test_an_interleaving_of_two_equals_is_unbiased(noise: int) -> None:
    """``noise`` 0: the same ranking; else two rankings that differ by chance alone.

    Users click on the items they like, and more on what is shown high.
    """
    random_ = random.Random(7)
    wins: Counter[int | None] = Counter()
    for session in range(SESSIONS):
        liked = set(random_.sample(range(12), 3))
        rankings = [sorted(range(12), key=lambda i: i + random_.random() * noise) for _ in "ab"]
        items, teams = team_draft((rankings[0], rankings[1]), 6, coins("a/a", session))
        clicked = [
            team
            for place, (item, team) in enumerate(zip(items, teams, strict=True))
            if item in liked and random_.random() < 1 / (1 + place)
        ]
        wins[winner(clicked)] += 1
    decided = wins[0] + wins[1]
    assert decided > SESSIONS / 10
    assert abs(wins[1] - decided / 2) < 3.3 * math.sqrt(decided) / 2  # p = 0.001
