"""Aggregates are distributed as the sums of single requests, device by device."""

from __future__ import annotations

import numpy as np
from scipy.stats import ks_2samp

from cloud_hub.simulate.drawing import (
    MOST_CHANCE,
    NOISE,
    draw_latency,
    draw_requests,
    draw_window,
    true_rates,
)
from cloud_hub.simulate.population import draw_population
from cloud_hub.statistics.clustered import compare_totals
from cloud_hub.statistics.samples import Floats, Sample
from tests.hub.simulate.scenarios import fleet

DEVICES, FLEETS, HOURS = 12, 400, 3.0
SCENARIO = fleet(
    devices=str(DEVICES), labels="{coverage: 0.4}", spread="{requests: 1, wrong: 0.8, errors: 1}",
    requests="8", versions="""
- {version: '1.0', accuracy: 0.8, error_rate: 0.1}""",
)  # fmt: skip
RATES = true_rates(SCENARIO, SCENARIO.versions[0], 0.0)
"""Of one version in two cohorts."""


def as_aggregates(rng: np.random.Generator) -> Floats:
    """Requests, errors, labels and wrong ones of each device of a new fleet, [4, devices]."""
    people = draw_population(SCENARIO, rng)
    index = np.arange(DEVICES)
    asked = draw_requests(people, index, HOURS, rng)
    drawn = draw_window(SCENARIO, people, index, asked, RATES, rng, candidate=False)
    return np.array([drawn.requests, drawn.errors, drawn.labelled, drawn.wrong], dtype=np.float64)


def one_by_one(rng: np.random.Generator) -> Floats:
    """The same, one request after the other."""
    people = draw_population(SCENARIO, rng)
    sums = np.zeros((4, DEVICES))
    for i in range(DEVICES):
        failing = min(0.1 * float(people.errors[i]), MOST_CHANCE)
        wrong = min(0.2 * float(people.wrong[i]), MOST_CHANCE)
        left = HOURS
        while (left := left - rng.exponential(1 / float(people.requests[i]))) > 0:
            failed = rng.random() < failing
            labelled = not failed and rng.random() < 0.4
            sums[:, i] += (1, failed, labelled, labelled and rng.random() < wrong)
    return sums


def evidence(sums: Floats) -> list[float]:
    """What gates read of a fleet: totals, and the contrast of its halves with its variance."""
    half = DEVICES // 2
    n, right = sums[2], sums[2] - sums[3]
    arms = [np.where(np.arange(DEVICES) < half, x, 0.0) for x in (n, right)]
    others = [np.where(np.arange(DEVICES) < half, 0.0, x) for x in (n, right)]
    contrast = compare_totals(
        Sample.of_successes(arms[1], arms[0]), Sample.of_successes(others[1], others[0])
    )
    spread = [float(np.var(row)) for row in sums]
    return [*sums.sum(axis=1).tolist(), *spread, float(contrast.estimate), float(contrast.variance)]


def test_evidence_of_aggregates_is_distributed_as_that_of_single_requests() -> None:
    rng = np.random.default_rng(18)
    drawn = np.array([evidence(as_aggregates(rng)) for _ in range(FLEETS)])
    single = np.array([evidence(one_by_one(rng)) for _ in range(FLEETS)])
    p = [ks_2samp(a, b).pvalue for a, b in zip(drawn.T, single.T, strict=True)]
    assert min(p) > 1e-3, p


def test_that_test_would_notice_devices_that_are_all_alike() -> None:
    rng = np.random.default_rng(18)
    drawn = np.array([evidence(as_aggregates(rng)) for _ in range(FLEETS)])
    shuffled = []
    for _ in range(FLEETS):
        whole = as_aggregates(rng)[:, None].sum(axis=2)[:, 0]
        shuffled.append(evidence(np.array([rng.multinomial(n, np.ones(12) / 12) for n in whole])))
    assert ks_2samp(drawn[:, 4], np.array(shuffled)[:, 4]).pvalue < 1e-9


def test_times_have_the_moments_of_single_answers() -> None:
    rng = np.random.default_rng(3)
    people = draw_population(SCENARIO, rng)
    index = np.arange(DEVICES)
    answers = np.full(DEVICES, 50)
    total, squares = np.mean(
        [draw_latency(people, index, answers, RATES, rng) for _ in range(4_000)], axis=0
    )
    mean = RATES.latency[people.cohort] + people.latency
    np.testing.assert_allclose(total, 50 * mean, rtol=1e-2)
    np.testing.assert_allclose(squares, 50 * (mean**2 + NOISE**2), rtol=1e-2)
