"""The statistics of experiments: known answers, published values, and what clustering does."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.statistics.part import QUICK
from benchmarks.statistics.rows import latency as latency_part
from cloud_hub.statistics import group_sequential, latency, power, sequential
from cloud_hub.statistics.allocation import check_allocation, log_mismatch_evidence
from cloud_hub.statistics.classical import two_proportion_z, welch
from cloud_hub.statistics.clustered import compare, mean_against
from cloud_hub.statistics.multiple import adjusted, holm
from cloud_hub.statistics.paired import log_sign_evidence, sign_test
from cloud_hub.statistics.ratios import DeviceWindowSums, as_sample
from cloud_hub.statistics.samples import Contrast, Sample, pair_up
from cloud_hub.statistics.sequential import SampleMoments

RANDOM = np.random.default_rng


def one_each(outcomes: np.ndarray, *, second: bool) -> Sample:
    """Devices with one outcome each; the other arm's come before or after them."""
    none = np.zeros_like(outcomes)
    order = (none, outcomes) if second else (outcomes, none)
    n = np.concatenate([np.full(len(o), float(o is outcomes)) for o in order])
    total = np.concatenate(order)
    return Sample(n, total, total**2)


def test_independent_outcomes_have_the_textbook_variance() -> None:
    random = RANDOM(0)
    a, b = random.normal(0, 1, 500), random.normal(0.5, 2, 500)
    result = compare(one_each(a, second=False), one_each(b, second=True), scale=0)
    assert result.estimate == pytest.approx(b.mean() - a.mean())
    textbook = a.var(ddof=1) / 500 + b.var(ddof=1) / 500
    assert result.variance == pytest.approx(textbook, rel=0.01)
    assert result.n == pytest.approx(500, rel=0.01)


def test_requests_of_alike_devices_count_for_less() -> None:
    random = RANDOM(1)
    rates = np.clip(random.normal(0.5, 0.2, 80), 0, 1)
    n = np.repeat(np.array([[1_000.0], [0.0]]), 40, axis=1).ravel()
    total = random.binomial(1_000, rates) * (n > 0)
    other = random.binomial(1_000, rates) * (n == 0)
    result = compare(
        Sample.of_successes(total.astype(float), n),
        Sample.of_successes(other.astype(float), 1_000 - n),
    )
    assert 100 < result.n < 600  # 40,000 requests an arm
    assert 30 < result.freedom < 79


def test_a_device_on_both_arms_is_its_own_control() -> None:
    random = RANDOM(2)
    rates = random.uniform(0.1, 0.9, 50)
    n = np.full(50, 1_000.0)
    a, b = (random.binomial(1_000, rates).astype(float) for _ in range(2))
    result = compare(Sample.of_successes(a, n), Sample.of_successes(b, n))
    assert result.n > 20_000


@pytest.mark.parametrize("devices", [0, 1])
def test_an_arm_without_data_says_nothing(devices: int) -> None:
    rows = {f"d{i}": (10.0, 5.0, 5.0) for i in range(devices)}
    result = compare(*pair_up({}, rows))
    assert (float(result.n), float(result.variance)) == (0, math.inf)
    low, high = sequential.interval(result)
    assert (float(low), float(high)) == (-math.inf, math.inf)
    assert float(sequential.log_e_value(result)) == 0


def test_arms_that_never_fail_are_not_known_to_be_equal() -> None:
    sure = {f"d{i}": (10.0, 10.0, 10.0) for i in range(3)}
    result = compare(*pair_up(sure, {f"e{i}": row for i, row in enumerate(sure.values())}))
    low, high = sequential.interval(result)
    assert low < -0.1 < 0.1 < high


def test_a_single_device_says_nothing_however_much_it_reports() -> None:
    """Nothing says how far it is from others: not beside another one, and not beside a number."""
    alone = Sample(np.array([1e6, 0.0]), np.array([2e6, 0.0]), np.array([5e6, 0.0]))
    other = Sample(np.array([0.0, 1e6]), np.array([0.0, 3e6]), np.array([0.0, 1e7]))
    for result in (compare(alone, other), mean_against(alone, 0.5)):
        assert (float(result.n), float(result.variance)) == (0.0, math.inf)


