"""Late labels of regressors: how far off, and right or wrong within what the policy says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

from converters import convert
from edge_sdk.contract.errors import ContractError
from edge_sdk.contract.messages import FeedbackReport, WindowReport
from edge_sdk.contract.serving_terms import Reporting
from edge_sdk.experiments.shadow import Shadow
from edge_sdk.model.release import Release
from edge_sdk.serving.predictor import Predictor
from edge_sdk.serving.terms import ServingTerms
from edge_sdk.telemetry.histogram_codec import decode_histograms
from edge_sdk.telemetry.label_join import ErrorRules, LabelOutcomes, error_size, is_right, join
from tests.clock import Clock
from tests.waiting import wait_for

X = np.random.default_rng(0).normal(size=(200, 3)).astype(np.float32)
Y = X @ [1.0, -2.0, 0.5]


def released(folder: Path, version: str = "1.0", shift: float = 0.0) -> Release:
    model = LinearRegression().fit(X, Y + shift)
    return convert(
        model, X, Y, name="numbers", version=version, out=folder / version,
        variants=("float32",), groups=["x0:0"],
    )  # fmt: skip


def terms(within: float | None) -> ServingTerms:
    return ServingTerms(reporting=Reporting(60, minimum_observations=1, right_within=within))


def report(serving: Predictor) -> FeedbackReport:
    told = serving.monitor.collect(0.0, final=True)
    (found,) = [body for body in told if isinstance(body, FeedbackReport)]
    return found


def number(name: str) -> str:
    return name.rpartition("-")[2]


@pytest.mark.parametrize("batch", [False, True])
def test_a_number_is_right_if_it_is_off_by_no_more_than_declared(
    tmp_path: Path, batch: bool
) -> None:
    serving = Predictor(released(tmp_path), terms(0.5), tag="t", clock=Clock())
    made: Any = serving.predict_batch(X[:10]) if batch else [serving.predict(x) for x in X[:10]]
    for i, prediction in enumerate(made):
        serving.feedback(number(prediction.id), label=float(Y[i] + (0.4 if i < 7 else 0.6)))
    found = report(serving)
    assert (found.labelled, found.correct, found.rewards) == (10, 7, 0)
    assert (found.own_labelled, found.own_correct, found.measured) == (10, 7, 10)
    assert found.error_sum == pytest.approx(7 * 0.4 + 3 * 0.6, abs=1e-3)
    assert found.error_squares == pytest.approx(7 * 0.16 + 3 * 0.36, abs=1e-3)
    assert found.error_fourths == pytest.approx(7 * 0.16**2 + 3 * 0.36**2, abs=1e-3)
    assert sum(labelled for labelled, _ in found.groups["x0"].values()) == 10


@pytest.mark.parametrize("targets", [1, 2])
def test_a_batch_of_numbers_is_monitored(tmp_path: Path, targets: int) -> None:
    truth = Y if targets == 1 else np.stack([Y, -Y], axis=1)
    model = LinearRegression().fit(X, truth)
    release = convert(model, X, truth, name="numbers", out=tmp_path / "r", variants=("float32",))
    serving = Predictor(release, terms(None), tag="t", clock=Clock())
    batch = serving.predict_batch(X)
    assert batch.values is not None
    assert batch.values.shape == truth.shape
    for row in X[:5]:
        serving.predict(row)
    told = serving.monitor.collect(0.0, final=True)
    (found,) = [body for body in told if isinstance(body, WindowReport)]
    assert found.predictions == {"model": 205}
    assert found.observations == 205
    assert len(decode_histograms(found.outputs).sizes) == len(release.profile().outputs)


def test_without_a_declared_bound_only_the_error_is_summed(tmp_path: Path) -> None:
    serving = Predictor(released(tmp_path), terms(None), tag="t", clock=Clock())
    serving.feedback(number(serving.predict(X[0]).id), label=float(Y[0]))
    found = report(serving)
    assert (found.labelled, found.rewards, found.measured) == (0, 0, 1)


def test_no_error_counts_more_than_the_largest(tmp_path: Path) -> None:
    bounded = ServingTerms(reporting=Reporting(60, minimum_observations=1, largest_error=2.0))
    serving = Predictor(released(tmp_path), bounded, tag="t", clock=Clock())
    for label in (1e9, -1e35, float(Y[2])):
        serving.feedback(number(serving.predict(X[2]).id), label=label)
    found = report(serving)
    assert found.measured == 3
    assert found.error_sum == pytest.approx(4.0, abs=1e-3)
    assert found.error_fourths == pytest.approx(32.0, abs=1e-3)


SIZES: list[tuple[float, float | None, float | None]] = [
    (3.5, None, 2.5),
    (3.5, 2.0, 2.0),
    (-1e9, 2.0, 2.0),
    (float("nan"), 2.0, 2.0),  # answering nothing must not be better than answering badly
    (float("inf"), 2.0, 2.0),
    (float("nan"), None, None),
    (float("inf"), None, None),
]


@pytest.mark.parametrize(("answer", "largest", "expected"), SIZES)
def test_how_far_off(answer: float, largest: float | None, expected: float | None) -> None:
    assert error_size(answer, 1.0, largest) == expected


RIGHT: list[tuple[Any, Any, float | None, bool | None]] = [
    (1.0, 1.5, 0.5, True),
    (1.0, 1.6, 0.5, False),
    (1.0, 1.0, None, None),
    (float("nan"), 1.0, 0.5, False),
    (float("inf"), 1.0, 0.5, False),
    (None, 1.0, 0.5, None),
    (1, 1, None, True),
    ("a", "b", 0.5, False),
]


@pytest.mark.parametrize(("answer", "label", "within", "expected"), RIGHT)
def test_what_is_right(
    answer: Any, label: Any, within: float | None, expected: bool | None
) -> None:
    assert is_right(answer, label, within) is expected


def test_a_number_of_the_cloud_is_not_the_models_own() -> None:
    outcomes = LabelOutcomes()
    join(outcomes, "cloud", 1.0, None, 1.0, rules=ErrorRules(0.5))
    join(outcomes, "model", 1.0, None, 1.0, rules=ErrorRules(0.5))
    assert (outcomes.labelled, outcomes.own_labelled, outcomes.own_correct) == (2, 1, 1)
    assert outcomes.measured == 1


@pytest.mark.parametrize("within", [0.0, -1.0])
def test_a_bound_that_nothing_is_within_is_refused(within: float) -> None:
    with pytest.raises(ContractError, match="right_within: expected above 0"):
        Reporting(right_within=within)


@pytest.mark.parametrize("largest", [0.0, -1.0, 1e36, float("inf"), float("nan")])
def test_a_largest_error_that_is_none_is_refused(largest: float) -> None:
    with pytest.raises(ContractError, match="largest_error: expected above 0"):
        Reporting(largest_error=largest)


def test_a_shadow_of_numbers_is_told_right_from_wrong_by_late_labels(tmp_path: Path) -> None:
    good, bad = released(tmp_path), released(tmp_path, "1.1", shift=3.0)
    incumbent = Predictor(good, terms(0.5), tag="t", clock=Clock())
    twin, candidate = (
        Predictor(release, terms(0.5), tag=tag, monitoring=False, clock=Clock())
        for release, tag in ((good, "twin"), (bad, "candidate"))
    )
    shadow = Shadow("candidate", incumbent, twin, candidate, budget=1.0, limit=60.0, clock=Clock())
    try:
        for x, y in zip(X[:20], Y[:20], strict=True):
            shadow.labelled("t", number(incumbent.predict(x).id), float(y))
        incumbent.monitor.fold()
        wait_for(lambda: shadow._counts.compared == 20, "the comparison")
    finally:
        shadow.close()
    assert shadow._counts.labelled == {"incumbent_only": 20}
    off = shadow._counts.off
    assert (off.count, off.total, off.squares) == (
        20,
        pytest.approx(60, abs=0.01),
        pytest.approx(180, abs=0.1),
    )
