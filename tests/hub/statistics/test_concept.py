"""Concept drift on late labels, and accuracy without labels."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest

from cloud_hub.monitoring.labels import score
from cloud_hub.monitoring.store import Concept
from cloud_hub.policy.schema.monitoring import MonitoringPolicy
from cloud_hub.statistics.detectors.concept import (
    MEAN_RUN,
    Coverage,
    ErrorDetector,
    Labelled,
    base_rate,
    device_bases,
    first_alarm,
    settled,
)
from cloud_hub.statistics.detectors.label_free import estimated_accuracy

RANDOM = np.random.default_rng
BASE = 0.1


def windows(rates: list[float], *, labels: int = 50, seed: int = 0) -> list[Labelled]:
    errors = RANDOM(seed).binomial(labels, rates)
    return [Labelled("d", 60 * i, labels, int(e)) for i, e in enumerate(errors)]


def test_a_rise_of_the_error_rate_is_found_within_a_few_hundred_labels_and_dated() -> None:
    delays, dated = [], []
    for seed in range(60):
        detector = ErrorDetector()
        rows = windows([0.1] * 40 + [0.2] * 60, labels=20, seed=seed)
        alarmed = first_alarm(detector, rows, BASE)
        assert alarmed is not None
        delays.append((alarmed // 60 - 39) * 20)
        dated.append(detector.since // 60)
    assert np.median(delays) <= 260
    assert np.median(np.abs(np.array(dated) - 40)) <= 4


def test_false_alarms_within_twenty_thousand_labels_are_rare() -> None:
    runs = (windows([0.1] * 400, seed=seed) for seed in range(150))
    alarms = sum(first_alarm(ErrorDetector(), rows, BASE) is not None for rows in runs)
    assert alarms <= 4


@pytest.mark.parametrize("size", [1, 7, 2_000])
def test_batches_of_any_size_reach_about_the_same_evidence(size: int) -> None:
    errors = RANDOM(1).random(2_000) < 0.2
    detector = ErrorDetector()
    for start in range(0, 2_000, size):
        part = errors[start : start + size]
        detector.add(start, [(len(part), int(part.sum()), BASE)])
    assert detector.evidence > MEAN_RUN


def test_fewer_errors_than_promised_are_no_alarm_and_hide_no_later_rise() -> None:
    alarmed = first_alarm(ErrorDetector(), windows([0.0] * 200 + [0.3] * 20), BASE)
    assert alarmed is not None
    assert 200 <= alarmed // 60 <= 205


def test_an_alarm_in_the_middle_of_what_is_scored_at_once_is_not_lost() -> None:
    rows = windows([0.1] * 5 + [0.9] * 3 + [0.0] * 300)
    coverage = [Coverage(row.start, row.start + 60, row.labelled, row.labelled) for row in rows]
    concept = Concept(base=BASE)
    result = score(concept, coverage, rows, MonitoringPolicy())
    assert concept.detector.evidence < MEAN_RUN
    assert result.alarming
    assert 300 <= result.figures.alarmed_at <= 420


def test_a_detector_that_was_kept_goes_on_where_it_was() -> None:
    rows = windows([0.1] * 50 + [0.2] * 50)
    whole, restored = ErrorDetector(), ErrorDetector()
    first_alarm(whole, rows, BASE)
    first_alarm(restored, rows[:70], BASE)
    restored = ErrorDetector(**json.loads(json.dumps(asdict(restored))))
    first_alarm(restored, rows[70:], BASE)
    assert restored == whole


def test_devices_that_were_worse_from_the_beginning_are_no_drift() -> None:
    random = RANDOM(2)
    rates = {f"d{i}": rate for i, rate in enumerate([0.02] * 10 + [0.3] * 10)}
    first = {d: (int(random.binomial(200, r)), 200) for d, r in rates.items()}
    bases = device_bases(first, BASE)
    assert min(bases.values()) == BASE
    assert 0.2 < bases["d15"] < 0.35
    rows = [
        Labelled(d, 60 * t, 20, int(random.binomial(20, r)))
        for t in range(50)
        for d, r in rates.items()
    ]
    assert first_alarm(ErrorDetector(), rows, BASE, own=bases) is None
    assert first_alarm(ErrorDetector(), rows, BASE) is not None


def test_devices_that_do_not_differ_share_one_base() -> None:
    random = RANDOM(3)
    first = {f"d{i}": (int(random.binomial(100, BASE)), 100) for i in range(30)}
    assert max(device_bases(first, BASE).values()) < 0.13


def test_a_base_that_was_estimated_on_few_rows_is_taken_higher() -> None:
    assert base_rate(10, 100) > base_rate(100, 1_000) > base_rate(1_000, 10_000) > 0.1
    assert 0 < base_rate(0, 50) < 0.05


SETTLED = {
    "enough labels": ((100, 60), 0, 1),
    "too few labels, and young": ((100, 10), 0, 0),
    "too few labels, and old": ((100, 10), 10_000, 1),
    "no predictions counted": ((0, 5), 0, 1),
}


@pytest.mark.parametrize("case", SETTLED)
def test_a_window_counts_once_it_is_settled(case: str) -> None:
    (predictions, labelled), later, count = SETTLED[case]
    window = Coverage(0, 60, predictions, labelled)
    assert len(settled([window], coverage=0.5, wait=3_600, now=60 + later)) == count


def test_a_window_that_is_not_settled_holds_back_those_after_it() -> None:
    rows = [Coverage(60 * i, 60 * i + 60, 100, n) for i, n in enumerate([90, 5, 90])]
    assert [w.start for w in settled(rows, coverage=0.5, wait=999, now=200)] == [0]


def confidences(random: np.random.Generator, n: int, sure: float) -> np.ndarray:
    return 0.5 + random.beta(sure, 2, n) / 2


def histogram(values: np.ndarray, edges: np.ndarray) -> list[int]:
    return [*np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0].tolist(), 0, 0]


def test_accuracy_is_estimated_from_confidences_alone_also_where_they_lie() -> None:
    random, errors, inside = RANDOM(4), [], 0
    held = confidences(random, 5_000, 4)
    right = random.random(5_000) < held**2  # overconfident: calibration has to repair that
    edges = np.quantile(held, np.linspace(0, 1, 33))
    correct = histogram(held[right], edges)[:-2]
    for _ in range(200):
        seen = confidences(random, 2_000, 2)
        truth = float(np.mean(random.random(2_000) < seen**2))
        result = estimated_accuracy(histogram(held, edges), correct, histogram(seen, edges))
        assert result is not None
        assert result.dropped
        errors.append(abs(result.accuracy - truth))
        inside += result.low <= truth <= result.high
    assert np.mean(errors) < 0.012
    assert inside >= 170


def test_an_estimate_says_what_it_does_not_see() -> None:
    result = estimated_accuracy([50, 50, 0, 0], [30, 45], [20, 60, 0, 20])
    assert result is not None
    assert result.unknown == pytest.approx(0.2)
    assert "blind to concept drift" in result.note
    assert estimated_accuracy([50, 50, 0, 0], [30, 45], [0, 0, 0, 0]) is None
    assert estimated_accuracy([0, 0, 0, 0], [0, 0], [5, 5, 0, 0]) is None