@given(st.floats(-5, 5), st.floats(0.01, 2), st.floats(10, 1e6))
def test_the_interval_excludes_zero_exactly_where_the_e_value_rejects(
    estimate: float, error: float, n: float
) -> None:
    result = Contrast(*(np.array(v) for v in (estimate, error**2, n, np.inf)))
    low, high = sequential.interval(result, 0.05)
    evidence = float(sequential.log_e_value(result))
    if abs(evidence - math.log(20)) > 1e-6:
        assert (evidence > math.log(20)) == bool(low > 0 or high < 0)


def test_few_devices_make_intervals_wider() -> None:
    few, many = (Contrast(*(np.array(v) for v in (0.1, 0.01, 100.0, f))) for f in (4.0, np.inf))
    wide, narrow = (np.ptp(sequential.interval(c)) for c in (few, many))
    assert wide > 1.5 * narrow
    assert sequential.log_e_value(few) < sequential.log_e_value(many)


def windows(n: np.ndarray, total: np.ndarray) -> DeviceWindowSums:
    """Of windows [W, D] of each device."""
    count = np.full(n.shape[1], float(len(n)))
    sums = (n, total, n * n, n * total, total * total)
    return DeviceWindowSums(count, *(each.sum(axis=0) for each in sums))


def test_a_ratio_over_windows_of_one_size_is_the_mean_of_their_ratios() -> None:
    random = RANDOM(5)
    each = random.normal(3.0, 1.0, (12, 8))
    result = as_sample(windows(np.full((12, 8), 50.0), each * 50))
    assert result.n == pytest.approx(np.full(8, 12.0))
    assert result.total == pytest.approx(each.sum(axis=0))
    assert result.squares == pytest.approx((each**2).sum(axis=0))


def test_a_ratio_is_that_of_the_totals_with_the_variance_of_the_textbook() -> None:
    random = RANDOM(6)
    n = random.poisson(random.uniform(5, 80, (1, 400)), (1, 400)) + 1.0
    arms = [windows(n, 30.0 + rate * n + random.normal(0, 5, n.shape)) for rate in (2.0, 2.5)]
    none = np.zeros(400)
    samples = [as_sample(arm) for arm in arms]
    control = Sample(*(np.concatenate([getattr(samples[0], f), none]) for f in SUMS))
    candidate = Sample(*(np.concatenate([none, getattr(samples[1], f)]) for f in SUMS))
    result = compare(control, candidate, scale=0)
    ratios = [arm.total.sum() / arm.n.sum() for arm in arms]
    assert result.estimate == pytest.approx(ratios[1] - ratios[0])
    textbook = sum(  # without the correction for a finite population
        ((arm.total - ratio * arm.n) ** 2).sum() / 399 / 400 / n.mean() ** 2
        for arm, ratio in zip(arms, ratios, strict=True)
    )
    assert result.variance == pytest.approx(textbook, rel=0.02)
    assert result.n == pytest.approx(400, rel=0.02)


SUMS = ("n", "total", "squares")


def test_devices_without_windows_are_no_outcomes() -> None:
    nothing = as_sample(windows(np.zeros((1, 3)), np.zeros((1, 3))))
    assert nothing.n.tolist() == nothing.total.tolist() == nothing.squares.tolist() == [0.0] * 3


@given(st.floats(0.01, 1e4), st.floats(0.5, 60.0), st.sampled_from([50, 5_000, 10**6]))
def test_however_little_is_known_an_interval_has_its_ends_in_order(
    n: float, freedom: float, tuned_for: int
) -> None:
    contrast = Contrast(*map(np.array, (0.3, 0.01, n, freedom)))
    low, high = sequential.interval(contrast, 0.05, tuned_for)
    assert low < 0.3 < high


def test_lan_demets_bounds_are_the_published_ones() -> None:
    """R package gsDesign 3, `gsDesign(k = 5, test.type = 2, sfu = sfLDOF, alpha = 0.025)`."""
    published = (4.8769, 3.3569, 2.6803, 2.2898, 2.0310)
    assert group_sequential.bounds((0.2, 0.4, 0.6, 0.8, 1.0)) == pytest.approx(published, abs=2e-3)


