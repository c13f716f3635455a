"""The guardrail of failures: what it finds, what it must not, and what unlike devices cost it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_hub.statistics.failures import failure_path, judge_failures, log_device_evidence
from cloud_hub.statistics.heterogeneity import SPREAD, FailureCounts, design_effect, spread

CERTAIN = math.log(100)
Table = dict[tuple[str, int], tuple[int, int]]


def alike(devices: int, failed: int, requests: int, name: str = "a") -> Table:
    """The same counts on so many devices, in one period."""
    return {(f"{name}{i}", 0): (failed, requests) for i in range(devices)}


def fleet(random: np.random.Generator, rates: np.ndarray, requests: int, name: str) -> Table:
    counts = random.binomial(requests, rates)
    return {(f"{name}{i}", 0): (int(c), requests) for i, c in enumerate(counts)}


def varied(random: np.random.Generator, devices: int, sd: float) -> np.ndarray:
    return 1 / (1 + np.exp(3.0 - sd * random.standard_normal(devices)))


def _ever_aborts(candidate: float, control: float, seed: int) -> int | None:
    """How many candidate requests until e >= 20; ``None`` if never within 4,000."""
    random = np.random.default_rng(seed)
    looks = np.arange(10, 4_001, 10)
    bad = np.cumsum(random.random(4_000) < candidate)[looks - 1]
    other = np.cumsum(random.random(36_000) < control)[9 * looks - 1]
    evidence = failure_path(*(v[:, None] for v in (bad, looks, other, 9 * looks)))[:, 0]
    over = np.flatnonzero(evidence >= math.log(20))
    return int(looks[over[0]]) if len(over) else None


def test_a_healthy_candidate_is_rarely_aborted_at_any_look() -> None:
    assert sum(_ever_aborts(0.01, 0.01, seed) is not None for seed in range(100)) <= 5


@pytest.mark.parametrize(("risk", "requests"), [(10, 120), (3, 800)])
def test_a_failing_candidate_is_aborted_soon(risk: int, requests: int) -> None:
    result = [_ever_aborts(0.01 * risk, 0.01, seed) for seed in range(40)]
    assert np.median([n if n is not None else 10_000 for n in result]) <= requests


def test_no_failures_or_no_exposure_is_no_evidence() -> None:
    assert judge_failures(FailureCounts.of({}, {})).log_e == 0
    none = FailureCounts.of(alike(3, 0, 100), alike(3, 0, 100, "b"))
    assert judge_failures(none).log_e == pytest.approx(0)
    assert judge_failures(FailureCounts.of(alike(3, 5, 5), {})).log_e == pytest.approx(0)
    fewer = FailureCounts.of(alike(3, 1, 100), alike(3, 90, 100, "b"))
    assert judge_failures(fewer).log_e < 0


def test_one_bad_device_of_three_is_not_taken_for_a_bad_candidate_but_three_are() -> None:
    control = alike(3, 10, 500, "b")
    one = FailureCounts.of({**alike(2, 10, 500), ("bad", 0): (60, 500)}, control)
    x, n, y, m = one.by_period()
    assert failure_path(x, n, y, m)[-1] > CERTAIN > judge_failures(one).log_e
    every = FailureCounts.of(alike(3, 150, 500), control)
    assert judge_failures(every).log_e > CERTAIN


def test_healthy_candidates_are_left_alone_on_few_devices_that_differ() -> None:
    random = np.random.default_rng(5)
    tripped = naive = 0
    for _ in range(200):
        arms = (fleet(random, varied(random, 5, 0.5), 1_000, name) for name in "ab")
        failures = FailureCounts.of(*arms)
        tripped += judge_failures(failures).log_e >= CERTAIN
        naive += failure_path(*failures.by_period())[-1] >= CERTAIN
    assert tripped <= 2
    assert naive >= 20


def test_many_devices_that_are_alike_cost_nothing() -> None:
    random = np.random.default_rng(6)
    rates = np.full(500, 0.05)
    failures = FailureCounts.of(*(fleet(random, rates, 200, name) for name in "ab"))
    assert spread(failures) < 0.02
    assert design_effect(failures) < 1.2


@pytest.mark.parametrize("sd", [0.3, 0.6, 1.0])
def test_the_spread_of_many_devices_is_estimated(sd: float) -> None:
    random = np.random.default_rng(7)
    failures = FailureCounts.of(
        *(fleet(random, varied(random, 400, sd), 500, name) for name in "ab")
    )
    # Moments of rates on the scale of log odds: somewhat below it where devices differ much.
    assert 0.5 * sd**2 < spread(failures) < 1.5 * sd**2


def test_until_devices_have_failed_the_spread_is_the_assumed_one() -> None:
    assert spread(FailureCounts.of({}, {})) == SPREAD
    assert spread(FailureCounts.of(alike(5, 0, 100), alike(5, 0, 100, "b"))) == SPREAD
    assert spread(FailureCounts.of(alike(1, 9, 100), alike(1, 9, 100, "b"))) == SPREAD


def test_devices_that_are_on_both_arms_are_their_own_control() -> None:
    """Units smaller than a device: whatever is wrong with a device hits both arms."""
    rates = [5, 10, 40, 200]
    both: Table = {(f"d{i}", 0): (rate, 500) for i, rate in enumerate(rates)}
    assert design_effect(FailureCounts.of(both, both)) == pytest.approx(1)
    apart = FailureCounts.of(both, {(f"e{i}", 0): (rate, 500) for i, rate in enumerate(rates)})
    assert design_effect(apart) > 10


def test_more_failures_than_the_control_but_not_than_matter_are_no_reason() -> None:
    failures = FailureCounts.of(alike(100, 7, 100), alike(100, 5, 100, "b"))
    assert judge_failures(failures).log_e > CERTAIN
    assert judge_failures(failures, margin=0.02).log_e < 0
    worse = FailureCounts.of(alike(100, 12, 100), alike(100, 5, 100, "b"))
    assert judge_failures(worse, margin=0.02).log_e > CERTAIN


def test_a_margin_does_not_hide_a_candidate_that_fails_where_the_control_never_did() -> None:
    failures = FailureCounts.of(alike(20, 5, 10), alike(20, 0, 100, "b"))
    assert judge_failures(failures, margin=0.02).log_e > CERTAIN


def test_a_device_is_judged_by_how_much_devices_differ_anyway() -> None:
    usual = (50, 1_000)
    assert log_device_evidence(20, 200, usual) < CERTAIN
    assert log_device_evidence(20, 200, usual, differ=0.0) > log_device_evidence(20, 200, usual)
    assert log_device_evidence(190, 200, usual) > CERTAIN
    assert log_device_evidence(0, 0, (0, 0)) == pytest.approx(0)


COUNTS = st.integers(0, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
TABLES = st.dictionaries(
    st.tuples(st.sampled_from("abcdef"), st.integers(0, 3)), COUNTS, max_size=12
)


@given(TABLES, TABLES)
def test_evidence_is_finite_and_never_above_that_of_independent_requests(
    candidate: Table, control: Table
) -> None:
    failures = FailureCounts.of(candidate, control)
    result = judge_failures(failures)
    assert math.isfinite(result.log_e)
    assert result.design_effect >= 1
    path = failure_path(*failures.by_period())
    assert result.log_e <= max(float(path[-1]) if len(path) else 0.0, 0.0) + 1e-9
