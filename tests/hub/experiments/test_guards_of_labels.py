"""Guardrails on how far off numbers are, and on declared groups of rows: pure, by device."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from cloud_hub.errors import Invalid
from cloud_hub.experiments.documents import read_figures, seen_document
from cloud_hub.experiments.evidence_rows import by_group, failures_by_kind
from cloud_hub.experiments.exposure_rows import PeriodGroups, PeriodSums
from cloud_hub.experiments.report_text import guard as sentence
from cloud_hub.experiments.verdict.decision import GateDecision
from cloud_hub.experiments.verdict.evidence import OFF, ArmEvidence, Evidence
from cloud_hub.experiments.verdict.figures import ErrorExcess, GroupExcess
from cloud_hub.experiments.verdict.judge import judge
from cloud_hub.experiments.verdict.measures import ExposureSums, outcomes_of
from cloud_hub.experiments.verdict.spec import ExperimentSpec, parse_experiment
from edge_sdk.contract.groups import GroupColumn
from edge_sdk.contract.plan import Outcome

LARGEST = 10.0
SEX = (GroupColumn("sex", ("f", "m")),)
MAE = Outcome("error", "mae", minimum_effect=0.05)


def numbers_arm(name: str, errors: np.ndarray, largest: float | None = LARGEST) -> ArmEvidence:
    """An arm of a regressor, whose devices were off by ``errors`` [devices, labels]."""
    cut = np.abs(errors) if largest is None else np.minimum(np.abs(errors), largest)
    sums = {
        f"{name}-{i}": ExposureSums(
            predictions=len(row), measured=len(row), error_sum=float(row.sum()),
            error_squares=float((row**2).sum()), error_fourths=float((row**4).sum()),
        )
        for i, row in enumerate(cut)
    }  # fmt: skip
    rows = [PeriodSums(device, name, 0, each) for device, each in sums.items()]
    return ArmEvidence(
        outcomes_of(sums), failures_by_kind(rows, largest), exposed=frozenset(sums),
        predictions=errors.size, largest_error=largest,
    )  # fmt: skip


def canary(*outcomes: Outcome, **more: object) -> ExperimentSpec:
    return ExperimentSpec(
        "m", "canary", candidate="1.1", outcomes=outcomes, soak_seconds=0.0, minimum_outcomes=1,
        **more,  # type: ignore[arg-type]
    )  # fmt: skip


def errors_of(scale: float, seed: int, devices: int = 20, labels: int = 200) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.0, scale, (devices, labels))


def decided(
    candidate: np.ndarray, spec: ExperimentSpec, largest: float | None = LARGEST
) -> GateDecision:
    control = numbers_arm("control", errors_of(1.0, 1), largest)
    arms = {"control": control, "candidate": numbers_arm("candidate", candidate, largest)}
    return judge(spec, Evidence(arms), {})


@pytest.mark.parametrize("metric", ["mae", "rmse"])
def test_numbers_are_judged_by_how_far_off_they_are(metric: str) -> None:
    outcome = Outcome("error", metric, minimum_effect=0.1)  # type: ignore[arg-type]
    assert decided(errors_of(1.0, 2), canary(outcome)).action == "pass"
    worse = decided(errors_of(1.5, 3), canary(outcome))
    assert worse.action == "abort"
    (row,) = worse.figures.outcomes
    expected = {"mae": 1.5 * np.sqrt(2 / np.pi), "rmse": 1.5}[metric]
    assert row.candidate == pytest.approx(expected, rel=0.05)
    assert row.gain < 0  # smaller is better, whoever declares no direction


@pytest.mark.parametrize("metric", ["mae", "rmse"])
def test_buckets_of_keys_have_no_errors_of_numbers(metric: str) -> None:
    text = f"""
