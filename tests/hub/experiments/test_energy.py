"""Experiments that are judged by the joules of the devices."""

from __future__ import annotations

import functools
import re
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cloud_hub.errors import Invalid
from cloud_hub.experiments.planner import Rates, plan
from cloud_hub.experiments.report_page import to_html
from cloud_hub.experiments.report_rates import rates_of
from cloud_hub.experiments.verdict.evidence import ArmEvidence, Evidence
from cloud_hub.experiments.verdict.measures import ENERGY, ExposureSums, outcomes_of
from cloud_hub.experiments.verdict.parallel import decide
from cloud_hub.experiments.verdict.spec import (
    ArmSpec,
    Design,
    ExperimentSpec,
    LabelRules,
    parse_experiment,
)
from cloud_hub.hub import Hub
from cloud_hub.telemetry import retention
from edge_sdk.contract.errors import ContractError
from edge_sdk.contract.messages import WindowReport
from edge_sdk.contract.names import CONTROL
from edge_sdk.contract.plan import Outcome
from edge_sdk.contract.window import Energy, Window
from edge_sdk.telemetry.meters import InTime
from tests.conftest import Publish
from tests.e2e.live import opened
from tests.hub.enrolled import long_ago
from tests.hub.experiments.fleets import Device, fleet
from tests.hub.experiments.test_experiments import actions, everybody, status, tried
from tests.servers import HubProcess

__all__ = ["tried"]  # a fixture

POWER = Outcome("power", "energy", minimum_effect=0.02)
AB = ExperimentSpec(
    "demo", "ab", arms=(ArmSpec("thrifty", "1.1", 0.5),), soak_seconds=0, minimum_outcomes=40,
    outcomes=(POWER,),
)  # fmt: skip
CANARY = ExperimentSpec(
    "demo", "canary", candidate="1.1", steps=(0.5, 1.0), soak_seconds=0, minimum_outcomes=40,
    outcomes=(POWER,),
)  # fmt: skip

Draws = Callable[[Device], float]
"""Joules of one prediction on a device."""


def dear(candidate: float, control: float) -> Draws:
    return lambda device: candidate if device.given.release.version == "1.1" else control


def report(devices: list[Device], draws: Draws, windows: int = 6, made: int = 300) -> None:
    """All sync and report some windows: a third of the power is idle, and boards differ."""
    now = int(time.time())
    for i, device in enumerate(devices):
        random = np.random.default_rng(i)
        board, busy = random.uniform(0.9, 1.1), random.uniform(0.9, 1.1)
        device.sync()
        bodies = []
        for w in range(windows):
            n = int(random.poisson(made * busy))
            joules = board * (0.05 * made + draws(device) * n) * random.uniform(0.98, 1.02)
            bodies.append(metered(device, now + 1 + w, n, joules))
        device.send(*bodies)


def metered(device: Device, start: int, n: int, joules: float | None) -> WindowReport:
    given = device.given
    where = Window("demo", given.release.version, start, start + 1, given.experiment, given.arm)
    digest = device.hub.registry.release("demo", where.version).profile_digest
    energy = None if joules is None else Energy(joules, n, 1.0)
    return WindowReport(where, digest, {"model": n}, energy=energy)


def served(hub: Hub) -> str:
    plan = hub.plans.current("demo")
    assert plan is not None
    return plan.serving.version


def test_the_version_that_draws_less_wins_and_is_promoted(tried: Hub) -> None:
    devices = fleet(tried, 24)
    id_ = tried.experiments.run(AB, actor="test").id
    report(devices, dear(0.08, 0.1))
    assert status(tried, id_)[0] == "promoted"
    assert served(tried) == "1.1"
    record = tried.experiments.get(id_)
    assert "thrifty is better: power of thrifty +0.0" in record.reason
    (power,) = record.figures.outcomes
    assert power.control == pytest.approx(0.15, rel=0.1)
    assert power.gain == pytest.approx(0.02, abs=0.01)
    assert power.outcomes == tuple(6 * n for n in power.devices)
    assert sum(power.devices) == 24


def test_versions_that_draw_the_same_stay_undecided(tried: Hub) -> None:
    devices = fleet(tried, 24)
    id_ = tried.experiments.run(
        replace(AB, outcomes=(Outcome("power", "energy"),)), actor="test"
    ).id
    for _ in range(2):
        report(devices, dear(0.1, 0.1))
        assert status(tried, id_)[0] == "running"
    assert "undecided" in tried.experiments.get(id_).reason


def test_a_canary_that_draws_more_than_may_be_is_taken_back(tried: Hub) -> None:
    devices = fleet(tried, 24)
    id_ = tried.experiments.run(CANARY, actor="test").id
    report(devices, dear(0.2, 0.1))
    assert status(tried, id_)[0] == "aborted"
    assert "power of candidate -0." in tried.experiments.get(id_).reason
    assert served(tried) == "1.0"


