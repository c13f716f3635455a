"""What devices' sums say together: right for honest ones, and hardly moved by one that is not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud_hub.personalise.learned.aggregates import UNITS_COUNTED, Robust, learned, voices_of
from cloud_hub.personalise.learned.next_generation import LARGEST_STEP, next_prior
from edge_sdk.contract.errors import ContractError
from edge_sdk.contract.personal.report import VECTORS, PersonalReport
from edge_sdk.personalise.unit_moments import UnitSummary
from tests.edge.personalise.simulated_units import class_prior, number_prior
from tests.hub.personalise.reporting_units import Fleet, from_many, report_of

RANK = 3
MEANS = np.eye(4, RANK) * 3
PRIOR = class_prior(MEANS, between=1.0, shift=1.0, helps=False)
HONEST = from_many(Fleet(), PRIOR, 30, np.random.default_rng(1))


def said(reports: list[tuple[str, PersonalReport]], salt: str = "s") -> Any:
    found = learned(voices_of(reports), salt)
    assert found is not None
    return found


def test_honest_devices_say_how_their_units_differ_and_that_it_helps() -> None:
    fleet = Fleet(between=0.5, shift=2.0, gain=0.06)
    found = said(from_many(fleet, PRIOR, 60, np.random.default_rng(2)))
    scale = 2.25  # the prior's between and shift, and what chance makes of few labels
    assert found.cross.value * scale == pytest.approx(2.0, abs=0.3)
    assert (found.squares.value - found.cross.value) * scale == pytest.approx(0.5, abs=0.15)
    assert found.shift.value == pytest.approx(0.0, abs=0.12)
    assert found.gain.helps is True
    assert found.gain.low < 0.06 < found.gain.high
    assert found.outcomes.sum() == pytest.approx(1.0, abs=0.02)
    assert found.served == pytest.approx(0.4, abs=0.03)


def test_a_fleet_whose_units_lose_is_found_out() -> None:
    found = said(from_many(Fleet(gain=-0.06), PRIOR, 60, np.random.default_rng(3)))
    assert found.gain.helps is False
    assert next_prior(replace(PRIOR, helps=True), found, {}).flips


def test_a_fleet_that_gains_nothing_gets_its_verdict_in_few_of_many_trials() -> None:
    """The interval holds whenever one looks, so a verdict at any of these looks is an error."""
    wrong = 0
    for seed in range(60):
        reports = from_many(
            Fleet(gain=0.0, labels=20), PRIOR, 80, np.random.default_rng(seed), units=(20, 20)
        )
        looks = [learned(voices_of(reports[:n]), "s") for n in (20, 30, 45, 60, 80)]
        wrong += any(found is not None and found.gain.helps is not None for found in looks)
    # 5% of 60 are 3; 9 or more of that chance have a probability of 0.3%.
    assert wrong < 9


def test_too_few_devices_say_nothing() -> None:
    assert learned(voices_of(HONEST[:8]), "s") is None
    assert learned([], "s") is None


def test_devices_of_one_voucher_are_one_voice() -> None:
    many = [("one token", report) for _, report in HONEST]
    assert learned(voices_of(many), "s") is None
    assert said([*HONEST, *many]).voices == 31


def test_a_large_device_counts_as_so_many_units_at_most() -> None:
    large = Fleet().summed(PRIOR, 1_500, np.random.default_rng(4))
    (voice,) = voices_of([("d", large)])
    assert voice.units == pytest.approx(UNITS_COUNTED)
    assert voice.total(VECTORS[0]) == pytest.approx(np.array(large.shift) * UNITS_COUNTED / 1_500)


def numbers_of(report: PersonalReport) -> dict[str, Any]:
    names = [*_FIELDS, *(block.fields[0] for block in VECTORS)]
    return {name: getattr(report, name) for name in names}


_FIELDS = (
    "units", "crossed", "labels", "served", "off", "both", "model_only", "personal_only", "neither",
    "gain_squares", "better", "worse", "model_loss", "personal_loss",
)  # fmt: skip


def extreme(units: float, sign: float, kind: str) -> dict[str, Any]:
    """The most that a device can claim: all its units gain, or lose, as far as they can."""
    long = {block.fields[0]: block.length * units for block in VECTORS}
    vector = {name: (sign * most,) * RANK for name, most in long.items()}
    won = units if sign > 0 else 0.0
    return {
        **dict.fromkeys(_FIELDS, 0.0), "units": units, "crossed": units, "labels": 20 * units,
        "personal_only": won, "model_only": units - won, "gain_squares": units,
        "better": won, "worse": units - won, "model_loss": 4 * won,
        "personal_loss": 4.0 * units - 4 * won,
        **({} if kind == "outcomes" else vector),
        **(dict.fromkeys(long, (0.0,) * RANK) if kind == "outcomes" else {}),
    }  # fmt: skip


@settings(max_examples=60)
@given(
    st.integers(0, 29),
    st.sampled_from([1.0, 20.0, 1e6]),
    st.sampled_from([1.0, -1.0]),
    st.sampled_from(["all", "outcomes"]),
)
def test_one_device_moves_no_number_beyond_the_stated_bound(
    place: int, units: float, sign: float, kind: str
) -> None:
    name = HONEST[place][0]
    hostile = report_of(PRIOR, extreme(units, sign, kind))
    reports = [*HONEST[:place], (name, hostile), *HONEST[place + 1 :]]
    honest, moved = said(HONEST), said(reports)
    for what in ("shift", "squares", "cross"):
        bound: Robust = getattr(honest, what)
        value = getattr(moved, what).value
        assert (value >= bound.low - 1e-9).all(), what
        assert (value <= bound.high + 1e-9).all(), what
        assert (np.abs(value - bound.value) <= bound.reach + 1e-9).all()
    before, after = (next_prior(PRIOR, x, {}).prior.classes for x in (honest, moved))
    assert before is not None
    assert after is not None
    apart = np.abs(np.subtract(before.shift.numbers(), after.shift.numbers()))
    # Of variances in squares of the scale: no more than the bound of what they are made of.
    assert (apart <= 2.25 * honest.cross.reach + 1e-6).all()


@given(st.data())
@settings(max_examples=40)
def test_no_single_device_gives_or_takes_the_verdict(data: st.DataObject) -> None:
    """Whatever one device claims, a fleet without a gain gets no verdict of it alone."""
    reports = from_many(
        Fleet(gain=0.0), PRIOR, 24, np.random.default_rng(data.draw(st.integers(0, 20)))
    )
    alone = said(reports).gain
    sign = data.draw(st.sampled_from([1.0, -1.0]))
    moved = said([*reports[1:], ("d-0", report_of(PRIOR, extreme(1e6, sign, "all")))]).gain
    rest = said(reports[1:]).gain
    if rest.low < 0 < rest.high:
        assert moved.helps is None
    assert abs(moved.mean - alone.mean) <= 2 / 24 + 1e-9


@given(st.dictionaries(st.sampled_from(_FIELDS), st.floats(), max_size=4))
def test_whatever_the_contract_takes_can_be_added_up(changes: dict[str, float]) -> None:
    for epsilon in (None, 1.0):
        try:
            odd = report_of(PRIOR, {**numbers_of(HONEST[0][1]), **changes}, epsilon=epsilon)
        except ContractError:
            continue
        found = learned(voices_of([*HONEST[1:], ("d-0", odd)]), "s")
        assert found is not None
        assert np.isfinite([*found.shift.value, *found.cross.value, found.gain.mean]).all()
        assert np.isfinite(next_prior(PRIOR, found, {}).moved)


def test_few_devices_with_noise_hide_how_many_units_they_have_so_nothing_is_learned() -> None:
    reports = from_many(Fleet(), PRIOR, 40, np.random.default_rng(5), units=(1, 1), epsilon=2.0)
    assert learned(voices_of(reports), "s") is None


def test_many_devices_with_noise_say_what_those_without_would() -> None:
    rng = np.random.default_rng(6)
    one, prior = Fleet(shift=2.0, gain=0.2), class_prior(MEANS[:, :1])
    reports = from_many(one, prior, 3_000, rng, units=(5, 5), epsilon=2.0)
    found = said(reports)
    assert found.noisy
    assert found.gain.helps is True
    assert found.gain.mean == pytest.approx(0.2, rel=0.35)
    assert found.cross.value[0] == pytest.approx(2.0 / 2.25, rel=0.35)


def test_one_device_with_noise_is_bounded_too() -> None:
    rng = np.random.default_rng(7)
    prior = class_prior(MEANS[:, :1])
    reports = from_many(Fleet(), prior, 2_000, rng, units=(5, 5), epsilon=2.0)
    most = {"shift": (1e6,), "squares": (3e6,), "cross": (3e6,)}
    wild = report_of(prior, {**numbers_of(reports[0][1]), **most}, epsilon=2.0)
    honest, moved = said(reports), said([("d-0", wild), *reports[1:]])
    for what in ("shift", "squares", "cross"):
        bound = getattr(honest, what)
        assert bound.low[0] - 1e-9 <= getattr(moved, what).value[0] <= bound.high[0] + 1e-9


def test_a_generation_goes_towards_what_devices_said_and_no_farther_than_a_step() -> None:
    prior = class_prior(MEANS, between=1.0, shift=1.0, cohorts={"eu": np.zeros(RANK)})
    fleet = Fleet(between=1.0, shift=9.0, mean=2.5)
    reports = from_many(fleet, prior, 60, np.random.default_rng(8), cohort="eu")
    found = said(reports)
    step = next_prior(prior, found, {"eu": found})
    part = step.prior.classes
    assert part is not None
    assert step.matters
    assert part.shift.numbers() == pytest.approx((2.25,) * RANK)  # twice, and what chance makes
    moved = np.array(part.cohorts["eu"].numbers())
    assert (moved > 0.8).all()
    assert (moved <= LARGEST_STEP * 1.5).all()
    assert step.prior.basis_digest == prior.basis_digest


def test_a_fleet_whose_units_are_as_the_prior_says_needs_no_other_generation() -> None:
    found = said(from_many(Fleet(gain=0.0), PRIOR, 120, np.random.default_rng(9)))
    assert not next_prior(PRIOR, found, {}).matters


def test_generations_come_to_the_truth_one_after_the_other() -> None:
    prior, fleet = class_prior(MEANS, between=4.0, shift=0.1), Fleet(between=0.5, shift=2.0)
    rng = np.random.default_rng(10)
    for _ in range(7):
        prior = next_prior(prior, said(from_many(fleet, prior, 40, rng)), {}).prior
    assert prior.classes is not None
    assert prior.classes.shift.numbers() == pytest.approx((2.0,) * RANK, rel=0.2)
    assert prior.classes.between.numbers() == pytest.approx((0.5,) * RANK, rel=0.3)


def test_a_regressors_variances_are_learned_too() -> None:
    prior = number_prior(offset=1.0, slope=0.2, noise=0.25)
    fleet, rng = Fleet(between=0.0, shift=2.0, labels=40), np.random.default_rng(11)
    for _ in range(6):
        prior = next_prior(prior, said(from_many(fleet, prior, 40, rng)), {}).prior
    assert prior.number is not None
    assert prior.number.offset == pytest.approx(2.0, rel=0.2)


def test_what_units_differ_by_along_the_factors_is_no_variance_besides() -> None:
    """Units that differ as the factors say, and by nothing else, leave both variances small."""
    factors = np.random.default_rng(12).normal(0, 1, (4, RANK, 2))
    prior = class_prior(MEANS, between=0.3, shift=0.3, factors=factors)
    rng = np.random.default_rng(13)

    class AlongFactors(Fleet):
        def unit(self, rng: np.random.Generator, rank: int) -> UnitSummary:
            y = factors @ rng.normal(0, 1, 2)
            y = y + rng.normal(0, 0.1**0.5, y.shape)
            mean, squares = y.mean(axis=0), (y**2).mean(axis=0)
            cross = (4 * mean**2 - squares) / 3
            return UnitSummary(36, 1, 2, 1, 20, False, 20.0, 16.0, 4, mean, squares - 0.1, cross)

    for _ in range(6):
        prior = next_prior(prior, said(from_many(AlongFactors(), prior, 80, rng)), {}).prior
    assert prior.classes is not None
    assert max(prior.classes.shift.numbers()) < 0.15
    assert max(prior.classes.between.numbers()) < 0.15
    assert prior.classes.factors is not None


@pytest.mark.parametrize(
    ("rank", "epsilon"), [(RANK + 1, None), (RANK, 1e-9), (RANK, 1.0)],
    ids=["dimensions of its own", "an epsilon that lets it claim anything", "noise of its own"],
)  # fmt: skip
def test_a_device_with_sums_of_another_kind_is_not_heard(rank: int, epsilon: float | None) -> None:
    odd = class_prior(np.eye(3, rank))
    for others in (None, 2.0):
        reports = from_many(Fleet(), PRIOR, 30, np.random.default_rng(9), epsilon=others)
        liar = Fleet().summed(odd, 20, np.random.default_rng(10), epsilon=epsilon)
        heard = voices_of([*reports, ("liar", liar)])
        assert heard == voices_of(reports)


@pytest.mark.parametrize("epsilon", [1e-3, 1e-6, 1e-300])
def test_noise_of_whatever_epsilon_makes_a_report_that_the_contract_takes(epsilon: float) -> None:
    for seed in range(20):
        made = Fleet().summed(PRIOR, 1, np.random.default_rng(seed), epsilon=epsilon)
        assert made.epsilon == epsilon
