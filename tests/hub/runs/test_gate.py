"""The offline gate."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.multioutput import MultiOutputClassifier

from cloud_hub.data.dataset import Dataset
from cloud_hub.errors import GateRefused, Invalid
from cloud_hub.hub import Hub
from cloud_hub.policy.schema import GatePolicy, GroupRule
from cloud_hub.runs.answers import ReleaseAnswers
from cloud_hub.runs.evaluation import evaluate
from cloud_hub.runs.gate import Check, Costs, Slice, failures, judge
from cloud_hub.runs.offline import group_names
from cloud_hub.statistics.detectors.calibration import brier_rows, expected_calibration_error
from cloud_hub.statistics.reuse import Wear
from converters import convert
from edge_sdk.contract.groups import GroupColumn
from edge_sdk.contract.label_sets import LabelSet
from edge_sdk.model.release import Release

COSTS = Costs(10, 10)


def right(count: int, n: int) -> ReleaseAnswers:
    return ReleaseAnswers((np.arange(n) >= count).astype(float))


def pair(candidate: ReleaseAnswers, incumbent: ReleaseAnswers, **groups: Any) -> Slice:
    return Slice(candidate, incumbent, {name: np.array(g) for name, g in groups.items()})


def scored(confidence: float, n: int = 200, accuracy: float = 0.8) -> ReleaseAnswers:
    """Answers of two classes that are right in ``accuracy`` of all rows."""
    truth = (np.arange(n) >= accuracy * n).astype(np.int64)
    probabilities = np.tile([confidence, 1 - confidence], (n, 1))
    return ReleaseAnswers(truth.astype(float), probabilities, truth)


HALVES = ["a"] * 100 + ["b"] * 100
LOSES_B = pair(
    ReleaseAnswers(np.r_[np.zeros(100), np.arange(100) < 40].astype(float)),
    ReleaseAnswers(np.r_[np.arange(100) < 40, np.arange(100) < 10].astype(float)),
    label=HALVES,
)
OFFLINE: dict[str, tuple[dict[str, Slice], GatePolicy, str]] = {
    "better on both": (
        {"fresh": pair(right(95, 100), right(60, 100)),
         "history": pair(right(390, 400), right(388, 400))},
        GatePolicy(), "",
    ),
    "a little worse on fresh rows, of which there are few": (
        {"fresh": pair(right(90, 100), right(91, 100))}, GatePolicy(),
        "(allowed loss 0.02); 0 rows won, 1 lost; undecided: too few rows",
    ),
    "surely worse on fresh rows": (
        {"fresh": pair(right(80, 100), right(91, 100))}, GatePolicy(), "fresh: 0.800",
    ),
    "as good, and nobody allows a loss": (
        {"fresh": pair(right(900, 1_000), right(900, 1_000))}, GatePolicy(max_fresh_drop=0.0),
        "no number of rows shows that an equal loses nothing",
    ),
    "surely better, where nobody allows a loss": (
        {"fresh": pair(right(920, 1_000), right(900, 1_000))}, GatePolicy(max_fresh_drop=0.0), "",
    ),
    "the same answers to enough rows": (
        {"fresh": pair(right(180, 200), right(180, 200))}, GatePolicy(), "",
    ),
    "the same answers to too few": (
        {"fresh": pair(right(90, 100), right(90, 100))}, GatePolicy(), "183 needed, 100 there",
    ),
    "catastrophic forgetting": (
        {"fresh": pair(right(95, 100), right(60, 100)),
         "history": pair(right(80, 100), right(95, 100))},
        GatePolicy(), "forgetting: surely loses more than 0.02",
    ),
    "forgets a little, which few rows do not show": (
        {"history": pair(right(94, 100), right(95, 100))}, GatePolicy(),
        "forgetting: undecided: too few rows, ",
    ),
    "forgets a little, as allowed": (
        {"history": pair(right(1_898, 2_000), right(1_900, 2_000))}, GatePolicy(), "",
    ),
    "nothing to compare on": ({}, GatePolicy(), "evidence: nothing to compare on"),
    "too few rows to compare on": (
        {"fresh": pair(right(10, 10), right(0, 10))}, GatePolicy(), "evidence: nothing to compare",
    ),
    "few fresh rows beside enough old ones": (
        {"fresh": pair(right(0, 10), right(10, 10)),
         "history": pair(right(390, 400), right(390, 400))},
        GatePolicy(), "",
    ),
    "better on the whole, but a group loses": (
        {"fresh": LOSES_B}, GatePolicy(0.3, groups=(GroupRule("label"),)),
        "group fresh label=b: 0.600",
    ),
    "a group that nobody declared": ({"fresh": LOSES_B}, GatePolicy(0.3), ""),
    "a group that loses what is allowed": (
        {"fresh": LOSES_B}, GatePolicy(0.3, groups=(GroupRule("label", max_drop=0.3),)), "",
    ),
    "a small group": (
        {"fresh": LOSES_B}, GatePolicy(0.3, groups=(GroupRule("label", minimum_rows=101),)), "",
    ),
    "probabilities that say too much": (
        {"fresh": pair(scored(0.99), scored(0.8))},
        GatePolicy(max_calibration_rise=0.01), "calibration fresh",
    ),
    "the same by calibration error": (
        {"fresh": pair(scored(0.99), scored(0.8))},
        GatePolicy(calibration="ece", max_calibration_rise=0.01), "calibration fresh: 0.190",
    ),
    "calibration that nobody limits": (
        {"fresh": pair(scored(0.99), scored(0.8))}, GatePolicy(), "",
    ),
    "better calibration": (
        {"fresh": pair(scored(0.8), scored(0.99))}, GatePolicy(max_calibration_rise=0.0), "",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", OFFLINE)
def test_the_offline_gate(case: str) -> None:
    slices, policy, message = OFFLINE[case]
    found = failures(judge(slices, policy, COSTS))
    assert (message in found) if message else found == ""


def test_a_group_that_loses_by_chance_is_excused_and_says_so() -> None:
    few = pair(right(2, 10), right(4, 10), label=["a"] * 10)
    rule = GroupRule("label", minimum_rows=5)
    checks = judge({"fresh": few}, GatePolicy(1.0, minimum_rows=5, groups=(rule,)), COSTS)
    assert checks[1].ok
    assert "could be chance" in checks[1].note


def test_errors_of_values_may_rise_by_their_share() -> None:
    errors = np.abs(np.random.default_rng(0).normal(size=100))
    for worse, verdict in ((1.0, "passed"), (1.09, "passed"), (1.2, "worse")):
        both = Slice(ReleaseAnswers(worse * errors), ReleaseAnswers(errors), {}, values=True)
        (check,) = judge({"fresh": both}, GatePolicy(max_fresh_drop=0.1), COSTS)
        assert (check.ok, check.verdict) == (verdict == "passed", verdict)
    noisy = np.random.default_rng(1).permutation(errors)
    both = Slice(ReleaseAnswers(noisy), ReleaseAnswers(errors), {}, values=True)
    (check,) = judge({"fresh": both}, GatePolicy(max_fresh_drop=0.1), COSTS)
    assert (check.verdict, check.ok) == ("undecided", False)
    assert check.needed is not None
    assert check.needed > 100


BAD_LOSSES: dict[str, tuple[np.ndarray, np.ndarray]] = {
    "errors that are no numbers": (np.full(100, np.nan), np.ones(100)),
    "infinite errors": (np.full(100, np.inf), np.ones(100)),
    "one error that is none": (np.r_[np.nan, np.zeros(99)], np.ones(100)),
}


@pytest.mark.parametrize("case", BAD_LOSSES)
def test_what_cannot_be_compared_does_not_pass(case: str) -> None:
    candidate, incumbent = (ReleaseAnswers(each) for each in BAD_LOSSES[case])
    slices = {"fresh": Slice(candidate, incumbent, {}, values=True)}
    (check,) = judge(slices, GatePolicy(), COSTS)
    assert (check.ok, check.verdict) == (False, "undecided")


def test_nothing_but_verdicts_comes_out_of_the_old_holdout() -> None:
    groups = (GroupRule("label"),)
    policy = GatePolicy(groups=groups, max_calibration_rise=0.5)
    answers = scored(0.9), scored(0.8)
    slices = {"history": Slice(*answers, {"label": np.array(HALVES)})}
    checks = judge(slices, policy, COSTS)
    assert len(checks) == 4
    for check in checks:
        assert (check.candidate, check.incumbent, check.p) == (None, None, None)
    # Other rows that have the same verdict look the same, to the last digit.
    half = scored(0.9, accuracy=0.7), scored(0.8, accuracy=0.7)
    others = judge({"history": Slice(*half, {"label": np.array(HALVES)})}, policy, COSTS)
    assert others == checks


def test_rows_that_were_asked_before_are_held_to_more_and_say_how_often() -> None:
    slices = {"history": pair(right(380, 400), right(380, 400))}
    first, later = (
        judge(slices, GatePolicy(), COSTS, wear={"history": wear})[0]
        for wear in (Wear(), Wear(uses=9, checks=9))
    )
    assert (first.verdict, first.use, first.level) == ("passed", 1, 0.025)
    assert (later.verdict, later.use) == ("undecided", 10)
    assert later.level is not None
    assert later.level < 0.05 / 110
    assert "too few rows" in later.note


@pytest.mark.parametrize(
    ("policy", "costs", "message"),
    [
        (GatePolicy(max_bytes=9), COSTS, "10 bytes, allowed 9"),
        (GatePolicy(max_bytes=10), COSTS, ""),
        (GatePolicy(max_slowdown=1.5), Costs(1, 1, 4e-5, 2e-5), "latency: 40.000 against 20.000"),
        (GatePolicy(max_slowdown=2.0), Costs(1, 1, 4e-5, 2e-5), ""),
        (GatePolicy(), Costs(1, 1, 4e-5, 2e-5), ""),
    ],
)
def test_what_a_candidate_may_cost(policy: GatePolicy, costs: Costs, message: str) -> None:
    found = failures(judge({}, policy, costs, required=False))
    assert (message in found) if message else found == ""


def test_scores_of_calibration_match_what_they_are_by_hand() -> None:
    probabilities = np.array([[0.9, 0.1], [0.4, 0.6]])
    rows = brier_rows(probabilities, np.array([0, 0]))
    np.testing.assert_allclose(rows, [0.02, 0.72])
    np.testing.assert_allclose(brier_rows(probabilities[:1], np.array([-1])), [0.82 + 1])
    sure = expected_calibration_error(np.full(100, 0.7), np.arange(100) < 70)
    np.testing.assert_allclose(sure, 0.0, atol=1e-12)
    both = expected_calibration_error(np.full(9, 0.7), np.arange(9) < 9)
    np.testing.assert_allclose(both, 0.3)


def test_rows_are_grouped_by_label_by_value_and_between_edges() -> None:
    data = Dataset.of({"kind": [1.0, 2, 2], "age": [10, 20, 35]}, np.array([0, 1, 1]))
    names = ["kind", "age"]
    assert list(group_names(GroupRule("label"), data, names)) == ["0", "1", "1"]  # type: ignore[arg-type]
    assert list(group_names(GroupRule("kind"), data, names)) == ["1", "2", "2"]  # type: ignore[arg-type]
    edged = group_names(GroupRule("age", (18, 30)), data, names)
    assert list(edged) == ["..18", "18..30", "30.."]  # type: ignore[arg-type]
    declared = (GroupColumn("age", edges=(25.0,)), GroupColumn("kind", values=("2",)))
    for by, expected in (("age", ["..25", "..25", "25.."]), ("kind", ["other", "2", "2"])):
        found = group_names(GroupRule(by), data, names, declared)
        assert list(found) == expected  # type: ignore[arg-type]
    assert group_names(GroupRule("nobody"), data, names) is None


# --- with real releases ------------------------------------------------------


def rows(seed: int, n: int = 400) -> tuple[np.ndarray, np.ndarray]:
    X = np.random.default_rng(seed).normal(size=(n, 3)).astype(np.float32)
    return X, (X[:, 0] + X[:, 1] > 0).astype(np.int64)


Lines = Callable[..., Release]


@pytest.fixture
def line(inner: Hub, tmp_path: Path) -> Lines:
    """Publish and promote a good 1.0 with a holdout; give a candidate."""

    def make(first: Any, second: Any, y: np.ndarray, gate: str) -> Release:
        X, _ = rows(1)
        inner.registry.publish(
            convert(first, X, y, name="demo", out=tmp_path / "1.0"), actor="test"
        )
        inner.plans.promote("demo", "1.0", actor="test", reason="first")
        labels = y if y.ndim == 1 else sets_of(y)
        inner.datasets.add("demo", "holdout", Dataset.of(X, labels), actor="test")
        inner.registry.set_policy("demo", f"gate: {gate}\n", "test")
        return convert(second, X, y, name="demo", version="2.0", out=tmp_path / "2.0")

    return make


def by_name(checks: list[Check]) -> dict[str, Check]:
    return {check.check: check for check in checks}


def test_a_release_is_held_to_what_serves_with_groups_calibration_and_latency(
    inner: Hub, line: Lines
) -> None:
    X, y = rows(1)
    good = LogisticRegression().fit(X, y)
    blind = LogisticRegression().fit(X[:, [0, 2, 1]], y)
    gate = (
        "{groups: [{by: label}, {by: f2, edges: [0]}], max_calibration_rise: 0.0, max_slowdown: 9}"
    )
    candidate = line(good, blind, y, gate)
    fresh = Dataset.of(*rows(2))
    checks = by_name(inner.runs.offline_gate.check("demo", candidate, fresh))
    assert not checks["fresh"].ok
    assert not checks["forgetting"].ok
    assert not checks["calibration forgetting"].ok
    assert {"group fresh label=0", "group forgetting label=1"} <= set(checks)
    assert checks["latency"].candidate is not None
    with pytest.raises(GateRefused, match="forgetting: "):
        inner.registry.publish(candidate, actor="me")
    inner.registry.publish(candidate, actor="me", override="a test")
    assert inner.registry.version("demo", "2.0").override == "a test"


def sets_of(y: np.ndarray) -> list[str]:
    return [LabelSet.of(np.flatnonzero(row)) for row in y]


def test_models_of_several_labels_are_held_to_rows_whose_labels_are_all_right(
    inner: Hub, line: Lines
) -> None:
    X, _ = rows(1)
    y = (X[:, :2] > 0).astype(np.int64)
    good = MultiOutputClassifier(LogisticRegression()).fit(X, y)
    blind = MultiOutputClassifier(LogisticRegression()).fit(X[:, [0, 2, 1]], y)
    candidate = line(good, blind, y, "{groups: [{by: label}], max_forgetting: 0.02}")
    check = by_name(inner.runs.offline_gate.check("demo", candidate, None))["forgetting"]
    assert (check.verdict, check.ok, check.rows) == ("worse", False, 400)
    right = [float((each.predict(X) == y).all(axis=1).mean()) for each in (good, blind)]
    data = {"h": Dataset.of(X, sets_of(y))}
    done = evaluate(candidate, inner.registry.release("demo", "1.0"), data, None)
    losses = [1 - side.loss.mean() for side in done.answers["h"]]
    assert losses == pytest.approx(right[::-1])


LABELS_REFUSED = {
    "a label that the model has not": ("holdout", "0 + 7", "row 0 has '7'"),
    "one number a row": ("holdout", 3, "row 0 has '3'"),
    "rows to train on": ("train", "0 + 1", "does not train on them"),
}


@pytest.mark.parametrize("case", LABELS_REFUSED)
def test_is_refused_as_labels_of_a_multilabel_model(case: str, inner: Hub, line: Lines) -> None:
    name, label, reason = LABELS_REFUSED[case]
    X, _ = rows(1)
    y = (X[:, :2] > 0).astype(np.int64)
    model = MultiOutputClassifier(LogisticRegression()).fit(X, y)
    line(model, model, y, "{}")
    with pytest.raises(Invalid, match=reason):
        inner.datasets.add("demo", name, Dataset.of(X, [label] * len(X)), actor="test")


def test_models_that_answer_with_a_value_are_held_to_their_errors(inner: Hub, line: Lines) -> None:
    X, _ = rows(1)
    y = (X[:, 0] + 2 * X[:, 1]).astype(np.float64)
    good = LinearRegression().fit(X, y + np.random.default_rng(0).normal(0, 0.1, len(y)))
    candidate = line(good, LinearRegression().fit(X[:, [1, 0, 2]], y), y, "{max_forgetting: 0.1}")
    checks = by_name(inner.runs.offline_gate.check("demo", candidate, None))
    assert not checks["forgetting"].ok
    assert checks["forgetting"].note == "surely loses more than 0.1"


def test_without_any_rows_a_run_is_refused_and_a_person_is_not(
    serving: Hub, tmp_path: Path
) -> None:
    candidate = serving.registry.release("demo", "1.0")
    checks = serving.runs.offline_gate.check("demo", candidate, None)
    assert failures(checks).startswith("evidence: nothing to compare on")
    assert serving.runs.offline_gate("demo", candidate) == []


def test_each_use_of_a_holdout_is_counted_and_another_holdout_is_new(
    inner: Hub, line: Lines
) -> None:
    X, y = rows(1)
    good = LogisticRegression().fit(X, y)
    candidate = line(good, good, y, "{max_forgetting: 0.05}")
    gate = inner.runs.offline_gate
    for use in (1, 2, 3):
        (check,) = gate.check("demo", candidate, None)
        assert (check.use, check.ok) == (use, True)
    wear = gate.holdout_wear("demo")
    assert wear is not None
    assert (wear.uses, wear.rows, wear.alpha) == (3, 400, 0.05)
    assert wear.left == pytest.approx(0.05 / 4)
    assert wear.needed is not None
    inner.datasets.add("demo", "holdout", Dataset.of(*rows(7)), actor="test")
    fresh = gate.holdout_wear("demo")
    assert fresh is not None
    assert (fresh.uses, fresh.level) == (0, 0.025)


def test_fresh_rows_wear_only_by_uses_since_the_oldest_of_them(inner: Hub, line: Lines) -> None:
    X, y = rows(1)
    good = LogisticRegression().fit(X, y)
    candidate = line(good, good, y, "{max_fresh_drop: 0.05}")
    fresh, gate = Dataset.of(*rows(2)), inner.runs.offline_gate
    before = time.time()
    uses = [gate.check("demo", candidate, fresh, since=before)[0].use for _ in range(2)]
    later = gate.check("demo", candidate, fresh, since=time.time())[0].use
    assert (uses, later) == ([1, 2], 1)
