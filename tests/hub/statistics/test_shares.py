"""Sessions won: the share of a device is one observation, however many sessions it has."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import beta

from benchmarks.statistics.interleaving import _called
from cloud_hub.experiments.verdict.evidence import Evidence, InterleaveEvidence
from cloud_hub.experiments.verdict.paired import decide_interleave
from cloud_hub.experiments.verdict.spec import ExperimentSpec
from cloud_hub.statistics.shares import share_contrast, share_test

RANDOM = np.random.default_rng


def upper(hits: int, runs: int) -> float:
    """Upper end of the exact 95% interval of a share (Clopper and Pearson)."""
    return float(beta.ppf(0.975, hits + 1, runs - hits)) if hits < runs else 1.0


def test_devices_that_are_alike_are_worth_their_sessions() -> None:
    random = RANDOM(1)
    decided = np.full(400, 25.0)
    found = share_contrast(random.binomial(25, 0.5, 400).astype(float), decided)
    assert 0.75 * 10_000 < found.n <= 10_000
    assert 330 < found.freedom <= 399


def test_many_sessions_make_a_device_known_and_no_more() -> None:
    random = RANDOM(2)
    shares = random.beta(5, 5, 20)
    few, many = (
        share_contrast(random.binomial(n, shares).astype(float), np.full(20, float(n)))
        for n in (100, 100_000)
    )
    assert float(many.n) < 2 * float(few.n) < 500
    assert float(many.variance) == pytest.approx(shares.var(ddof=1) / 20, rel=0.1)


def test_ten_devices_that_all_prefer_one_ranking_decide() -> None:
    found = share_test(np.full(10, 600.0), np.full(10, 1_000.0))
    assert (found.winner, found.devices, found.wins) == ("candidate", 10, 6_000)
    assert 0.5 < found.low < found.share < found.high < 1.0
    lost = share_test(np.full(10, 400.0), np.full(10, 1_000.0))
    assert (lost.winner, lost.p) == ("control", pytest.approx(found.p))


@pytest.mark.parametrize(
    ("won", "decided"),
    [
        ([], []),
        ([900.0], [1_000.0]),
        ([900.0, 0.0], [1_000.0, 0.0]),
        ([0.0, 0.0], [0.0, 0.0]),
        ([900.0] * 5, [1_000.0] * 5),
    ],
    ids=["nobody", "one device", "one that decides", "no sessions", "five"],
)
def test_fewer_than_six_devices_say_nothing(won: list[float], decided: list[float]) -> None:
    found = share_test(np.array(won), np.array(decided))
    assert (found.winner, found.low, found.high, found.p) == (None, 0.0, 1.0, 1.0)


def test_the_gate_says_that_devices_are_too_few() -> None:
    spec = ExperimentSpec("m", "interleave", candidate="1.1", soak_seconds=0, minimum_outcomes=1)
    decided = {f"d-{i}": (1_000.0, 900.0, 900.0) for i in range(5)}
    found = Evidence(interleave=InterleaveEvidence(decided, 0, 5_000), soaked=1.0)
    decision = decide_interleave(spec, found)
    assert decision.action == "wait"
    assert "no verdict: 5000 decided sessions of 5 device(s)" in decision.reason
    assert "6 are the fewest that can show anything" in decision.reason


def test_one_device_with_all_the_sessions_does_not_decide() -> None:
    decided = np.array([1e6, *[20.0] * 9])
    assert share_test(np.array([9e5, *[10.0] * 9]), decided).winner is None


@pytest.mark.parametrize("prefer", ["spread by 5 points", "spread by 15 points", "30% or 70%"])
@pytest.mark.parametrize("devices", [6, 30])
def test_devices_that_prefer_this_or_that_make_no_winner(prefer: str, devices: int) -> None:
    runs = 80
    called = [_called(prefer, devices, 1_000, 0.0, (71, devices, i)) for i in range(runs)]
    assert sum(ours for ours, _ in called) <= 0.05 * runs
    assert upper(sum(ours for ours, _ in called), runs) <= 0.12
    assert sum(signs for _, signs in called) >= 0.2 * runs  # a sign test of all sessions