model: demo
strategy: ab
unit: key
arms: [{{name: new, version: '1.1', weight: 0.5}}]
outcomes: [{{name: error, metric: {metric}}}]
"""
    with pytest.raises(Invalid, match=r"try \['error'\] by device"):
        parse_experiment(text, "experiment.yaml")


def test_a_candidate_that_is_much_farther_off_trips_the_guardrail() -> None:
    decision = decided(errors_of(3.0, 4), canary())
    (guard,) = [g for g in decision.figures.guardrails if g.name == OFF]
    assert guard.trips
    assert isinstance(guard.figures, ErrorExcess)
    assert guard.figures.candidate_error == pytest.approx(3 * np.sqrt(2 / np.pi), rel=0.1)
    assert guard.figures.control_error == pytest.approx(np.sqrt(2 / np.pi), rel=0.1)
    assert "farther off" in guard.reason


def test_without_a_largest_error_there_is_no_guardrail_on_errors() -> None:
    decision = decided(errors_of(3.0, 4), canary(), None)
    assert OFF not in [g.name for g in decision.figures.guardrails]


@pytest.mark.parametrize("largest", [LARGEST, None])
@pytest.mark.parametrize("arm", ["control", "candidate"])
def test_one_error_of_a_billion_decides_nothing(arm: str, largest: float | None) -> None:
    errors = {"control": errors_of(1.0, 5), "candidate": errors_of(1.0, 6)}
    errors[arm][0, 0] = 1e9
    arms = {name: numbers_arm(name, rows, largest) for name, rows in errors.items()}
    for spec in (canary(MAE), canary(replace(MAE, metric="rmse"))):
        decision = judge(spec, Evidence(arms), {})
        # Cut, it is one of 4,000; whole, nothing can be told, and nothing is.
        assert decision.action in ({"wait", "pass"} if largest else {"wait"}), decision.reason


def test_a_device_whose_numbers_are_all_far_off_decides_nothing_alone() -> None:
    errors = errors_of(1.0, 7)
    errors[0] = 1e9
    assert decided(errors, canary(MAE)).action == "wait"


def test_nothing_is_off_on_either_arm() -> None:
    arms = {name: numbers_arm(name, np.zeros((5, 50))) for name in ("control", "candidate")}
    for metric in ("mae", "rmse"):
        decision = judge(canary(replace(MAE, metric=metric)), Evidence(arms), {})
        assert decision.action in ("wait", "pass")
        assert decision.figures.outcomes[0].gain == 0


def test_labels_that_say_only_right_or_wrong_are_no_errors_of_numbers() -> None:
    rows = outcomes_of({"a": ExposureSums(labelled=10, correct=9)})
    assert rows["mae"] == rows["rmse"] == {}


def grouped(
    name: str, rates: dict[str, float], seed: int, devices: int = 40, labels: int = 40
) -> ArmEvidence:
    random = np.random.default_rng(seed)
    rows = []
    for i in range(devices):
        right = {g: labels - int(random.binomial(labels, rate)) for g, rate in rates.items()}
        by_sex = {group: (labels, n) for group, n in right.items()}
        rows.append(PeriodGroups(f"{name}-{i}", name, 0, {"sex": by_sex}))
    exposed = frozenset(row.device for row in rows)
    return ArmEvidence(groups=by_group(rows, SEX), exposed=exposed, predictions=1_000)


def test_a_group_that_gets_worse_on_the_candidate_alone_takes_it_back() -> None:
    control = grouped("control", {"f": 0.1, "m": 0.1}, 1)
    healthy = grouped("candidate", {"f": 0.1, "m": 0.1}, 2)
    worse = grouped("candidate", {"f": 0.25, "m": 0.1}, 3)
    quiet = judge(canary(), Evidence({"control": control, "candidate": healthy}), {})
    assert quiet.action != "abort"
    trips = judge(canary(), Evidence({"control": control, "candidate": worse}), {})
    assert trips.action == "abort"
    assert "wrong more often on sex=f" in trips.reason
    (guard,) = [g for g in trips.figures.guardrails if g.name == "groups"]
    assert isinstance(guard.figures, GroupExcess)
    assert (guard.figures.group, guard.figures.groups) == ("sex=f", 2)


def test_where_no_group_is_declared_there_is_no_guardrail_on_groups() -> None:
    decision = judge(canary(), Evidence({"control": ArmEvidence(), "candidate": ArmEvidence()}), {})
    assert "groups" not in [g.name for g in decision.figures.guardrails]


def test_a_group_with_labels_on_one_arm_only_compares_nothing() -> None:
    control, candidate = grouped("control", {"f": 0.1}, 1), grouped("candidate", {"m": 0.9}, 2)
    decision = judge(canary(), Evidence({"control": control, "candidate": candidate}), {})
    (guard,) = [g for g in decision.figures.guardrails if g.name == "groups"]
    assert not guard.trips
    assert guard.reason == "quiet: no labels of a declared group on both arms yet"


def test_one_device_does_not_speak_for_its_group() -> None:
    control = grouped("control", {"f": 0.1}, 1)
    healthy = grouped("candidate", {"f": 0.1}, 2)
    bad = {("candidate-0", 0): (3_900, 4_000)}
    candidate = replace(
        healthy, groups={**healthy.groups, "sex=f": {**healthy.groups["sex=f"], **bad}}
    )
    decision = judge(canary(), Evidence({"control": control, "candidate": candidate}), {})
    assert decision.action != "abort"


def test_rows_that_no_group_can_claim_are_left_out() -> None:
    labels = {"sex": {"f": (5, 4), "other": (9, 0), "missing": (3, 0)}, "age": {"..30": (5, 5)}}
    made = by_group([PeriodGroups("d", "control", 60, labels)], SEX)  # type: ignore[arg-type]
    assert made == {"sex=f": {("d", 60): (1, 5)}, "sex=m": {}}


def test_figures_of_both_guards_come_back_as_they_were_and_read_as_sentences() -> None:
    arms = {name: numbers_arm(name, errors_of(1.0, i)) for i, name in enumerate(("control", "b"))}
    arms = {"control": arms["control"], "candidate": arms["b"]}
    arms = {
        name: replace(arm, groups=grouped(name, {"f": 0.1, "m": 0.2}, 3).groups)
        for name, arm in arms.items()
    }
    figures = judge(canary(), Evidence(arms), {}).figures
    assert read_figures(json.loads(json.dumps(seen_document(figures), allow_nan=False))) == figures
    texts = {row.name: sentence(row) for row in figures.guardrails or ()}
    assert texts[OFF].startswith("off by 0.7981, the control by 0.8024; evidence")
    assert "evidence that any of 2 groups got worse" in texts["groups"]
