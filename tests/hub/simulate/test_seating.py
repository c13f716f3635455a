"""All devices at once get the arms that each works out for itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cloud_hub.experiments import schedule
from cloud_hub.experiments.verdict.spec import parse_experiment
from cloud_hub.simulate.population import draw_population
from cloud_hub.simulate.seating import OUTSIDE, seat
from cloud_hub.simulate.trial import reference
from edge_sdk.contract.names import CONTROL
from edge_sdk.contract.plan import Experiment, Plan, assign
from tests.hub.simulate.scenarios import canary, fleet

PEOPLE = draw_population(fleet(devices="400"), np.random.default_rng(1))
ARMS = parse_experiment("""
model: fleet
strategy: ab
cohort: {attribute: region, values: [eu]}
arms: [{name: b, version: '1.1', weight: 0.3}, {name: c, version: '1.2', weight: 0.2}]
outcomes: [{name: accuracy, metric: accuracy, minimum_effect: 0.02}]
""")


def begun(spec: object) -> tuple[Experiment, dict[str, int]]:
    assert hasattr(spec, "tried")
    versions = {arm.name: reference(arm.version) for arm in spec.tried}
    numbers = {arm.name: number for number, arm in enumerate(spec.tried, 1)}
    return schedule.begin(spec, "trial", versions, "salt"), numbers  # type: ignore[arg-type]


def trials() -> dict[str, tuple[Experiment, dict[str, int]]]:
    first, numbers = begun(canary())
    second = schedule.advance(canary(), first, 0, 0).experiment
    third = schedule.advance(canary(), second, 0, 1).experiment if second else None
    found = {"first step": first, "first again": second or first, "next cohort": third or first}
    ab, arms = begun(ARMS)
    return {name: (trial, numbers) for name, trial in found.items()} | {
        "of three arms": (ab, arms), "one dropped": (ab.drop(["b"]), arms),
    }  # fmt: skip


@pytest.mark.parametrize("name", trials())
def test_every_device_has_the_arm_that_the_plan_gives_it(name: str) -> None:
    trial, numbers = trials()[name]
    seating = seat(trial, numbers, PEOPLE, PEOPLE.slots(trial.salt))
    plan = Plan("fleet", 1, reference("1.0"), trial)
    for i, device in enumerate(PEOPLE.names):
        attributes = PEOPLE.attributes[PEOPLE.cohort[i]]
        given = assign(plan, device, attributes)
        expected = numbers.get(given.arm, 0) if given.experiment else OUTSIDE
        assert seating.arm[i] == expected, device
        counts = schedule.in_stage(trial, attributes)
        assert seating.counted[i] == counts
        if counts:
            arm = schedule.arms_of(plan, device, attributes)
            assert arm == ((given.arm,) if given.experiment else ())


def test_the_control_is_number_0() -> None:
    trial, numbers = begun(ARMS)
    assert CONTROL not in numbers
    seating = seat(replace(trial), numbers, PEOPLE, PEOPLE.slots("salt"))
    assert set(seating.arm.tolist()) == {OUTSIDE, 0, 1, 2}
