"""A device's sums over units: when they leave, how often, and what they may cost."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_sdk.contract.codec import from_plain, to_plain
from edge_sdk.contract.personal.report import DELTA, PersonalReport
from edge_sdk.contract.serving_terms import Personalisation
from edge_sdk.errors import StateError
from edge_sdk.personalise.personal_model import PersonalModel
from edge_sdk.personalise.sums.contributions import AGAIN, DAY, SPENT, SUMS, Contributions
from edge_sdk.personalise.sums.noise import TOTAL_EPSILON, delta_of
from edge_sdk.personalise.unit_moments import UnitSummary
from edge_sdk.state_db import StateDatabase
from edge_sdk.update.model_state import ModelState
from tests.edge.personalise.simulated_units import class_prior, taught_units

MEANS = np.array([[2.0, 0.0], [0.0, 2.0]])
PRIOR = class_prior(MEANS)
QUIET = Personalisation(minimum_units=20)
NOISY = Personalisation(minimum_units=20, epsilon=2.0)
WEEK = 7 * DAY
BEGAN = 1_700_000_000.0


@pytest.fixture
def state(tmp_path: Path) -> Iterator[ModelState]:
    database = StateDatabase(tmp_path / "state")
    yield ModelState(database, "demo")
    database.close()


@pytest.fixture(scope="module")
def units() -> list[UnitSummary]:
    model = PersonalModel(PRIOR, {})
    return [model.summary(s) for s in taught_units(model, 30, 30, np.random.default_rng(1))]


def reported(
    state: ModelState,
    units: list[UnitSummary],
    *,
    terms: Personalisation = QUIET,
    at: float = BEGAN + WEEK,
    generation: int = 1,
) -> list[PersonalReport]:
    """What a device that got the prior at the beginning reports at a time."""
    made = Contributions(state, replace(PRIOR, generation=generation), terms)
    assert made.collect(BEGAN, lambda: units) == []
    return made.collect(at, lambda: units)


def test_sums_leave_when_they_are_due_and_once(state: ModelState, units: list[UnitSummary]) -> None:
    made = Contributions(state, PRIOR, QUIET, "eu")
    looked = 0

    def summaries() -> list[UnitSummary]:
        nonlocal looked
        looked += 1
        return units

    assert made.collect(BEGAN, summaries) == []
    assert made.collect(BEGAN + WEEK - 1, summaries) == []
    assert looked == 0
    (report,) = made.collect(BEGAN + WEEK, summaries)
    assert (report.units, report.cohort, report.epsilon) == (30.0, "eu", None)
    assert report.labels == 900.0
    assert from_plain(PersonalReport, to_plain(report)) == report
    assert made.collect(BEGAN + 2 * WEEK, summaries) == []
    assert looked == 1


def test_a_device_that_starts_again_reports_when_it_was_due_and_not_twice(
    state: ModelState, units: list[UnitSummary]
) -> None:
    Contributions(state, PRIOR, QUIET).collect(BEGAN, lambda: units)
    again = Contributions(state, PRIOR, QUIET)
    assert len(again.collect(BEGAN + WEEK, lambda: units)) == 1
    third = Contributions(state, PRIOR, QUIET)
    assert third.collect(BEGAN + 9 * WEEK, lambda: units) == []


def test_fewer_units_than_the_minimum_wait_until_there_are_enough(
    state: ModelState, units: list[UnitSummary]
) -> None:
    made, here = Contributions(state, PRIOR, QUIET), units[:19]
    made.collect(BEGAN, lambda: here)
    assert made.collect(BEGAN + WEEK, lambda: here) == []
    here = units[:20]
    assert made.collect(BEGAN + WEEK + 1, lambda: here) == []  # it has just looked
    (report,) = made.collect(BEGAN + WEEK + AGAIN, lambda: here)
    assert report.units == 20.0


def test_units_with_few_labels_do_not_make_up_the_minimum(
    state: ModelState, units: list[UnitSummary]
) -> None:
    model = PersonalModel(PRIOR, {})
    fresh = [model.summary(s) for s in taught_units(model, 30, 19, np.random.default_rng(2))]
    assert reported(state, [*units[:19], *fresh]) == []


def test_with_noise_one_unit_or_none_reports_at_the_same_time(
    tmp_path: Path, units: list[UnitSummary]
) -> None:
    for count in (0, 1):
        database = StateDatabase(tmp_path / f"{count}")
        (report,) = reported(ModelState(database, "demo"), units[:count], terms=NOISY)
        assert (report.epsilon, report.delta, report.at) == (2.0, DELTA, int(BEGAN + WEEK))
        assert report.units not in (0.0, 1.0)
        database.close()


def test_reports_with_noise_add_up_to_the_sums_without(
    state: ModelState, units: list[UnitSummary]
) -> None:
    (exact,) = reported(state, units)
    gauss, found = random.Random(7).gauss, []
    for i in range(400):
        values = _Memory()
        made = Contributions(values, PRIOR, NOISY, gauss=gauss)
        made.collect(BEGAN, lambda: units)
        found += made.collect(BEGAN + WEEK, lambda: units)
        assert len(found) == i + 1
    for name in ("units", "personal_only", "model_only"):
        spread = np.std([getattr(r, name) for r in found]) / 20
        mean = float(np.mean([getattr(r, name) for r in found]))
        assert mean == pytest.approx(getattr(exact, name), abs=4 * spread)


def test_noise_is_paid_for_until_all_of_it_is_spent(
    state: ModelState, units: list[UnitSummary]
) -> None:
    count = sum(len(reported(state, units[:3], terms=NOISY, generation=g)) for g in range(1, 15))
    assert count == 11
    spent = float(state.get(SPENT))
    assert delta_of(TOTAL_EPSILON, spent**0.5) <= DELTA


def test_a_budget_that_the_disk_has_damaged_is_spent(
    state: ModelState, units: list[UnitSummary]
) -> None:
    state.put(SPENT, "nonsense")
    assert reported(state, units, terms=NOISY) == []


def test_two_priors_that_serve_beside_each_other_report_once_each(
    state: ModelState, units: list[UnitSummary]
) -> None:
    both = [Contributions(state, replace(PRIOR, generation=g), QUIET) for g in (4, 5)]
    bodies = [
        body
        for at in (BEGAN, BEGAN + 1, BEGAN + WEEK + 2, BEGAN + WEEK + 3, BEGAN + 9 * WEEK)
        for made in both
        for body in made.collect(at, lambda: units)
    ]
    assert sorted(body.generation for body in bodies) == [4, 5]


def test_a_generation_from_long_ago_is_not_reported_again(
    state: ModelState, units: list[UnitSummary]
) -> None:
    for generation in range(1, 12):
        assert len(reported(state, units, generation=generation)) == 1
    assert reported(state, units, generation=1, at=BEGAN + 90 * WEEK) == []


def test_state_that_the_disk_has_damaged_begins_anew(
    state: ModelState, units: list[UnitSummary]
) -> None:
    state.put(SUMS, {"1": {"start": "soon"}, "x": 3})
    assert len(reported(state, units)) == 1


def test_a_clock_that_was_set_back_does_not_put_the_report_off_for_years(
    state: ModelState, units: list[UnitSummary]
) -> None:
    made = Contributions(state, PRIOR, QUIET)
    made.collect(BEGAN + 1000 * DAY, lambda: units)
    again = Contributions(state, PRIOR, replace(QUIET, report_days=0.0))
    assert len(again.collect(BEGAN, lambda: units)) == 1


def test_nothing_is_reported_while_the_disk_takes_nothing(units: list[UnitSummary]) -> None:
    values = _Memory(on_disk=False)
    made = Contributions(values, PRIOR, replace(NOISY, report_days=0.0))
    assert made.collect(BEGAN, lambda: units) == []
    values.on_disk = True
    assert len(made.collect(BEGAN, lambda: units)) == 1


def test_a_report_that_cannot_be_noted_on_the_disk_does_not_leave(
    state: ModelState, units: list[UnitSummary]
) -> None:
    made = Contributions(state, PRIOR, QUIET)
    made.collect(BEGAN, lambda: units)
    state.shared.close()
    with pytest.raises(StateError):
        made.collect(BEGAN + WEEK, lambda: units)


class _Memory:
    """Values of a device whose disk takes them, or does not."""

    def __init__(self, *, on_disk: bool = True) -> None:
        self.on_disk = on_disk
        self._values: dict[str, object] = {}

    def get(self, name: str) -> object:
        return self._values.get(name)

    def put(self, name: str, value: object) -> None:
        self._values[name] = value
