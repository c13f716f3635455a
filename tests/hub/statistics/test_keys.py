"""Tests by key: buckets of keys as what is compared, and as what a sample ratio is tested on."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import beta

from benchmarks.statistics.allocation import _repeating
from benchmarks.statistics.keys import Scene, _judged, evidence_at
from cloud_hub.experiments.verdict.guardrails import watch
from cloud_hub.experiments.verdict.spec import CANDIDATE, ArmSpec, ExperimentSpec
from cloud_hub.statistics.allocation import (
    check_key_allocation,
    log_bucket_evidence,
    log_mismatch_evidence,
)
from cloud_hub.statistics.clustered import compare
from cloud_hub.statistics.keys import LEAST, compare_buckets, filled
from cloud_hub.statistics.samples import Sample

BUCKETS = 128
RANDOM = np.random.default_rng


def upper(hits: int, runs: int) -> float:
    """Upper end of the exact 95% interval of a share (Clopper and Pearson)."""
    return float(beta.ppf(0.975, hits + 1, runs - hits)) if hits < runs else 1.0


def lower(hits: int, runs: int) -> float:
    """Lower end of the same."""
    return float(beta.ppf(0.025, hits, runs - hits + 1)) if hits else 0.0


def table(random: np.random.Generator, n: float = 50.0, right: float = 0.8) -> np.ndarray:
    asked = random.poisson(n, BUCKETS).astype(float)
    good = random.binomial(asked.astype(int), right).astype(float)
    return np.stack([asked, good, good], axis=1)


def test_buckets_of_independent_requests_are_worth_their_requests() -> None:
    a, b = table(RANDOM(1)), table(RANDOM(2), right=0.7)
    found = compare_buckets(a, b)
    assert found.estimate == pytest.approx(b[:, 1].sum() / b[:, 0].sum()
                                           - a[:, 1].sum() / a[:, 0].sum())  # fmt: skip
    assert 0.6 * 6_400 < found.n <= 6_500
    # The same bucket of the other arm holds other keys: nothing of it cancels.
    paired = compare(Sample(*a.T), Sample(*a.T))
    assert float(paired.variance) < float(compare_buckets(a, a).variance) * 1.1
    assert found.freedom > 200


def test_what_the_requests_of_a_key_have_in_common_costs_information() -> None:
    random = RANDOM(3)
    keyed = []
    for _ in range(2):
        rates = random.beta(0.8 * 4, 0.2 * 4, BUCKETS)  # a correlation of 0.2
        good = random.binomial(50, rates).astype(float)
        keyed.append(np.stack([np.full(BUCKETS, 50.0), good, good], axis=1))
    assert 250 < compare_buckets(*keyed).n < 1_600  # 6,400 by 1 + 49 * 0.2 are 590


def test_few_keys_are_no_data_however_often_they_ask() -> None:
    a, b = table(RANDOM(4)), table(RANDOM(5), right=0.1)
    for place in range(LEAST - 1, BUCKETS):
        b[place] = 0
    found = compare_buckets(a, b * 1_000)
    assert (float(found.estimate), float(found.n), float(found.variance)) == (0.0, 0.0, np.inf)
    assert filled(b) == LEAST - 1


def test_one_key_that_asks_all_the_time_does_not_decide() -> None:
    a, b = table(RANDOM(6)), table(RANDOM(7))
    b[5] = (50_000.0, 0.0, 0.0)  # all wrong
    apart = float(compare_buckets(a, b).estimate)
    assert -0.08 < apart < 0.0  # 10 of 137 median buckets, not nine tenths of all


@pytest.mark.parametrize("shape", [(0, 3), (BUCKETS, 3)], ids=["no buckets", "no outcomes"])
def test_nothing_is_no_data(shape: tuple[int, int]) -> None:
    found = compare_buckets(np.zeros(shape), np.zeros(shape))
    assert (float(found.n), float(found.variance)) == (0.0, np.inf)


def test_a_small_arm_that_has_no_bad_key_is_not_sure_of_itself() -> None:
    """Of keys that hardly ever fail, but for some: by its own spread the arm would be certain."""
    random, runs, ours, alone = RANDOM(8), 300, 0, 0
    for _ in range(runs):
        rates = random.beta(0.02 * 9, 0.98 * 9, 200)
        inside, bucket = random.random(200) < 0.1, random.integers(0, BUCKETS, 200)
        bad = random.binomial(500, rates).astype(float)
        arms = []
        for mine in (~inside, inside):
            n = 500.0 * np.bincount(bucket[mine], minlength=BUCKETS)
            total = np.bincount(bucket[mine], bad[mine], minlength=BUCKETS)
            arms.append(np.stack([n, total, total], axis=1))
        nothing = np.zeros_like(arms[0])
        plain = compare(*(Sample(*np.concatenate(p).T)
                          for p in ((arms[0], nothing), (nothing, arms[1]))))  # fmt: skip
        found = compare_buckets(*arms)
        ours += abs(float(found.estimate)) > 3.2 * float(np.sqrt(found.variance))
        alone += abs(float(plain.estimate)) > 3.2 * float(np.sqrt(plain.variance))
    assert upper(ours, runs) <= 0.05
    assert alone > 2 * ours


@pytest.mark.parametrize(
    "scene", [Scene(1, 200), Scene(1, 40, traffic="alike"), Scene(5, 300, 0.1, share=0.2)],
    ids=lambda s: s.name,
)  # fmt: skip
def test_keys_that_differ_make_no_winner_and_trip_nothing(scene: Scene) -> None:
    runs = 80
    judged = [_judged(scene, (61, i), by_bucket=True) for i in range(runs)]
    for k in (0, 1):
        assert upper(sum(each[k] for each in judged), runs) <= 0.07


def test_by_device_the_same_keys_made_winners() -> None:
    """Why there are buckets: one device with 40 keys, which ask 200 times each."""
    judged = [_judged(Scene(1, 40, traffic="alike"), (64, i), by_bucket=False) for i in range(60)]
    assert lower(sum(each[0] for each in judged), 60) > 0.05


def test_a_version_that_is_wrong_three_times_as_often_trips_the_guardrail() -> None:
    runs = 40
    tripped = sum(_judged(Scene(5, 1_000, 0.1, risk=3.0), (62, i), by_bucket=True)[1]
                  for i in range(runs))  # fmt: skip
    assert tripped >= 0.9 * runs


def test_the_figures_of_a_guardrail_say_how_much_keys_differ() -> None:
    spec = ExperimentSpec("m", "ab", arms=(ArmSpec(CANDIDATE, "1.1", 0.5),), unit="key")
    keys = Scene(3, 500, 0.3).draw(RANDOM(9))
    arms = evidence_at(keys, 3, 11, by_bucket=True).arms
    (wrong,) = (g for g in watch(spec, CANDIDATE, arms["control"], arms[CANDIDATE])
                if g.name == "wrong labels")  # fmt: skip
    assert not wrong.trips
    assert "by bucket of keys, e-value" in wrong.reason
    assert wrong.figures.design_effect > 10  # type: ignore[union-attr]


def test_keys_that_are_counted_every_day_are_no_mismatch() -> None:
    runs = 150
    alarms = [_repeating(0.5, 300, 1.0, (63, i)) for i in range(runs)]
    assert sum(ours for ours, _ in alarms) <= 1
    assert lower(sum(once for _, once in alarms), runs) > 0.15  # each taken as another key


def test_keys_that_are_never_heard_of_are_a_mismatch() -> None:
    assert all(_repeating(0.5, 30_000, 0.85, (64, i))[0] for i in range(3))


def test_a_mismatch_takes_both_tests() -> None:
    random = RANDOM(10)
    units = {"control": random.poisson(40, BUCKETS) * 1.0, "new": random.poisson(30, BUCKETS) * 1.0}
    weights = {"control": 1.0, "new": 1.0}
    assert check_key_allocation("all", units, weights).mismatch
    one = {name: np.where(np.arange(BUCKETS) == 3, row * 20, 0.0) for name, row in units.items()}
    found = check_key_allocation("all", one, weights)  # a bucket alone says nothing of others
    assert not found.mismatch
    table = np.array([*one.values()])
    assert (
        log_mismatch_evidence(table.sum(axis=1), [0.5, 0.5])
        > 7
        > log_bucket_evidence(table, [0.5, 0.5])
    )
    empty = {name: np.zeros(BUCKETS) for name in units}
    assert check_key_allocation("all", empty, weights).p == 1.0
