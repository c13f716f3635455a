"""Statistics: known answers, and error rates over simulated fleets with fixed seeds."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cloud_hub.statistics.detectors.distances import corrected_psi, jensen_shannon
from cloud_hub.statistics.detectors.drift import feature_drift, model_drift
from cloud_hub.statistics.sequential import SampleMoments, difference_interval, mean_interval

RANDOM = np.random.default_rng


def counts(values: np.ndarray, bins: int = 32) -> list[int]:
    """A histogram in the profile's layout over the quantiles of a standard normal."""
    from scipy.stats import norm

    inner = norm.ppf(np.linspace(0, 1, bins + 1)[1:-1])
    return [*np.bincount(np.searchsorted(inner, values), minlength=bins).tolist(), 0, 0]


def test_equal_histograms_have_no_distance_and_disjoint_ones_the_largest() -> None:
    a, b = np.array([50.0, 50, 0, 0]), np.array([0.0, 0, 50, 50])
    assert jensen_shannon(a, a) == 0
    assert jensen_shannon(a, b) == 1
    assert feature_drift("f", [5, 5, 0, 0], [5, 5, 0, 0]).ks == 0


def test_corrected_psi_is_about_zero_without_drift_however_small_the_window() -> None:
    random, result = RANDOM(0), []
    for _ in range(200):
        reference = np.array(counts(random.standard_normal(2_000)), dtype=float)
        window = np.array(counts(random.standard_normal(300)), dtype=float)
        result.append(corrected_psi(reference, window))
    assert abs(np.mean(result)) < 0.02


def test_without_drift_a_model_of_fifty_features_is_rarely_called_drifted() -> None:
    random = RANDOM(1)
    reference = {f"f{i}": counts(random.standard_normal(5_000)) for i in range(50)}
    alarms = 0
    for _ in range(60):
        window = {name: counts(random.standard_normal(1_000)) for name in reference}
        alarms += any(feature.drifted for feature in model_drift(reference, window))
    assert alarms <= 6


@pytest.mark.parametrize("shift", [0.4, 1.0, 2.0])
def test_one_shifted_feature_among_many_is_found_and_named_first(shift: float) -> None:
    random = RANDOM(2)
    reference = {f"f{i}": counts(random.standard_normal(5_000)) for i in range(20)}
    window = {name: counts(random.standard_normal(1_000)) for name in reference}
    window["f7"] = counts(random.standard_normal(1_000) + shift)
    result = model_drift(reference, window)
    assert result[0].name == "f7"
    assert result[0].drifted
    assert sum(feature.drifted for feature in result) == 1


def test_missing_values_that_were_never_there_are_drift() -> None:
    reference = [100] * 10 + [0, 0]
    assert model_drift({"f": reference}, {"f": [60] * 10 + [400, 0]})[0].drifted


def test_a_histogram_without_data_says_nothing() -> None:
    assert feature_drift("f", [1, 2, 0, 0], [0, 0, 0, 0]).p == 1.0


def _ever_excludes(truth: float, n: int, seed: int) -> bool:
    outcomes = RANDOM(seed).random(n) < truth
    sums = np.cumsum(outcomes)
    for looked in range(20, n, 20):
        low, high = mean_interval(SampleMoments.of_successes(int(sums[looked - 1]), looked))
        if not low <= truth <= high:
            return True
    return False


def test_a_confidence_sequence_covers_the_truth_at_every_look() -> None:
    misses = sum(_ever_excludes(0.8, 3_000, seed) for seed in range(200))
    assert misses <= 0.05 * 200 + 6


def test_a_confidence_sequence_narrows_with_data_and_is_infinite_without() -> None:
    assert mean_interval(SampleMoments(0, 0, 0)) == (-math.inf, math.inf)
    widths = []
    for n in (100, 1_000, 10_000):
        low, high = mean_interval(SampleMoments.of_successes(int(0.7 * n), n))
        widths.append(high - low)
    assert widths[0] > widths[1] > widths[2]
    assert widths[2] < 0.05


def test_few_labels_that_all_agree_are_no_certainty() -> None:
    low, _ = mean_interval(SampleMoments.of_successes(5, 5))
    assert low < 0.5


def test_a_difference_of_arms_is_seen_when_it_is_there() -> None:
    worse = difference_interval(
        SampleMoments.of_successes(900, 1_000), SampleMoments.of_successes(600, 1_000)
    )
    assert worse[1] < 0
    same = difference_interval(
        SampleMoments.of_successes(90, 100), SampleMoments.of_successes(88, 100)
    )
    assert same[0] < 0 < same[1]
