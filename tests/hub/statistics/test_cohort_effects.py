"""Effects by cohort: known answers, what shrinking does, and how many findings are false."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.statistics.part import QUICK
from benchmarks.statistics.rows import cohorts
from cloud_hub.statistics.cohort_effects import (
    against_the_rest,
    joined,
    shrink,
    told_apart,
)
from cloud_hub.statistics.samples import Contrast, Sample
from cloud_hub.statistics.stratified import mean_of_pairs, stratified_difference

RANDOM = np.random.default_rng


def arm(n: list[list[float]], rate: list[list[float]]) -> Sample:
    """Outcomes [periods][devices] with their shares of successes."""
    counts = np.array(n, dtype=float)
    return Sample.of_successes(counts * np.array(rate), counts)


def contrast(estimate: float, error: float, freedom: float = 30.0) -> Contrast:
    n = 0.18 / error**2
    return Contrast(*(np.array(v) for v in (estimate, error**2, n, freedom)))


def test_many_equal_devices_have_the_variance_of_their_means() -> None:
    random = RANDOM(0)
    a, b = random.uniform(0.6, 0.9, (2, 200))
    one, none = np.ones(200), np.zeros(200)
    result = stratified_difference(
        arm([[*(50 * one), *none]], [[*a, *none]]), arm([[*none, *(50 * one)]], [[*none, *b]])
    )
    assert result.estimate == pytest.approx(b.mean() - a.mean())
    textbook = a.var(ddof=1) / 200 + b.var(ddof=1) / 200
    assert result.variance == pytest.approx(textbook, rel=0.01)
    assert result.freedom == pytest.approx(398)


def test_a_share_that_rises_while_outcomes_change_makes_no_effect() -> None:
    # Pooled, the candidate has .5 to the control's .8: it came when times were bad.
    control = arm([[90.0, 90.0, 0, 0], [10.0, 10.0, 0, 0]], [[0.9] * 4, [0.4] * 4])
    candidate = arm([[0, 0, 10.0, 10.0], [0, 0, 90.0, 90.0]], [[0.9] * 4, [0.4] * 4])
    assert stratified_difference(control, candidate).estimate == pytest.approx(0.0)


def test_a_period_with_one_arm_alone_counts_for_nothing() -> None:
    both = ([[50.0, 50.0, 0, 0]], [[0.8, 0.9, 0, 0]]), ([[0, 0, 50.0, 50.0]], [[0, 0, 0.7, 0.6]])
    expected = stratified_difference(arm(*both[0]), arm(*both[1]))
    later = [[0.0] * 4]
    longer = stratified_difference(
        arm(both[0][0] + [[99.0, 99.0, 0, 0]], both[0][1] + [[0.1, 0.1, 0, 0]]),
        arm(both[1][0] + later, both[1][1] + later),
    )
    for name in ("estimate", "variance", "n", "freedom"):
        assert getattr(longer, name) == pytest.approx(getattr(expected, name))


def test_a_device_that_is_on_both_arms_is_its_own_control() -> None:
    own = [[0.2, 0.5, 0.9, 0.6]]
    n = [[100.0] * 4]
    paired = stratified_difference(arm(n, own), arm(n, own))
    assert paired.estimate == pytest.approx(0.0)
    # Only that of independent requests is left.
    assert paired.variance < 0.01


@pytest.mark.parametrize(
    ("control", "candidate"),
    [
        ([[50.0, 0, 0]], [[0, 50.0, 50.0]]),  # one device on an arm
        ([[50.0, 1e9, 0]], [[0, 0, 50.0]]),  # a device that has all the traffic
        ([[0.0, 0, 0]], [[0, 50.0, 50.0]]),  # an arm without data
        ([[0.0, 0, 0]], [[0.0, 0, 0]]),
    ],
)
def test_arms_that_do_not_tell_how_devices_differ_say_nothing(
    control: list[list[float]], candidate: list[list[float]]
) -> None:
    rate = [[0.5, 0.9, 0.1]]
    result = stratified_difference(arm(control, rate), arm(candidate, rate))
    assert (result.estimate, result.variance, result.n) == (0.0, np.inf, 0.0)


def test_outcomes_without_a_range_that_do_not_vary_say_nothing() -> None:
    n, total = np.array([[5.0, 5.0, 0, 0]]), np.array([[10.0, 10.0, 0, 0]])
    control = Sample(n, total, 2 * total)
    candidate = Sample(n[:, ::-1], 2 * total[:, ::-1], 8 * total[:, ::-1])
    assert stratified_difference(control, candidate, scale=0).variance == np.inf


def test_pairs_are_held_against_zero() -> None:
    random = RANDOM(1)
    each = random.normal(0.3, 1.0, 100)
    sample = Sample(np.ones((1, 100)), each[None], each[None] ** 2)
    result = mean_of_pairs(sample, scale=0)
    assert result.estimate == pytest.approx(each.mean())
    assert result.variance == pytest.approx(each.var(ddof=1) / 100, rel=0.02)
    assert mean_of_pairs(Sample(*(np.zeros((1, 3)),) * 3)).variance == np.inf


def test_estimates_that_differ_by_chance_alone_are_drawn_together() -> None:
    result = shrink([0.01, -0.01, 0.005, 0.0], [0.02**2] * 4)
    assert result.between == 0.0
    assert result.effects == pytest.approx([0.00125] * 4)


def test_equal_variances_give_the_estimator_of_james_and_stein() -> None:
    y = np.array([-3.0, 1.0, 2.0, 4.0, 6.0])
    result = shrink(y, np.ones(5))
    # The between variance of Paule and Mandel is s^2 - 1 here, so a distance keeps 1 - 1 / s^2.
    kept = 1 - 1 / y.var(ddof=1)
    assert result.effects == pytest.approx(2 + kept * (y - 2), rel=1e-6)
    assert result.kept == pytest.approx([kept] * 5)


def test_shrunk_effects_are_nearer_to_the_truth() -> None:
    random = RANDOM(2)
    plain = drawn = 0.0
    for _ in range(300):
        effects = 0.5 * random.standard_normal(6)
        variances = random.uniform(0.5, 2.0, 6)
        estimates = effects + np.sqrt(variances) * random.standard_normal(6)
        plain += float(np.sum((estimates - effects) ** 2))
        drawn += float(np.sum((shrink(estimates, variances).effects - effects) ** 2))
    assert drawn < 0.6 * plain


def test_cohorts_that_say_nothing_neither_count_nor_move() -> None:
    result = shrink([0.0, 5.0, 1.0], [np.inf, 1.0, 1.0])
    assert result.kept[0] == 0
    assert shrink([1.0], [np.inf]).effects == pytest.approx([0.0])


def test_a_clear_effect_is_told_apart_and_differs_from_the_rest() -> None:
    every = joined([contrast(0.1, 0.01), *[contrast(0.0, 0.01)] * 4])
    assert told_apart(every)[0] == {0}
    rest = against_the_rest(every)
    assert rest.estimate == pytest.approx([0.1] + [-0.025] * 4)
    assert told_apart(rest)[0] == {0}
    alone = against_the_rest(joined([contrast(0.1, 0.01)]))
    assert (alone.variance[0], alone.estimate[0]) == (np.inf, 0.0)


def test_an_effect_everywhere_differs_nowhere() -> None:
    every = joined([contrast(0.1, 0.01)] * 4)
    assert told_apart(every)[0] == {0, 1, 2, 3}
    assert told_apart(against_the_rest(every))[0] == set()


@pytest.mark.slow
def test_few_of_the_findings_are_false_and_real_ones_are_found() -> None:
    rows = cohorts.run(QUICK)
    assert not [row for row in rows if row.refuted], rows