def test_the_error_that_is_spent_adds_up_to_alpha() -> None:
    looks = group_sequential.planned_looks(10)
    limits = group_sequential.bounds(looks, 0.05)
    assert group_sequential.crossing(looks, limits, 0.0) == pytest.approx(0.05, abs=1e-4)
    assert group_sequential.spent(1.0, 0.05) == pytest.approx(0.05)
    assert group_sequential.spent(0.0, 0.05) == 0


def test_a_repeated_p_value_is_below_alpha_exactly_beyond_the_bound() -> None:
    looks = group_sequential.planned_looks(4)
    limit = group_sequential.bounds(looks, 0.05)[-1]
    assert group_sequential.repeated_p(looks, limit * 1.01) < 0.05
    assert group_sequential.repeated_p(looks, limit * 0.99) > 0.05


def test_the_planner_agrees_with_the_textbook_where_there_is_one() -> None:
    """With one look a group-sequential test is the fixed one: 14,749 an arm for 10% to 11%."""
    spread = 0.1 * 0.9 + 0.11 * 0.89
    fixed = (1.959964 + 0.841621) ** 2 * spread / 0.01**2
    needed = power.needs(0.01, spread, method="group-sequential").independent
    assert 1.0 < needed / fixed < 1.06
    always = power.needs(0.01, spread, method="sequential").independent
    assert 1.4 < always / fixed < 2.0


def test_alike_devices_need_more_of_them() -> None:
    alone = power.needs(0.05, 0.5, per_device=100)
    alike = power.needs(0.05, 0.5, per_device=100, correlation=0.1)
    assert alike.devices > 8 * alone.devices
    assert alike.design_effect == pytest.approx(10.9)


def test_a_mismatch_is_found_and_named_and_fair_coins_are_not() -> None:
    bad = check_allocation("region=eu", {"a": 5_300, "b": 4_700}, {"a": 1, "b": 1})
    assert (bad.cohort, bad.mismatch, bad.expected["a"]) == ("region=eu", True, 0.5)
    assert not check_allocation("all", {"a": 5_050, "b": 4_950}, {"a": 1, "b": 1}).mismatch
    assert check_allocation("all", {"a": 0, "b": 25}, {"a": 0.5, "b": 0.5, "c": 0.0}).mismatch


def test_the_mismatch_evidence_is_a_martingale() -> None:
    """Its expectation over everything that may happen is one, also after several units."""
    shares = [0.2, 0.8]
    counts = np.array([[k, 12 - k] for k in range(13)])
    chance = [math.comb(12, k) * 0.2**k * 0.8 ** (12 - k) for k in range(13)]
    assert np.exp(log_mismatch_evidence(counts, shares)) @ chance == pytest.approx(1)


def test_the_sign_evidence_is_a_martingale() -> None:
    wins = np.arange(21)
    chance = [math.comb(20, k) / 2**20 for k in range(21)]
    assert np.exp(log_sign_evidence(wins, 20 - wins)) @ chance == pytest.approx(1)


SIGNS = {
    "no pair that differs": (0, 0, None),
    "as many either way": (50, 50, None),
    "a lucky start": (5, 0, None),
    "the candidate surely": (90, 30, "candidate"),
    "the control surely": (10, 70, "control"),
}


@pytest.mark.parametrize("case", SIGNS)
def test_signs(case: str) -> None:
    wins, losses, winner = SIGNS[case]
    result = sign_test(wins, losses)
    assert result.winner == winner
    assert result.low <= result.share <= result.high
    assert (result.p <= 0.05) == (winner is not None)


def test_holm_stops_at_the_first_arm_that_it_cannot_reject() -> None:
    p = {"a": 0.001, "b": 0.02, "c": 0.03, "d": 0.2}
    assert holm(p, 0.05) == {"a"}
    assert holm({"a": 0.001, "b": 0.012, "c": 0.02}, 0.05) == {"a", "b", "c"}
    assert adjusted(p) == pytest.approx({"a": 0.004, "b": 0.06, "c": 0.06, "d": 0.2})
    assert holm({}, 0.05) == set()