def test_a_better_version_that_draws_too_much_is_not_promoted(tried: Hub) -> None:
    devices = fleet(tried, 24)
    outcomes = (Outcome("accuracy", "accuracy"), POWER)
    # The windows with joules have no labels.
    spec = replace(AB, outcomes=outcomes, labels=LabelRules(settle_seconds=0))
    id_ = tried.experiments.run(spec, actor="test").id
    everybody(devices, lambda d: 0.95 if d.given.arm == "thrifty" else 0.8)
    report(devices, dear(0.2, 0.1))
    assert status(tried, id_)[0] == "concluded"
    reason = tried.experiments.get(id_).reason
    assert "thrifty is better: accuracy" in reason
    assert "power of thrifty -0." in reason
    assert "not promoted" in reason
    assert served(tried) == "1.0"


def arm(*boards: float, windows: int = 100) -> ArmEvidence:
    """Devices that draw so many joules for each prediction."""
    random, sums = np.random.default_rng(1), {}
    for joules in boards:
        n = np.full(windows, 100.0)
        drawn = n * random.normal(joules, 0.001, windows)
        values = (windows, n.sum(), drawn.sum(), n @ n, n @ drawn, drawn @ drawn)
        sums[f"draws {joules}"] = ExposureSums(**dict(zip(ENERGY, values, strict=True)))
    rows = outcomes_of(sums)
    return ArmEvidence(rows, exposed=frozenset(sums), predictions=100 * windows * len(boards))


FEW: dict[str, tuple[ArmEvidence, ArmEvidence]] = {
    "one device on each arm, however long": (arm(0.05, windows=5_000), arm(0.1, windows=5_000)),
    "one device against many": (arm(0.05), arm(*(0.1 + i / 1e3 for i in range(9)))),
    "two boards that differ, against two": (arm(0.05, 0.09), arm(0.1, 0.11)),
}


@pytest.mark.parametrize("case", FEW)
def test_devices_that_are_too_few_to_say_how_boards_differ_decide_nothing(case: str) -> None:
    candidate, control = FEW[case]
    # Whoever declares that few devices may decide still gets no verdict from what they cannot say.
    spec = replace(AB, outcomes=(Outcome("power", "energy"),), minimum_devices=1)
    decision = decide(spec, Evidence({CONTROL: control, "thrifty": candidate}, soaked=60.0))
    assert decision.action == "wait", decision.reason
    assert re.search("undecided|no verdict: on 1 and 1", decision.reason), decision.reason


def test_devices_without_a_meter_are_not_counted(tried: Hub) -> None:
    devices = fleet(tried, 30)
    id_ = tried.experiments.run(AB, actor="test").id
    report(devices[:24], dear(0.08, 0.1))
    for device in devices[24:]:
        device.sync()
        device.send(metered(device, int(time.time()) + 1, 10**4, None))
    assert status(tried, id_)[0] == "promoted"
    (power,) = tried.experiments.get(id_).figures.outcomes
    assert sum(power.devices) == 24
    assert power.control == pytest.approx(0.15, rel=0.1)


