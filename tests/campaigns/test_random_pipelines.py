"""A few random pipelines convert and answer as they did; the same seed draws the same pipeline."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from tests.campaigns.random_pipelines.__main__ import failed
from tests.campaigns.random_pipelines.models import TASKS, draw_model
from tests.campaigns.random_pipelines.trial import Result, _difference, draw_case, trial


def test_a_seed_draws_one_pipeline():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        first, second = draw_case(5), draw_case(5)
    assert first.name == second.name
    np.testing.assert_array_equal(first.target, second.target)


@pytest.mark.parametrize("seed", range(12))
def test_a_random_pipeline_is_right_or_refused(seed):
    assert trial(seed).verdict in ("in parity", "refused")


def test_an_answer_that_is_off_is_found():
    expected = {"value": np.arange(9.0)}
    assert not _difference({"value": np.arange(9.0) + 1e-4}, expected)
    assert "1 of 9" in _difference({"value": np.arange(9.0) + 0.1 * (np.arange(9) == 4)}, expected)


@pytest.mark.parametrize(
    ("verdicts", "bad"),
    [
        (["in parity"] * 88 + ["refused"] * 12, False),
        (["in parity"] * 87 + ["refused"] * 13, True),
        (["in parity"] * 99 + ["silently different"], True),
        (["in parity"] * 99 + ["foreign exception"], True),
    ],
)
def test_the_goals_of_the_campaign(verdicts, bad):
    assert failed([Result(i, "m", verdict) for i, verdict in enumerate(verdicts)]) is bad


@pytest.mark.parametrize("task", sorted(set(TASKS)))
def test_every_model_that_can_be_drawn_can_be_made(task):
    for seed in range(100):
        draw_model(np.random.default_rng(seed), task)
