"""Gates decide on arrays of devices as they do on dictionaries."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cloud_hub.experiments.verdict.evidence import ArmEvidence, Evidence, Settling
from cloud_hub.experiments.verdict.judge import judge
from cloud_hub.statistics.influence import device_factors, factors_of
from cloud_hub.statistics.samples import DeviceRows, devices_in, in_order, pair_up, sums_of
from tests.hub.simulate.scenarios import canary

NAMES = tuple(f"d{i:03}" for i in range(120))
CANDIDATE = np.arange(0, 120, 3)
CONTROL = np.setdiff1d(np.arange(120), CANDIDATE)


def rows(places: np.ndarray, accuracy: float, seed: int, heavy: int = 0) -> DeviceRows:
    rng = np.random.default_rng(seed)
    n = rng.poisson(40, len(places)) + 1
    n[0] += heavy
    right = rng.binomial(n, accuracy).astype(float)
    return DeviceRows(NAMES, places, np.stack([n, right, right], axis=1).astype(float))


def arm(places: np.ndarray, accuracy: float, seed: int, heavy: int = 0) -> ArmEvidence:
    mine = rows(places, accuracy, seed, heavy)
    answers = rows(places, 0.97, seed + 50, heavy)
    errors = {(NAMES[i], 0): (0.0, 40.0) for i in places.tolist()}
    return ArmEvidence(
        outcomes={"accuracy": mine, "served_accuracy": mine},
        failures={"errors": errors, "wrong labels": {}},
        exposed=frozenset(mine),
        predictions=4_000,
        labels={"settled": answers, "early": answers, "so far": answers},
    )


def plain(of: ArmEvidence) -> ArmEvidence:
    return replace(
        of,
        outcomes={m: dict(r) for m, r in of.outcomes.items()},
        labels={c: dict(r) for c, r in of.labels.items()},
    )


@pytest.mark.parametrize(
    ("accuracy", "heavy"), [(0.9, 0), (0.9, 5_000), (0.6, 0), (0.88, 0), (0.97, 3_000)]
)
def test_a_decision_is_the_same_on_arrays(accuracy: float, heavy: int) -> None:
    spec = replace(canary(), minimum_devices=3)
    arms = {"control": arm(CONTROL, 0.9, 1), "candidate": arm(CANDIDATE, accuracy, 2, heavy)}
    evidence = Evidence(arms, soaked=1e5, settling=Settling(3_600.0, 2_700.0))
    as_dictionaries = replace(evidence, arms={name: plain(each) for name, each in arms.items()})
    mine, theirs = judge(spec, evidence, {}), judge(spec, as_dictionaries, {})
    assert (mine.action, mine.reason) == (theirs.action, theirs.reason)
    assert mine.figures == theirs.figures


def test_rows_are_a_mapping() -> None:
    table = rows(CANDIDATE, 0.9, 1)
    assert list(table) == [NAMES[i] for i in CANDIDATE]
    assert table["d003"] == tuple(table.columns[1])
    assert not {"d001", "a", "z"} & set(table)
    assert [table.get(name) for name in ("d001", "a", "z")] == [None] * 3
    assert dict(table.without("d003")) == {d: r for d, r in table.items() if d != "d003"}
    assert table.without("d001") is table
    np.testing.assert_array_equal(sums_of(table), sums_of(dict(table)))
    assert devices_in(table) == devices_in(dict(table)) == 40


def test_arms_are_arranged_alike() -> None:
    a, b = rows(CONTROL, 0.9, 1), rows(CANDIDATE, 0.9, 2)
    past = {"d003": (5.0, 4.0, 4.0), "nobody": (1.0, 1.0, 1.0)}
    for mine, theirs in zip(pair_up(a, b, past), pair_up(dict(a), dict(b), past), strict=True):
        for column in ("n", "total", "squares"):
            np.testing.assert_array_equal(getattr(mine, column), getattr(theirs, column))
    few = pair_up(a, a, b)[2]
    assert few.n.sum() == in_order({}, NAMES).n.sum() == 0


def test_weights_are_bounded_alike() -> None:
    totals = np.array([1.0, 4.0, 0.0, 500.0, 3.0, 41.0])
    expected = device_factors({str(i): n for i, n in enumerate(totals.tolist())})
    assert factors_of(totals).tolist() == list(expected.values())
    assert factors_of(np.zeros(3)).tolist() == [1, 1, 1]
