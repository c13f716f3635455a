"""Sums of weighted outcomes: unbiased, bounded, and sent only of enough units; harm is noticed."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_sdk.contract.codec import decode, encode, to_plain
from edge_sdk.contract.errors import ContractError
from edge_sdk.contract.messages import Message, kind_of
from edge_sdk.contract.personal.ranking_report import (
    LARGEST_WEIGHT,
    POLICIES,
    PolicySums,
    RankingReport,
)
from edge_sdk.contract.window import Window
from edge_sdk.personalise.rankings.harm_watch import HarmWatch
from edge_sdk.personalise.rankings.off_policy_sums import (
    OffPolicySums,
    ShownChances,
    policy_sums,
)

WINDOW = Window("shop", "1.0", 0, 300)
CHANCES = {"best": 0.9, "own": 0.05, "other": 0.05}
VALUES = {"best": 0.6, "own": 0.3, "other": 0.4}


def shown(which: str) -> ShownChances:
    return ShownChances(
        CHANCES["best"], CHANCES["own"], which == "best", which == "own", VALUES[which],
        VALUES["best"], VALUES["own"],
    )  # fmt: skip


def test_weighted_outcomes_are_unbiased_whatever_the_model_expects() -> None:
    truth = {"best": 0.2, "own": 0.7, "other": 0.5}
    for policy, target in (("own", "own"), ("adapted", "best")):
        expected: dict[str, float] = dict.fromkeys(("weight", "reward", "robust"), 0.0)
        for which, chance in CHANCES.items():
            for reward in (0.0, 1.0):
                p = chance * (truth[which] if reward else 1 - truth[which])
                sums = policy_sums(shown(which), reward)[policy]
                for name in expected:
                    expected[name] += p * getattr(sums, name)
        assert expected["weight"] == pytest.approx(1)
        assert expected["reward"] == pytest.approx(truth[target])
        assert expected["robust"] == pytest.approx(truth[target])


def test_a_policy_whose_list_had_no_chance_is_said_to_be_unsupported() -> None:
    none = ShownChances(1.0, 0.0, True, False, 0.5, 0.5, 0.4)
    assert policy_sums(none, 1.0)["own"] == PolicySums(unsupported=1)
    assert policy_sums(none, 1.0)["adapted"].reward == 1.0


chances = st.floats(0, 1)


@given(
    st.lists(
        st.tuples(chances, chances, st.sampled_from(["best", "own", "both", "none"]), chances,
                  chances, chances, st.floats(-1e300, 1e300) | st.floats(0, 1)),
        min_size=1, max_size=40,
    )
)  # fmt: skip
def test_whatever_happens_a_report_is_within_the_contract(rows: list[tuple]) -> None:  # type: ignore[type-arg]
    sums = OffPolicySums()
    for i, (best, own, which, value, best_value, own_value, reward) in enumerate(rows):
        agrees = (which in ("best", "both"), which in ("own", "both"))
        sums.shown += 1
        sums.add(bytes([i]), ShownChances(best, own, *agrees, value, best_value, own_value), reward)
    report = sums.take(WINDOW, 1, stopped=False)
    assert report is not None
    assert decode(RankingReport, encode(report), limit=1 << 20) == report
    body = json.loads(encode(report))
    assert Message("boot", 1, kind_of(report), body).open() == report


def test_sums_of_few_units_wait_for_more() -> None:
    sums = OffPolicySums()
    for unit in (b"a", b"a", b"b"):
        sums.add(unit, shown("best"), 1.0)
        assert sums.take(WINDOW, 3, stopped=False) is None
    sums.add(b"c", shown("own"), 0.0)
    report = sums.take(WINDOW, 3, stopped=True)
    assert report is not None
    assert (report.units, report.lists, report.stopped) == (3, 4, True)
    assert sums.take(WINDOW, 3, stopped=False) is None


REFUSED = {
    "more reward than weight": {"weight": 1.0, "weight_squares": 1.0, "reward": 2.0},
    "a weight above the largest": {"weight": 11 * LARGEST_WEIGHT, "weight_squares": 1e9},
    "a sum of squares that is too small": {"weight": 10.0, "weight_squares": 1.0},
    "a negative sum": {"cross": -1.0},
    "more lists unsupported than there are": {"unsupported": 11},
    "a robust sum beyond its bounds": {"robust": 1e9, "robust_squares": 1e18},
}


@pytest.mark.parametrize("sums", REFUSED.values(), ids=REFUSED)
def test_sums_that_no_lists_have_are_refused(sums: dict[str, float]) -> None:
    good = to_plain(RankingReport(WINDOW, 2, 10, policies={"own": PolicySums(1.0, 1.0, 0.5, 0.25)}))
    assert Message("boot", 1, "rankings", good).open()
    good["policies"]["own"] = {**to_plain(PolicySums()), **sums}
    with pytest.raises(ContractError):
        Message("boot", 1, "rankings", good).open()


def test_unknown_policies_and_sums_of_nothing_are_refused() -> None:
    with pytest.raises(ContractError, match="policies: expected some of"):
        RankingReport(WINDOW, 2, 10, policies={"mine": PolicySums()})
    with pytest.raises(ContractError, match="no sums of no lists"):
        RankingReport(WINDOW, 0, 0, policies={POLICIES[0]: PolicySums()})


def watched(lists: int, truth: dict[str, float], seed: int) -> HarmWatch:
    watch, random = HarmWatch(), np.random.default_rng(seed)
    names = list(CHANCES)
    for which in random.choice(names, lists, p=list(CHANCES.values())):
        watch.add(shown(which), float(random.random() < truth[which]))
    return watch


def test_adapting_that_does_harm_is_stopped_and_one_that_does_not_goes_on() -> None:
    harmful = {"best": 0.1, "own": 0.7, "other": 0.3}
    assert all(watched(3_000, harmful, seed).stopped for seed in range(5))
    alike = dict.fromkeys(CHANCES, 0.4)
    assert not any(watched(1_000, alike, seed).stopped for seed in range(50))


def test_lists_that_are_the_release_s_own_are_no_evidence() -> None:
    watch = HarmWatch()
    for _ in range(10_000):
        watch.add(ShownChances(1.0, 1.0, True, True, 0.9, 0.9, 0.9), 0.0)
    assert not watch.stopped
