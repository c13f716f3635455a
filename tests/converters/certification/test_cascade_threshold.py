"""The cascade threshold: a bound that holds, or no threshold."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from converters import CascadeTarget, ConversionError, convert
from converters.certification.cascade_threshold import calibrate
from converters.certification.exact_bounds import upper_bound
from edge_sdk.serving.cascade import is_confident
from tests.converters import builders

TARGET, ALPHA = CascadeTarget().disagreement, CascadeTarget().alpha


def trial(random, rows, risk):
    """Confidence uniform over [0.5, 1]; ``risk(confidence)`` is how often the cloud disagrees."""
    sure = random.uniform(0.5, 1, rows)
    probabilities = np.column_stack([sure, 1 - sure])
    edge = np.zeros(rows, int)
    return probabilities, edge, (random.random(rows) < risk(sure)).astype(int)


def test_with_a_cloud_that_agrees_nearly_everything_stands():
    cascade = calibrate(*trial(np.random.default_rng(0), 2_000, lambda c: 0 * c))
    assert cascade is not None
    assert cascade.threshold <= 0.5
    assert cascade.coverage == 1.0
    assert cascade.bound == TARGET


def test_disagreement_below_a_confidence_puts_the_threshold_above_it():
    cascade = calibrate(*trial(np.random.default_rng(0), 4_000, lambda c: 0.5 * (c < 0.7)))
    assert cascade is not None
    assert 0.65 <= cascade.threshold <= 0.75


@pytest.mark.parametrize("metric", ["max_probability", "margin", "entropy"])
def test_what_stands_by_any_metric_disagrees_no_more_than_certified(metric):
    random = np.random.default_rng(0)
    target = CascadeTarget(metric, disagreement=0.05)
    cascade = calibrate(*trial(random, 4_000, lambda c: 0.5 * (c < 0.7)), target)
    assert cascade is not None
    assert cascade.metric == metric
    fresh, edge, cloud = trial(random, 4_000, lambda c: 0.5 * (c < 0.7))
    stands = np.array([is_confident(row, metric, cascade.threshold) for row in fresh])
    assert abs(stands.mean() - cascade.coverage) < 0.05
    assert (edge != cloud)[stands].mean() <= 0.05


@pytest.mark.parametrize(
    "wrong", [{"metric": "loudness"}, {"disagreement": 0.0}, {"disagreement": 2}, {"alpha": 1}]
)
def test_a_target_that_nothing_can_meet_is_refused(wrong):
    with pytest.raises(ConversionError, match=r"metric|disagreement"):
        CascadeTarget(**wrong)


NOTHING = {
    "a cloud that always disagrees": (2_000, lambda c: 1 + 0 * c),
    "a cloud that disagrees where the device is sure": (2_000, lambda c: 1.0 * (c > 0.9)),
    "too few rows": (100, lambda c: 0 * c),
    "one row": (1, lambda c: 0 * c),
}


@pytest.mark.parametrize("case", NOTHING)
def test_nothing_is_certified_with(case):
    rows, risk = NOTHING[case]
    assert calibrate(*trial(np.random.default_rng(0), rows, risk)) is None


def test_a_false_certificate_is_as_rare_as_promised():
    """Every threshold has a true risk just above the target, so each certificate is false."""
    random = np.random.default_rng(0)
    risk = TARGET * 1.02
    false = sum(
        calibrate(*trial(random, 1_000, lambda c: risk + 0 * c)) is not None for _ in range(400)
    )
    assert false / 400 <= ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / 400)


RISKS = {
    "falls with confidence": lambda c: 0.16 * (1 - c),
    "steps": lambda c: 0.001 + 0.2 * (c < 0.7),
    "steps, and is never small": lambda c: 0.012 + 0.1 * (c < 0.6),
}


@pytest.mark.parametrize("case", RISKS)
def test_what_is_printed_as_certified_is_exceeded_as_rarely_as_promised(case):
    """The limit of the chosen threshold was printed once, and exceeded in up to 6% at 5%."""
    random, risk, runs = np.random.default_rng(11), RISKS[case], 120
    confidences = np.linspace(0.5, 1, 5_001)
    exceeded = 0
    for _ in range(runs):
        cascade = calibrate(*trial(random, 700, risk))
        if cascade is not None:
            stands = confidences[confidences >= cascade.threshold]
            exceeded += risk(stands).mean() > cascade.bound
    assert exceeded / runs <= ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / runs)


@given(st.integers(1, 2_000), st.data())
def test_the_bound_is_the_rate_at_which_so_few_errors_would_be_rare(rows, data):
    from scipy.stats import binom

    errors = data.draw(st.integers(0, rows - 1))
    bound = upper_bound(errors, rows, ALPHA)
    assert errors / rows < bound < 1
    assert binom.cdf(errors, rows, bound) == pytest.approx(ALPHA, rel=1e-6)


def test_no_rows_certify_nothing():
    assert upper_bound(0, 0, ALPHA) == 1.0


@pytest.fixture(scope="module")
def cloud(tmp_path_factory):
    X, y = builders.data_of("forest")
    return convert(
        builders.model("forest"), X, y, name="cloud", out=tmp_path_factory.mktemp("c") / "r"
    )


def test_a_release_calibrated_against_itself_asks_for_little(cloud, tmp_path):
    X, y = builders.data_of("forest")
    model = builders.model("forest")
    release = convert(model, X, y, name="m", out=tmp_path / "r", calibrate_against=cloud)
    cascade = release.manifest.cascade
    assert cascade is not None
    assert cascade.coverage is not None
    assert cascade.coverage > 0.9


def test_where_no_threshold_is_certified_the_manifest_says_so(cloud, tmp_path):
    X, y = builders.data_of("logistic regression")
    few = slice(0, 60)
    model = builders.model("logistic regression")
    release = convert(model, X[few], y[few], name="m", out=tmp_path / "r", calibrate_against=cloud)
    assert release.manifest.cascade is None
    assert release.manifest.training["cascade"].startswith("not useful")


def test_a_regressor_has_no_cascade(cloud, tmp_path):
    X, y = builders.data_of("ridge")
    with pytest.raises(ConversionError, match="expected a classifier"):
        convert(
            builders.model("ridge"), X, y, name="m", out=tmp_path / "r", calibrate_against=cloud
        )
    assert not (tmp_path / "r").exists()
