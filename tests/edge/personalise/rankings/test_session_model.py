"""The model of one unit's taste: its posterior is the batch solution, and it is packed and read."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_sdk.contract.errors import ContractError
from edge_sdk.personalise.rankings.session_model import (
    FEATURES,
    PROBABILITY,
    SessionModel,
    SessionState,
    SessionTerms,
    design,
    dump_state,
    load_state,
    means,
    scale_of,
    state_bytes,
)

BASIS = b"the same"
TASTE = 0.3
TERMS = SessionTerms(tastes=(TASTE, 0.0), half_life=7.0, half_life_seconds=100.0)


def lists(seed: int, width: int, count: int) -> list[tuple[np.ndarray, np.ndarray, float]]:
    """Rows, rewards and times of lists of 1 to 5 items."""
    random = np.random.default_rng(seed)
    made = []
    for k in range(count):
        n = int(random.integers(1, 6))
        x = design(1.0, random.random(n), random.standard_normal((n, width)))
        made.append((x, random.integers(0, 2, n).astype(float), 30.0 * k))
    return made


@given(st.integers(0, 10_000), st.integers(0, FEATURES), st.integers(1, 8))
@settings(deadline=None, max_examples=60)
def test_the_posterior_of_items_one_list_at_a_time_is_that_of_one_weighted_regression(
    seed: int, width: int, count: int
) -> None:
    model, state = SessionModel(TERMS), SessionState(BASIS, 1.0, width)
    shown = lists(seed, width, count)
    for x, rewards, at in shown:
        model.learn(state, x, rewards, PROBABILITY, at)
    now = shown[-1][2] + 50.0
    rows = np.concatenate([x for x, _, _ in shown])
    residuals = np.concatenate([r for _, r, _ in shown]) - rows[:, 1]
    times = np.concatenate([np.full(len(x), at) for x, _, at in shown])
    age = np.arange(len(rows))[::-1] / TERMS.half_life + (now - times) / TERMS.half_life_seconds
    weights = 0.5**age / TERMS.noise
    prior = [TERMS.constant**-2, TERMS.slope**-2, *[TASTE**-2] * width]
    precision = np.diag(prior) + (rows * weights[:, None]).T @ rows
    posterior, of_none = model.posteriors(state, now)
    assert not of_none.mean[2:].any()
    expected = np.linalg.solve(precision, rows.T @ (weights * residuals))
    np.testing.assert_allclose(posterior.mean, expected, rtol=1e-7, atol=1e-10)
    covariance = posterior.root @ posterior.root.T
    np.testing.assert_allclose(covariance, np.linalg.inv(precision), rtol=1e-6, atol=1e-10)


def test_without_evidence_the_expected_reward_is_the_release_s() -> None:
    model, scores = SessionModel(), np.linspace(0.9, 0.1, 20)
    x = design(1.0, scores, np.random.default_rng(0).standard_normal((20, 5)))
    assert np.array_equal(means(model.priors(5)[-1].mean, x, PROBABILITY), scores)


def test_evidence_fades_to_the_prior_with_time_and_with_use() -> None:
    model, state = SessionModel(TERMS), SessionState(BASIS, 1.0, 1)
    liked = design(1.0, np.array([0.5]), np.array([[1.0]]))
    model.learn(state, liked, np.ones(1), PROBABILITY, 0.0)
    at_once, later = (model.posteriors(state, now)[0].mean[2] for now in (0.0, 1_000.0))
    assert at_once > 0.05 > 0.001 > later > 0
    other = design(1.0, np.full(100, 0.5), np.zeros((100, 1)))
    model.learn(state, other, np.full(100, 0.5), PROBABILITY, 0.0)
    assert abs(model.posteriors(state, 0.0)[0].mean[2]) < 0.001


def test_a_clock_that_goes_back_takes_no_evidence() -> None:
    model, state = SessionModel(TERMS), SessionState(BASIS, 1.0, 1)
    x = design(1.0, np.array([0.5]), np.array([[1.0]]))
    model.learn(state, x, np.ones(1), PROBABILITY, 1e9)
    before = model.posteriors(state, 1e9)[0].mean
    assert np.array_equal(model.posteriors(state, 0.0)[0].mean, before)
    model.learn(state, x, np.ones(1), PROBABILITY, 0.0)
    assert state.at == 1e9


@given(st.integers(0, 10_000), st.integers(0, FEATURES))
@settings(deadline=None, max_examples=40)
def test_a_packed_state_is_read_back_to_single_precision(seed: int, width: int) -> None:
    model, state = SessionModel(), SessionState(BASIS, 2.5, width)
    for x, rewards, at in lists(seed, width, 5):
        model.learn(state, x, rewards, PROBABILITY, at)
    raw = dump_state(state)
    assert len(raw) == state_bytes(width) <= state_bytes(FEATURES) < 2_600
    again = load_state(raw)
    assert (again.basis, again.scale, again.items) == (BASIS, 2.5, state.items)
    assert dump_state(again) == raw
    expected = model.posteriors(state, state.at)[-1].mean
    np.testing.assert_allclose(
        model.posteriors(again, again.at)[-1].mean, expected, rtol=1e-3, atol=1e-4
    )


@given(st.binary(max_size=300) | st.binary(min_size=1, max_size=3_000).map(lambda b: b"\x01" + b))
def test_bytes_that_are_no_state_are_refused(raw: bytes) -> None:
    with pytest.raises(ContractError, match="state of a unit's rankings"):
        load_state(raw)


@given(st.integers(0, state_bytes(3) - 1), st.integers(0, 7))
def test_a_state_with_a_bit_flipped_is_refused_or_ranks(place: int, bit: int) -> None:
    model, state = SessionModel(), SessionState(BASIS, 1.0, 3)
    for x, rewards, at in lists(1, 3, 5):
        model.learn(state, x, rewards, PROBABILITY, at)
    raw = bytearray(dump_state(state))
    raw[place] ^= 1 << bit
    try:
        read = load_state(bytes(raw))
    except ContractError:
        return
    assert np.isfinite(model.posteriors(read, 0.0)[-1].mean).all()


def test_features_are_scaled_and_outliers_cut() -> None:
    features = np.array([[3.0, 4.0], [0.0, 0.0], [3e99, 4e99]])
    assert scale_of(features[:2]) == pytest.approx(5 / np.sqrt(2))
    x = design(5.0, np.zeros(3), features)
    np.testing.assert_allclose(x[:, 2:], [[0.6, 0.8], [0, 0], [2.4, 3.2]])
    assert scale_of(np.zeros((3, 2))) == 1.0
