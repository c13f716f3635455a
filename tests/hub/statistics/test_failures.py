"""The guardrail of failures: what it finds, what it must not, and how devices may differ."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from cloud_hub.experiments.verdict.guardrails import alpha_of
from cloud_hub.experiments.verdict.spec import ExperimentSpec
from cloud_hub.statistics.device_risks import GRID, Cells, changes, equal_rows, usual
from cloud_hub.statistics.failures import (
    judge_failures,
    log_device_evidence,
    log_evidence_by_device,
    log_share_evidence,
)
from cloud_hub.statistics.heterogeneity import (
    MOST,
    PERIODS,
    SPREAD,
    Counts,
    FailureCounts,
    common_hours,
)
from cloud_hub.statistics.samples import Floats

CERTAIN = math.log(100)
Table = dict[tuple[str, int], Counts]


def alike(devices: int, failed: int, requests: int, name: str = "a") -> Table:
    """The same counts on so many devices, in one period."""
    return {(f"{name}{i}", 0): (failed, requests) for i in range(devices)}


def drawn(random: np.random.Generator, rates: Floats, requests: int, name: str) -> Table:
    """Counts by chance: rates are of devices and periods, [D, P]."""
    failed = random.binomial(requests, rates)
    return {(f"{name}{d}", p): (int(x), requests) for (d, p), x in np.ndenumerate(failed)}


def log_e(
    candidate: Table, control: Table, past: Mapping[str, Counts] | None = None, margin: float = 0.0
) -> float:
    return judge_failures(FailureCounts.of(candidate, control, past), margin=margin).log_e


def log_odds(rates: Floats, factor: Floats) -> Floats:
    odds = rates / (1 - rates) * factor
    return odds / (1 + odds)


def test_no_failures_or_no_exposure_is_no_evidence() -> None:
    assert log_e({}, {}) == 0
    assert log_e(alike(3, 5, 5), {}) == 0
    assert log_e({}, alike(3, 5, 5)) == 0
    assert log_e(alike(3, 0, 100), alike(3, 0, 100, "b")) < 0.5
    assert log_e(alike(3, 1, 100), alike(3, 90, 100, "b")) < 0


def test_one_bad_device_of_three_is_not_taken_for_a_bad_candidate_but_three_are() -> None:
    control = alike(10, 10, 500, "b")
    assert log_e({**alike(2, 10, 500), ("bad", 0): (200, 500)}, control) < 0
    assert log_e(alike(3, 200, 500), control) > CERTAIN


@pytest.mark.parametrize("risk", [3.0, 10.0])
def test_a_failing_candidate_is_found_soon_where_devices_are_many_and_alike(risk: float) -> None:
    """In the median 500 and 60 requests suffice; four times as many nearly always do."""
    random = np.random.default_rng(1)
    requests = {3.0: 2_000, 10.0: 240}[risk]
    mine = drawn(random, np.full((50, 1), 0.01 * risk), requests // 50, "a")
    theirs = drawn(random, np.full((950, 1), 0.01), requests // 50, "b")
    assert log_e(mine, theirs) > CERTAIN


RATES = {
    "alike": lambda random, shape: np.full(shape, 0.05),
    "lognormal": lambda random, shape: log_odds(
        np.full(shape, 0.05), np.exp(1.5 * random.standard_normal((shape[0], 1)))
    ),
    "a few dirty": lambda random, shape: log_odds(
        np.full(shape, 0.05), np.where(random.random((shape[0], 1)) < 0.1, 12.0, 1.0)
    ),
    "bad hours": lambda random, shape: np.where(random.random(shape) < 0.02, 0.5, 0.05),
    "turning dirty": lambda random, shape: np.where(
        (random.random((shape[0], 1)) < 0.1)
        & (np.arange(shape[1]) >= random.integers(0, shape[1], (shape[0], 1))),
        0.25,
        0.05,
    ),
}


@pytest.mark.parametrize("condition", RATES)
@pytest.mark.parametrize("arms", [(9, 1), (3, 3), (20, 2)])
def test_a_healthy_candidate_is_left_alone(condition: str, arms: tuple[int, int]) -> None:
    """Its e-values trip nothing, and are 1 on average at most: that is what makes them e-values."""
    random, runs = np.random.default_rng([5, *arms]), 12
    found = []
    for _ in range(runs):
        rates = RATES[condition](random, (sum(arms), 12))
        mine, theirs = (
            drawn(random, part, 40, name) for part, name in ((rates[: arms[1]], "a"),
                                                             (rates[arms[1] :], "b"))
        )  # fmt: skip
        found.append(log_e(mine, theirs))
    # Four trips of 12 at a level of 1% have a chance below 1 in 100,000.
    assert sum(each >= CERTAIN for each in found) <= binom.isf(1e-5, runs, 0.01)
    assert np.median(found) < 0


def test_one_device_against_nine_is_stopped_by_its_own_past_only() -> None:
    mine: Table = {("a", period): (6, 40) for period in range(12)}
    theirs: Table = {(f"b{d}", period): (2, 40) for d in range(9) for period in range(12)}
    past = dict.fromkeys(("a", *(f"b{d}" for d in range(9))), (150.0, 3000.0))
    assert log_e(mine, theirs) < CERTAIN
    assert log_e(mine, theirs, past) > CERTAIN
    # It always was like that.
    assert log_e(mine, theirs, {**past, "a": (450.0, 3_000.0)}) < 0
    # So is everything now.
    everywhere = dict.fromkeys(theirs, (6.0, 40.0))
    assert log_e(mine, everywhere, past) < 0


def test_devices_that_were_dirty_before_are_no_evidence() -> None:
    mine: Table = {(f"a{d}", p): (1 if d == 0 else 8, 20) for d in range(3) for p in range(10)}
    theirs: Table = {(f"b{d}", p): (1, 20) for d in range(3) for p in range(10)}
    past = dict.fromkeys(["a0", "b0", "b1", "b2"], (150.0, 3_000.0))
    past |= dict.fromkeys(["a1", "a2"], (1_200.0, 3_000.0))
    assert log_e(mine, theirs, past) < 0


def test_a_device_whose_last_version_it_was_is_its_own_past() -> None:
    """In a canary devices move from the control to the candidate: what was wrong stays wrong."""
    rates = [2, 2, 4, 8, 16]
    theirs: Table = {(f"d{i}", p): (x, 40) for i, x in enumerate(rates) for p in range(6)}
    moved: Table = {(f"d{i}", p): (x, 40) for i, x in enumerate(rates) for p in range(6, 12)}
    stayed: Table = {(f"e{i}", p): (2, 40) for i in range(5) for p in range(12)}
    assert log_e(moved, {**theirs, **stayed}) < 0


def test_hours_that_are_bad_for_all_are_seen_on_the_control() -> None:
    theirs: Table = {(f"b{d}", p): (20 if p == 3 else 4, 100) for d in range(20) for p in range(6)}
    failures = FailureCounts.of({("a", 3): (20, 100)}, theirs)
    offsets = common_hours(failures, failures.period)
    assert offsets[3] > 1
    assert all(abs(offsets[[0, 1, 2, 4, 5]]) < 0.6)
    assert judge_failures(failures).log_e < 1
    steady = FailureCounts.of({}, dict.fromkeys(theirs, (4, 100)))
    assert not common_hours(steady, steady.period).any()


def test_more_failures_than_the_control_but_not_than_matter_are_no_reason() -> None:
    control = alike(100, 10, 200, "b")
    assert log_e(alike(100, 14, 200), control) > CERTAIN
    assert log_e(alike(100, 14, 200), control, margin=0.02) < 0
    assert log_e(alike(100, 24, 200), control, margin=0.02) > CERTAIN


def test_a_margin_does_not_hide_a_candidate_that_fails_where_the_control_never_did() -> None:
    assert log_e(alike(20, 5, 10), alike(20, 0, 100, "b"), margin=0.02) > CERTAIN


def test_many_periods_are_joined_and_very_many_devices_are_sampled() -> None:
    long: Table = {("a", period): (1, 10) for period in range(100)}
    cells = FailureCounts.of(long, {}).cells(candidate=True)
    assert len(cells.failed) == PERIODS
    assert (cells.failed.sum(), cells.requests.sum()) == (100, 1_000)
    many = FailureCounts.of(alike(3, 0, 1), alike(MOST + 50, 0, 1, "b"))
    again = FailureCounts.of(alike(3, 0, 1), alike(MOST + 50, 1, 1, "b"))
    assert many.devices == again.devices == MOST + 3


def test_structures_are_chances() -> None:
    assert usual().sum(axis=1) == pytest.approx(np.ones((len(usual()), len(GRID))))
    assert changes().sum(axis=2) == pytest.approx(np.ones((len(changes()), len(GRID))))


def test_a_device_is_judged_by_how_much_devices_differ_anyway() -> None:
    usually = (50, 1_000)
    assert log_device_evidence(20, 200, usually) < CERTAIN
    assert log_device_evidence(20, 200, usually, differ=0.0) > log_device_evidence(20, 200, usually)
    assert log_device_evidence(190, 200, usually, differ=SPREAD) > CERTAIN
    assert log_device_evidence(0, 0, (0, 0)) == 0


COUNTS = st.integers(0, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
TABLES = st.dictionaries(
    st.tuples(st.sampled_from("abcdef"), st.integers(0, 3)), COUNTS, max_size=12
)


@settings(max_examples=30)
@given(TABLES, TABLES, st.dictionaries(st.sampled_from("abcxyz"), COUNTS), st.floats(0, 0.9))
def test_evidence_is_finite_whatever_is_counted(
    candidate: Table, control: Table, past: dict[str, Counts], margin: float
) -> None:
    assert math.isfinite(log_e(candidate, control, past, margin))


def test_weights_that_are_no_whole_numbers_and_large_ones_count() -> None:
    huge = {("a", 0): (1e9, 1e9)}
    assert math.isfinite(log_e(huge, alike(3, 1, 100, "b")))
    assert math.isfinite(log_e({("a", 0): (0.5, 3.7)}, alike(3, 1, 100, "b")))


@pytest.mark.parametrize("allowed", [0.01, 0.05, 0.2])
@pytest.mark.parametrize("tried", [1, 3, 12, 40])
def test_evidence_of_failed_devices_is_one_on_average_where_as_many_fail_as_may(
    tried: int, allowed: float
) -> None:
    counts = np.arange(tried + 1)
    e_values = [math.exp(log_share_evidence(failed, tried, allowed)) for failed in counts]
    assert np.dot(binom.pmf(counts, tried, allowed), e_values) == pytest.approx(1.0)
    fewer = binom.pmf(counts, tried, allowed / 2)
    assert np.dot(fewer, e_values) < 1.0


def test_three_devices_of_three_are_proof_without_one_of_them_and_two_are_not() -> None:
    limit = math.log(1 / alpha_of(ExperimentSpec("m", "canary", candidate="2.0"), "failed devices"))
    assert log_share_evidence(2, 2, 0.05) >= limit > log_share_evidence(1, 1, 0.05)


def test_devices_together_have_the_evidence_that_each_has_alone() -> None:
    failures = np.array([0, 20, 190, 20, 0, 3])
    requests = np.array([200, 200, 200, 200, 0, 7])
    together = log_evidence_by_device(failures, requests, (50, 1_000))
    alone = [
        log_device_evidence(int(failed), int(tried), (50, 1_000))
        for failed, tried in zip(failures, requests, strict=True)
    ]
    np.testing.assert_allclose(together, alone, rtol=1e-12, atol=1e-12)
    assert log_evidence_by_device(failures[:0], requests[:0], (50, 1_000)).shape == (0,)
    assert not log_evidence_by_device(failures, requests, (0, 0)).any()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 60), st.integers(1, 15), st.booleans(), st.booleans())
def test_devices_with_equal_counts_say_as_much_as_devices_that_differ_by_nearly_nothing(
    seed: int, devices: int, periods: int, both: bool, known: bool
) -> None:
    random = np.random.default_rng(seed)
    rates = np.full((devices, periods), 0.05)
    mine = drawn(random, rates, int(random.integers(1, 30)), "a")
    theirs = drawn(random, rates, int(random.integers(1, 30)), "a" if both else "b")
    past = {f"a{d}": (float(random.integers(3)), 40.0) for d in range(0, devices, 2)}
    # No two of these are equal, so that each device is computed on its own.
    apart = {key: (x + 1e-12 * at, n) for at, (key, (x, n)) in enumerate(mine.items(), 1)}
    own = {key: (x + 1e-12 * at, n) for at, (key, (x, n)) in enumerate(theirs.items(), 1)}
    of = past if known else None
    assert log_e(mine, theirs, of) == pytest.approx(log_e(apart, own, of), rel=1e-7, abs=1e-7)


def test_equal_rows_are_found_with_how_many_there_are() -> None:
    rows = np.array([[1.0, 0.0], [2.0, 0.0], [1.0, 0.0], [1.0, 1.0]])
    first, times = equal_rows(rows)
    assert first.tolist() == [0, 1, 3]
    assert times.tolist() == [2.0, 1.0, 1.0]


def test_devices_with_the_same_cells_in_another_order_are_one_kind() -> None:
    device = np.array([0, 0, 1, 1, 2, 4], dtype=np.intp)
    failed = np.array([1.0, 0.0, 0.0, 1.0, 1.0, 0.0])
    cells = Cells(device, failed, np.full(6, 9.0), np.zeros(6), devices=5)
    rows = cells.kinds_by_device()
    assert rows.tolist() == [[1, 2], [1, 2], [2, 0], [0, 0], [1, 0]]
    chosen = np.array([1, 3, 4], dtype=np.intp)
    whole, some = (each.log_likelihood(0.5, 0.03) for each in (cells, cells.only(chosen)))
    assert some.tolist() == whole[chosen].tolist()
