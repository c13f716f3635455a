"""The range of a sample is narrower than that of what it was drawn from."""

from __future__ import annotations

import numpy as np

from cloud_hub.monitoring.findings import FleetWindow, References, evaluate, known_range
from converters.certification.profile import quantiles
from edge_sdk.contract.profile import FeatureProfile, ReferenceProfile
from edge_sdk.telemetry.histograms import histogram

FEATURES, SAMPLES, ROWS, RUNS = 20, 100, 500, 60


def alarms(seed: int, shift: float = 0.0) -> bool:
    """Whether a window of standard normal rows alarms for values outside of the range."""
    random = np.random.default_rng(seed)
    names = [f"x{i}" for i in range(FEATURES)]
    features = tuple(quantiles(name, random.standard_normal(SAMPLES)) for name in names)
    rows = random.standard_normal((FEATURES, ROWS)) + shift
    counts = {f.name: histogram(f, x)[None] for f, x in zip(features, rows, strict=True)}
    references = References(ReferenceProfile(SAMPLES, features))
    found = evaluate(FleetWindow(seed, seed + 1, ("d",), counts), references, outputs=False)
    return any(each.alarming and "outside" in each.signal for each in found)


def test_a_profile_of_few_samples_does_not_alarm_for_what_is_usually_outside_of_it() -> None:
    # 5% false discoveries: of 60 windows more than 9 alarm with a chance below 1 in 1,000.
    assert sum(alarms(seed) for seed in range(RUNS)) <= 9


def test_what_left_the_range_is_found() -> None:
    assert all(alarms(seed, shift=2.0) for seed in range(10))


def test_categories_and_constants_have_no_gaps_beyond_their_ends() -> None:
    assert known_range(FeatureProfile("x", (5, 0, 0), (1.0,))) == (5, 0, 0)
    assert known_range(FeatureProfile("x", (5, 0, 0), None, ("a",))) == (5, 0, 0)
    assert known_range(FeatureProfile("x", (5, 1, 2), (1.0, 2.0))) == (5, 1, 3)