SHARED = (
    "run on the same device, which only knows what it draws as a whole; try ['power'] by device"
)
REFUSED: dict[str, tuple[str, str]] = {
    "of a shadow": ("strategy: shadow\ncandidate: '1.1'", f"both versions of a shadow {SHARED}"),
    "by key": (
        "strategy: ab\nunit: key\narms: [{name: b, version: '1.1', weight: 0.5}]",
        f"both versions of a test by key {SHARED}",
    ),
    "of interleaved rankings": ("strategy: interleave\ncandidate: '1.1'", "it has no others"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_energy_that_cannot_be_told_apart_is_refused(case: str) -> None:
    text, message = REFUSED[case]
    outcomes = "outcomes: [{name: power, metric: energy, minimum_effect: 0.01}]"
    with pytest.raises((Invalid, ContractError)) as caught:
        parse_experiment(f"model: demo\n{text}\n{outcomes}\n")
    assert message in str(caught.value)


def test_energy_that_nobody_reports_is_refused_before_the_start(tried: Hub) -> None:
    devices = fleet(tried, 3)
    for device in devices:
        device.sync()
        device.send(metered(device, int(time.time()), 10, None))
    message = "nobody reports energy, of 3 devices that reported lately"
    with pytest.raises(Invalid, match=message):
        tried.experiments.run(AB, actor="test")
    tried.experiments.run(replace(AB, outcomes=(Outcome("time", "latency"),)), actor="test")


def test_one_device_with_a_meter_is_enough_to_start(tried: Hub) -> None:
    devices = fleet(tried, 3)
    for device, joules in zip(devices, (None, 5.0, None), strict=True):
        device.sync()
        device.send(metered(device, int(time.time()), 10, joules))
    assert tried.experiments.run(AB, actor="test").status == "running"


def test_energy_that_does_not_come_pauses_and_says_where_to_look(tried: Hub) -> None:
    devices = fleet(tried, 20)
    id_ = tried.experiments.run(replace(AB, no_data_seconds=60), actor="test").id
    now = int(time.time())
    for device in devices:
        device.sync()
        device.send(metered(device, now + 1, 10, None))
    record = tried.experiments.get(id_)
    tried.experiments.store.note(record, step_started_at=record.step_started_at - 120.0)
    assert status(tried, id_)[0] == "paused"
    assert "nobody reports energy (outcome power)" in tried.experiments.get(id_).reason
    assert "have the devices meters?" in tried.experiments.get(id_).reason
    assert actions(tried)[-1] == "ab paused"


def test_the_plan_knows_what_the_fleet_draws(tried: Hub) -> None:
    devices = fleet(tried, 20)
    report(devices, dear(0.1, 0.1), windows=10)
    found = tried.experiments.preparation.plan(AB, time.time() + 60)
    (power,) = found.outcomes
    assert power.mean == pytest.approx(0.15, rel=0.05)
    assert power.correlation > 0.5  # boards differ more than their windows
    sequential, planned = power.needs
    assert sequential.independent < 200
    assert planned.independent < sequential.independent
    assert power.days[0] is not None
    rates = rates_of(tried.engine, tried.fleet, AB, "1.0", time.time() + 60)
    assert sum(row[0] for row in rates.outcomes["energy"].values()) == pytest.approx(20 * 10)


def test_devices_without_a_meter_do_not_shorten_the_plan() -> None:
    board = {"energy_windows": 100, "energy_n": 1e4, "energy_n_squares": 1e6}
    sums = {}
    for i in range(30):
        joules = 1_000.0 + 40 * (i % 6)
        drawn = {"energy_sum": joules, "energy_cross": 100 * joules}
        sums[f"d{i}"] = ExposureSums(**board, **drawn, energy_squares=joules**2 / 99)
    rows = outcomes_of(sums)
    few, many = (plan(AB, Rates(rows, 8_640.0, reached))[0] for reached in (30, 3_000))
    assert few.days == many.days
    assert few.days[0] is not None


def test_the_report_says_what_each_cohort_draws(tried: Hub) -> None:
    devices = fleet(tried, 24)
    id_ = tried.experiments.run(AB, actor="test").id
    report(devices, dear(0.08, 0.1))
    status(tried, id_)
    built = tried.experiments.report(id_)
    drawn = {(row.cohort, row.arm): row.joules_a_prediction for row in built.cohorts}
    assert drawn["region=eu", "thrifty"] == pytest.approx(0.13, rel=0.1)
    assert drawn["region=eu", CONTROL] == pytest.approx(0.15, rel=0.1)
    page = to_html(built)
    assert "J a prediction" in page
    assert "power of thrifty" in page


def test_a_report_without_energy_does_not_speak_of_it(tried: Hub) -> None:
    id_ = tried.experiments.run(replace(CANARY, outcomes=()), actor="test").id
    everybody(fleet(tried, 5), lambda d: 0.9)
    status(tried, id_)
    assert "J a prediction" not in to_html(tried.experiments.report(id_))


def test_telemetry_adds_up_what_devices_drew_before_and_after_it_is_rolled_up(tried: Hub) -> None:
    devices = fleet(tried, 3)
    long_ago(tried)
    start = int(time.time()) // 3_600 * 3_600 - 7_200
    for device, joules in zip(devices, (4.0, 6.0, None), strict=True):
        device.sync()
        device.send(metered(device, start, 10, joules))
    whole = {"joules": 10.0, "predictions": 20, "seconds": 2.0}
    assert [w.energy for w in tried.telemetry.windows("demo")] == [whole]
    later = time.time() + 3 * retention.DAY
    assert retention.clean(tried.engine, "demo", later, retention.Retention()) == 3
    assert [w.energy for w in tried.telemetry.windows("demo")] == [whole]


def test_intervals_of_energy_are_tightest_for_fleets_and_of_the_rest_for_requests() -> None:
    assert (Design().tightest("energy"), Design().tightest("accuracy")) == (50, 5_000)
    assert (
        Design(tuned_for=300).tightest("energy") == Design(tuned_for=300).tightest("reward") == 300
    )


def test_what_a_device_draws_comes_to_its_hub(
    hub: HubProcess, publish: Publish, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "edge_sdk.telemetry.energy.InTime", functools.partial(InTime, seconds=600.0)
    )
    publish("watty")
    joules = iter(range(10**6))
    with opened(tmp_path / "state", hub, "watty", energy=lambda: float(next(joules))) as device:
        for _ in range(20):
            device.predict([0.0, 1.0, 2.0, 3.0])
        assert device.status()["energy"]["meter"] == "the app's own"
    windows = hub.admin.get("models/watty/telemetry")["windows"]
    told = [window["energy"] for window in windows if window["energy"]]
    assert sum(energy["predictions"] for energy in told) == 20
    assert all(energy["joules"] >= 1 for energy in told)
