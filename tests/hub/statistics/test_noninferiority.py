"""The paired test of the gate: its level, and rows that are asked again and again."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy.stats import multinomial

from benchmarks.statistics import offline_gate
from cloud_hub.policy.schema import GatePolicy
from cloud_hub.runs.answers import ReleaseAnswers
from cloud_hub.runs.gate import Costs, Slice, judge
from cloud_hub.statistics.noninferiority import (
    PairedAnswers,
    mean_within,
    rows_needed,
    surely_beyond,
    surely_within,
)
from cloud_hub.statistics.reuse import Wear

LIMITS = [0.0, 0.02, 0.1]


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("discordance", [0.05, 0.3])
def test_a_candidate_at_the_limit_is_misjudged_as_rarely_as_stated(
    discordance: float, limit: float
) -> None:
    """Computed over every table that there is, not simulated."""
    rows = 40
    share = max(discordance, limit)
    chances = [(share + limit) / 2, (share - limit) / 2, 1 - share]
    within = beyond = 0.0
    for lost, won in itertools.product(range(rows + 1), repeat=2):
        chance = float(multinomial.pmf([lost, won, rows - lost - won], rows, chances))
        if lost + won <= rows and chance > 1e-6:  # what is left out is below 1e-3 together
            pairs = PairedAnswers(rows, lost, won)
            within += chance * surely_within(pairs, limit, 0.05)
            beyond += chance * surely_beyond(pairs, limit, 0.05)
    assert within <= 0.051
    assert beyond <= 0.051


def test_the_rows_that_are_said_to_be_needed_are_about_enough() -> None:
    random = np.random.default_rng(3)
    for discordance, limit, gain in ((0.05, 0.02, 0.0), (0.2, 0.05, 0.0), (0.2, 0.02, 0.03)):
        rows = rows_needed(discordance, limit, 0.025, gain=gain)
        assert rows is not None
        chances = [(discordance - gain) / 2, (discordance + gain) / 2, 1 - discordance]
        drawn = random.multinomial(rows, chances, 60)
        shown = sum(
            surely_within(PairedAnswers(rows, *map(int, t[:2])), limit, 0.025) for t in drawn
        )
        assert 0.6 < shown / 60 < 0.95
    assert rows_needed(0.05, 0.0, 0.05) is None


def test_a_mean_of_errors_is_judged_at_its_level() -> None:
    random = np.random.default_rng(4)
    errors = random.normal(0.0, 1.0, (4_000, 60))
    found = np.array([mean_within(row, 0.05)[:2] for row in errors])
    limit = 0.05 + 3 * math.sqrt(0.05 * 0.95 / len(errors))
    assert (found.mean(axis=0) <= limit).all()


@pytest.mark.parametrize("name", ["fresh", "history"])
def test_a_candidate_that_is_two_points_worse_hardly_passes_a_hundred_rows(name: str) -> None:
    """It passed ``fresh`` in 29% and ``forgetting`` in 61%."""
    random, runs = np.random.default_rng(12), 200
    passed = 0
    for lost, won, _ in random.multinomial(100, [0.06, 0.04, 0.9], runs).tolist():
        incumbent, candidate = np.zeros(100), np.zeros(100)
        candidate[:lost], incumbent[lost : lost + won] = 1, 1
        slices = {name: Slice(ReleaseAnswers(candidate), ReleaseAnswers(incumbent), {})}
        passed += judge(slices, GatePolicy(), Costs(1, 1))[0].ok
    assert passed / runs <= 0.05


def test_the_same_holdout_asked_fifty_times_stays_within_its_error() -> None:
    """Candidates that are 2 points worse, each mixed with the last that was not refused."""
    random, runs = np.random.default_rng(13), 12
    told = sum(offline_gate._by_verdicts(random, 400) for _ in range(runs))
    shown = sum(offline_gate._by_figures(random, 400) for _ in range(runs))
    assert told <= 3  # more than 3 of 12 at 5%: a chance of 0.2%
    assert shown >= 11  # figures, as the gate had them before, are fitted to at once


def test_levels_of_all_courses_together_stay_within_alpha() -> None:
    """The sum over every course that verdicts can take, for the first uses."""
    total = 0.0
    for use in range(12):
        for decided in range(use + 1):
            courses = math.comb(use, decided)
            total += courses * Wear(use, use, decided).level(0.05)
    assert total <= 0.05
