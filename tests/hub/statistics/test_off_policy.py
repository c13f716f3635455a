"""Values of policies that were not shown, from weighted outcomes by device."""

from __future__ import annotations

import numpy as np
import pytest

from cloud_hub.statistics.off_policy import (
    LEAST_EFFECTIVE,
    Estimator,
    PolicyOutcomes,
    outcome_sample,
    policy_gain,
    policy_value,
    value_interval,
)

ESTIMATORS: tuple[Estimator, ...] = ("importance", "self_normalised", "robust")
RATES = {"adapted": 0.5, "own": 0.3}
CHANCES = {"adapted": 0.85, "own": 0.05, "other": 0.1}


def lists(
    devices: int, each: int, seed: int, q: float = 0.4, spread: float = 0.1
) -> dict[str, tuple[np.ndarray, ...]]:
    """Weights, rewards and doubly robust outcomes, [devices, each], by policy."""
    random = np.random.default_rng(seed)
    level = random.normal(0, spread, (devices, 1))
    shown = random.choice(3, (devices, each), p=list(CHANCES.values()))
    rates = np.clip(np.array([0.5, 0.3, 0.35])[shown] + level, 0, 1)
    r = (random.random((devices, each)) < rates).astype(float)
    found = {}
    for i, name in enumerate(RATES):
        w = (shown == i) / CHANCES[name]
        found[name] = (w, w * r, q + w * (r - q))
    return found


def outcomes(w: np.ndarray, wr: np.ndarray, d: np.ndarray) -> PolicyOutcomes:
    sums = [np.full(w.shape[0], float(w.shape[1]))]
    sums += [x.sum(axis=1) for x in (w, w**2, wr, wr**2, w * wr, d, d**2)]
    return PolicyOutcomes(*sums)


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("policy", RATES)
def test_the_value_of_a_policy_that_was_hardly_shown_is_within_its_interval(
    estimator: Estimator, policy: str
) -> None:
    missed = 0
    for seed in range(200):
        contrast = policy_value(outcomes(*lists(30, 60, seed)[policy]), estimator)
        low, high = value_interval(contrast)
        missed += not low <= RATES[policy] <= high
    assert missed <= 10


def test_sums_say_as_much_as_lists_do() -> None:
    w, wr, d = lists(12, 40, 3)["own"]
    o = outcomes(w, wr, d)
    assert outcome_sample(o, "importance").total.sum() / o.lists.sum() == pytest.approx(wr.mean())
    assert outcome_sample(o, "robust").total.sum() / o.lists.sum() == pytest.approx(d.mean())
    ratio = wr.sum() / w.sum()
    sample = outcome_sample(o, "self_normalised")
    assert sample.total.sum() / o.lists.sum() == pytest.approx(ratio)
    linear = ratio + (wr - ratio * w) / w.mean()
    np.testing.assert_allclose(sample.total, linear.sum(axis=1))
    np.testing.assert_allclose(sample.squares, (linear**2).sum(axis=1))


def test_a_good_model_narrows_the_robust_interval() -> None:
    own = {q: outcomes(*lists(30, 60, 1, q, 0.0)["own"]) for q in (0.0, 0.3)}
    width = {q: float(policy_value(o, "robust").variance) for q, o in own.items()}
    assert width[0.3] < width[0.0]


def test_a_gain_is_found_and_none_is_where_there_is_none() -> None:
    made = [lists(40, 200, seed) for seed in range(40)]
    gains = [policy_gain(outcomes(*m["own"]), outcomes(*m["adapted"])) for m in made]
    intervals = np.array([value_interval(gain) for gain in gains])
    assert ((intervals[:, 0] <= 0.2) & (intervals[:, 1] >= 0.2)).mean() >= 0.95
    assert (intervals[:, 0] > 0).mean() > 0.5
    same = policy_gain(outcomes(*made[0]["own"]), outcomes(*made[0]["own"]))
    low, high = value_interval(same)
    assert low < 0 < high


def test_of_few_lists_that_a_policy_would_have_shown_nothing_is_known() -> None:
    w = np.zeros((5, 40))
    w[0, : int(LEAST_EFFECTIVE) - 1] = 20.0
    o = outcomes(w, np.zeros_like(w), np.zeros_like(w))
    assert o.effective < LEAST_EFFECTIVE
    for estimator in ESTIMATORS:
        low, high = value_interval(policy_value(o, estimator))
        assert (low, high) == (-np.inf, np.inf)


def test_without_any_device_nothing_is_known() -> None:
    nothing = PolicyOutcomes.by_device({})
    for estimator in ESTIMATORS:
        assert np.isinf(value_interval(policy_value(nothing, estimator))[1])


def test_devices_that_differ_widen_the_interval() -> None:
    alike, unlike = (
        policy_value(outcomes(*lists(20, 200, 1, spread=spread)["adapted"]), "robust")
        for spread in (0.0, 0.3)
    )
    assert unlike.variance > 3 * alike.variance