def test_the_classical_tests_give_the_textbook_values() -> None:
    z = two_proportion_z(
        SampleMoments.of_successes(100, 1_000),
        SampleMoments.of_successes(130, 1_000),
        at_the_end=True,
    )
    assert (z.statistic, z.p) == (pytest.approx(2.103, abs=1e-3), pytest.approx(0.0355, abs=1e-3))
    from scipy.stats import ttest_ind

    random = RANDOM(3)
    a, b = random.normal(0, 1, 30), random.normal(1, 3, 40)
    ours = welch(*(SampleMoments(len(x), x.sum(), (x**2).sum()) for x in (a, b)), at_the_end=False)
    theirs = ttest_ind(b, a, equal_var=False)
    assert (ours.statistic, ours.p) == pytest.approx((theirs.statistic, theirs.pvalue))
    assert not ours.valid
    nothing = SampleMoments(0, 0, 0)
    assert welch(nothing, nothing, at_the_end=True).p == 1
    assert two_proportion_z(nothing, nothing, at_the_end=True).p == 1


def histograms(middle: float, devices: int, requests: int, seed: int) -> np.ndarray:
    """Log-normal latencies of devices that differ, in the contract's bins."""
    random = RANDOM(seed)
    edges = np.r_[0.0, 2.0 ** (np.arange(1, 64) / 4), np.inf]
    own = random.normal(np.log(middle), 0.1, devices)
    rows = [np.histogram(random.lognormal(at, 0.4, requests), edges)[0] for at in own]
    return np.array(rows, dtype=float)


@pytest.mark.parametrize("q", [0.5, 0.99])
def test_a_slower_candidate_is_found_and_an_equal_one_is_not(q: float) -> None:
    calm = histograms(150, 60, 300, 4)
    slow = latency.compare_latency(calm, histograms(300, 60, 300, 5), q)
    same = latency.compare_latency(calm, histograms(150, 60, 300, 6), q)
    assert 1.2 < slow.low <= 2 <= slow.high
    assert same.low <= 1 <= same.high < 1.7
    assert same.control.low < same.control.value <= same.control.high


def test_latency_without_data_says_nothing() -> None:
    result = latency.compare_latency(np.zeros((0, 64)), np.zeros((3, 64)), 0.5)
    assert (result.low, result.high) == (0.0, math.inf)


@pytest.mark.parametrize("q", [0.5, 0.99])
def test_one_device_on_an_arm_says_nothing_of_latency(q: float) -> None:
    result = latency.compare_latency(histograms(150, 60, 300, 4), histograms(9_000, 1, 300, 5), q)
    assert (result.low, result.high) == (0.0, math.inf)


def test_the_difference_is_narrower_than_two_intervals_of_half_the_error() -> None:
    together = apart = 0.0
    for seed in range(5):
        fleet = latency_part.Fleet(20, 20, 0.5, 0.5, slower=1.5)
        last = fleet.verdicts(RANDOM(seed))[-1]
        together += math.log(last.high / last.low)
        # What both quantiles alone would leave: their ends are at half the error each.
        low, high = (
            last.candidate.low / last.control.high,
            last.candidate.high / last.control.low,
        )
        apart += math.log(high / low)
        assert last.low >= low
        assert last.high <= high
    assert together < 0.95 * apart


def test_latency_of_everything_in_the_last_bin_has_no_upper_end() -> None:
    slow = np.zeros((5, 64))
    slow[:, -1] = 500
    result = latency.compare_latency(histograms(150, 60, 300, 4), slow, 0.5)
    assert result.high == math.inf
    assert result.low > 100


@pytest.mark.slow
def test_arms_alike_in_latency_are_rarely_told_apart() -> None:
    rows = latency_part.run(QUICK)
    assert not [row for row in rows if row.refuted], rows


@pytest.mark.parametrize(("effect", "alpha", "power_"), [(0.05, 0.05, 0.8), (0.1, 0.01, 0.9)])
def test_the_planned_number_of_sessions_is_enough(
    effect: float, alpha: float, power_: float
) -> None:
    n = power.pairs_needed(effect, alpha=alpha, power=power_)
    wins = np.cumsum(np.random.default_rng(0).random((500, n)) < 0.5 + effect, axis=1)
    played = np.arange(1, n + 1)
    evidence = log_sign_evidence(wins, played - wins)
    result = ((evidence >= np.log(1 / alpha)) & (2 * wins > played)).any(axis=1).mean()
    assert power_ - 0.03 < result < power_ + 0.07
