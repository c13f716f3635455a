"""Domain shift, groups, seasons, and what a moved feature did to the output."""

from __future__ import annotations

import numpy as np
import pytest

from cloud_hub.statistics.detectors.domain import (
    by_cohort,
    domain_shifts,
    low_confidence,
    outlier_score,
)
from cloud_hub.statistics.detectors.output_shift import (
    explained,
    feature_part,
    mean_of_bins,
    share_changes,
)
from cloud_hub.statistics.detectors.seasonal import hour_of_week, seasonal_reference, usual
from cloud_hub.statistics.fairness import disparity

RANDOM = np.random.default_rng
REFERENCE = {"age": [500, 500, 0, 0], "town": [900, 90, 0, 10], "height": [450, 450, 100, 0]}

SHIFTS = {
    "values out of range": ({"age": [400, 400, 0, 200]}, ("age", "outside")),
    "categories that training never saw": ({"town": [600, 60, 0, 340]}, ("town", "outside")),
    "values that went missing": ({"height": [300, 300, 400, 0]}, ("height", "missing")),
}


@pytest.mark.parametrize("case", SHIFTS)
def test_a_rate_that_rose_is_named(case: str) -> None:
    changed, (name, kind) = SHIFTS[case]
    first, *others = domain_shifts(REFERENCE, {**REFERENCE, **changed})
    assert (first.name, first.kind, first.alarming) == (name, kind, True)
    assert not any(shift.alarming for shift in others)


@pytest.mark.parametrize(
    "window",
    [REFERENCE, {**REFERENCE, "town": [885, 90, 0, 25]}, {**REFERENCE, "age": [5, 5, 0, 1]}],
)
def test_rates_as_before_small_rises_and_few_rows_alarm_nobody(
    window: dict[str, list[int]],
) -> None:
    assert not any(shift.alarming for shift in domain_shifts(REFERENCE, window))


def test_a_shift_is_followed_to_its_cohort() -> None:
    window = {"age": [700, 700, 0, 100]}
    shift = domain_shifts({"age": REFERENCE["age"]}, window)[0]
    devices = {"d1": [350, 350, 0, 0], "d2": [200, 200, 0, 0], "d3": [150, 150, 0, 100]}
    attributes = {"d1": {"region": "eu"}, "d2": {"region": "us"}, "d3": {"region": "asia"}}
    result = by_cohort(shift, REFERENCE["age"], devices, attributes)
    assert (result[0].cohort, result[0].alarming) == (("region", "asia"), True)
    assert sum(s.alarming for s in result) == 1


def test_unsure_answers_are_counted_from_the_least_sure_held_out_rows() -> None:
    reference = [20, 30, 450, 500, 0, 0]
    assert low_confidence(reference, [150, 150, 350, 350, 0, 0]).alarming
    assert low_confidence(reference, [20, 30, 350, 350, 0, 250]).alarming
    assert not low_confidence(reference, [4, 6, 90, 100, 0, 0]).alarming


def test_the_outlier_score_is_about_one_without_a_shift_at_any_size() -> None:
    random = RANDOM(0)
    for n in (300, 3_000):
        scores = [
            outlier_score(random.multinomial(5_000, [0.1] * 10), random.multinomial(n, [0.1] * 10))
            for _ in range(200)
        ]
        assert np.mean(scores) == pytest.approx(1, abs=0.15)
    odd = random.multinomial(3_000, [0.19, 0.01, *[0.1] * 8])
    assert outlier_score(random.multinomial(5_000, [0.1] * 10), odd) > 10


def test_groups_that_differ_alarm_and_groups_with_few_labels_have_no_figures() -> None:
    result = disparity({"a": (4_000, 3_800), "b": (4_000, 3_000), "c": (60, 10)}, acceptable=0.05)
    assert (result.most, result.least, result.alarming) == ("a", "b", True)
    assert result.difference == pytest.approx(0.2)
    assert result.low < result.difference < result.high
    assert result.groups[2].rate is None


def test_groups_alike_rarely_alarm_however_often_one_looks() -> None:
    alarms = 0
    for seed in range(60):
        right = np.cumsum(RANDOM(seed).random((3, 3_000)) < 0.9, axis=1)
        alarms += any(
            disparity({str(g): (n, int(right[g, n - 1])) for g in range(3)}, acceptable=0).alarming
            for n in range(100, 3_000, 100)
        )
    assert alarms <= 3


def test_one_group_alone_is_compared_with_nobody() -> None:
    assert disparity({"a": (500, 400), "b": (5, 5)}, acceptable=0.01).least is None


def test_hours_of_the_week_begin_on_monday() -> None:
    assert hour_of_week(4 * 86_400) == 0  # Monday, 5 January 1970
    assert hour_of_week(4 * 86_400 + 25 * 3_600) == 25
    assert hour_of_week(0) == 72


def test_a_night_is_compared_with_nights() -> None:
    week = 7 * 86_400
    past = [(w * week + h * 3_600, {"f": [50, h + 1, 0, 0]}) for w in range(3) for h in (2, 14)]
    result = seasonal_reference(past, 3 * week + 2 * 3_600, least=100)
    assert result is not None
    assert result["f"].tolist() == [150, 9, 0, 0]
    assert seasonal_reference(past, 3 * week + 5 * 3_600, least=100) is None
    assert seasonal_reference(past, 2 * week, least=1_000) is None


def test_what_is_usual_needs_eight_windows() -> None:
    assert usual([0.1] * 7) is None
    result = usual([0.10, 0.12] * 5)
    assert result is not None
    assert 0.11 < result.limit < 0.15


def test_the_feature_that_moved_the_output_is_given_its_part() -> None:
    random = RANDOM(1)
    x = random.random((4_000, 2))
    outputs = 3 * x[:, 0] + 0.01 * x[:, 1]
    places = np.minimum((x * 8).astype(int), 7)
    window = [0, 0, 0, 0, 100, 100, 100, 100, 0, 0]  # the upper half only
    first, second = (feature_part(str(i), places[:, i], window, outputs) for i in (0, 1))
    assert first.moved == pytest.approx(0.75, abs=0.05)
    assert abs(second.moved) < 0.05
    assert explained([first, second], 0.75) == pytest.approx(1, abs=0.1)
    assert explained([first], 0.0) is None


def test_what_held_out_rows_never_had_they_cannot_speak_for() -> None:
    part = feature_part("f", np.zeros(50, np.int64), [0, 0, 0, 80], np.ones(50))
    assert (part.moved, part.supported) == (0.0, 0.0)


def test_bins_have_a_mean_and_shares_have_changes() -> None:
    assert mean_of_bins([10, 30, 5, 5], [0.0, 1.0, 3.0]) == pytest.approx(1.625)
    assert mean_of_bins([0, 0, 5, 5], [0.0, 1.0, 3.0]) is None
    assert share_changes([5, 5, 0, 0], [9, 1, 0, 0], ["a", "b"])["a"] == pytest.approx(0.4)
