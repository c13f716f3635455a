"""Effects by cohort in reports: found where they are, told as JSON, text and page."""

from __future__ import annotations

import json
import math
import time
from dataclasses import replace
from typing import Any

import pytest

from cloud_hub.cli.experiment_text import report_view
from cloud_hub.cli.shared.output import TextTable
from cloud_hub.experiments.documents import report_document
from cloud_hub.experiments.report_page import to_html
from cloud_hub.experiments.report_sections import Report
from cloud_hub.experiments.verdict.effects import (
    CohortEffect,
    Compared,
    compared_arms,
    effects_by_cohort,
)
from cloud_hub.experiments.verdict.measures import ExposureSums
from cloud_hub.experiments.verdict.spec import ArmSpec, ExperimentSpec
from cloud_hub.hub import Hub
from edge_sdk.contract.plan import Outcome
from tests.hub.experiments.fleets import Device, fleet
from tests.hub.experiments.test_experiments import everybody, status, tried

__all__ = ["tried"]  # a fixture

AB = ExperimentSpec(
    "demo",
    "ab",
    arms=(ArmSpec("one", "1.1", 0.5),),
    soak_seconds=1e6,
    outcomes=(Outcome("accuracy", "accuracy", "up", 0.02),),
)
Row = tuple[float, float, float]


def by_value(effects: tuple[CohortEffect, ...]) -> dict[str, CohortEffect]:
    return {f"{row.attribute}={row.value}": row for row in effects}


def better_in_eu(hub: Hub) -> Report:
    """A candidate that is right more often in eu alone; devices differ by three points."""
    devices = fleet(hub, 80)

    def right(device: Device) -> float:
        own = 0.8 + 0.03 * (int(device.name[-2:], 16) / 128 - 1)
        gains = device.given.arm == "one" and device.attributes["region"] == "eu"
        return own + 0.1 * gains

    id_ = hub.experiments.run(AB, actor="test").id
    everybody(devices, right)
    status(hub, id_)
    return hub.experiments.report(id_)


def test_better_in_eu_and_not_in_us(tried: Hub) -> None:
    report = better_in_eu(tried)
    effects = by_value(report.effects)
    eu, us = effects["region=eu"], effects["region=us"]
    assert (eu.verdict, us.verdict) == ("better", "no effect shown")
    assert eu.differs
    assert eu.gain == pytest.approx(0.1, abs=0.02)
    assert eu.low is not None
    assert eu.low > 0
    assert eu.shrunk is not None
    assert us.gain is not None
    assert us.gain < eu.shrunk < eu.gain


def test_the_same_stands_in_json_text_and_page(tried: Hub) -> None:
    report = better_in_eu(tried)
    document: Any = json.loads(json.dumps(report_document(report), allow_nan=False))
    shown = {row["value"]: row["verdict"] for row in document["effects"]}
    assert shown == {"eu": "better", "us": "no effect shown"}
    page = to_html(report)
    assert "Effects by cohort" in page
    assert "<b>better</b>; differs from the other values" in page
    *_, table = report_view(document)
    assert isinstance(table, TextTable)
    assert [row[0] for row in table.rows] == ["region=eu", "region=us"]
    assert table.rows[0][-1] == "better; differs from the other values"


def test_sessions_and_shadows_have_effects_by_cohort_too(tried: Hub) -> None:
    devices = fleet(tried, 40)
    spec = ExperimentSpec("demo", "interleave", candidate="1.1", soak_seconds=1e6)
    id_ = tried.experiments.run(spec, actor="test").id
    for i, device in enumerate(devices):
        device.sync()
        won = 30 if device.attributes["region"] == "eu" else 20
        device.rankings(time.time(), wins=won + i % 3, losses=40 - won)
    effects = by_value(tried.experiments.report(id_).effects)
    assert effects["region=eu"].outcome == "sessions won"
    assert effects["region=eu"].verdict == "better"
    assert effects["region=us"].verdict == "no effect shown"
    tried.experiments.stop(id_, actor="test", reason="enough")
    spec = ExperimentSpec("demo", "shadow", candidate="1.1", soak_seconds=1e6)
    id_ = tried.experiments.run(spec, actor="test").id
    for i, device in enumerate(devices):
        device.sync()
        won = 40 if device.attributes["region"] == "eu" else 10
        device.shadow(time.time(), 400, won=won + i % 4, lost=10)
    report = tried.experiments.report(id_)
    effects = by_value(report.effects)
    assert (effects["region=eu"].outcome, effects["region=eu"].verdict) == ("accuracy", "better")
    assert "Effects by cohort" in to_html(report)


def test_a_fleet_without_attributes_has_no_cohorts(tried: Hub) -> None:
    devices = fleet(tried, 8, ("eu",))
    id_ = tried.experiments.run(replace(AB, minimum_devices=1), actor="test").id
    everybody(devices, lambda d: 0.9)
    report = tried.experiments.report(id_)
    assert report.effects == ()
    assert "Effects by cohort" not in to_html(report)


def test_the_report_of_an_experiment_that_nobody_reported_of_stands(tried: Hub) -> None:
    fleet(tried, 8)
    id_ = tried.experiments.run(AB, actor="test").id
    effects = tried.experiments.report(id_).effects
    assert {row.verdict for row in effects} == {"no verdict: fewer than 3 devices of an arm"}


def one_outcome(control: dict[str, Row], candidate: dict[str, Row], scale: float = 1.0) -> Compared:
    return Compared("x", "one", 1.0, scale, {0: candidate}, {0: control})


REGIONS = {f"{v}{i}": {"region": v} for v in ("eu", "us") for i in range(6)}
CONTROL = {f"eu{i}": (100.0, 80.0 + i, 80.0 + i) for i in range(3)}
FINE = {f"eu{i}": (100.0, 80.0 + i, 80.0 + i) for i in range(3, 6)}


@pytest.mark.parametrize(
    ("control", "candidate", "scale", "reason"),
    [
        (CONTROL, {}, 1.0, "fewer than 3 devices"),
        ({}, FINE, 1.0, "fewer than 3 devices"),
        (CONTROL, FINE | {"eu3": (100.0, math.nan, math.nan)}, 1.0, "sums that no numbers have"),
        (CONTROL, FINE | {"eu3": (math.inf, 1.0, 1.0)}, 1.0, "sums that no numbers have"),
        (
            {f"eu{i}": (10.0, 20.0, 40.0) for i in range(3)},
            {f"eu{i}": (10.0, 30.0, 90.0) for i in range(3, 6)},
            0.0,
            "outcomes do not vary",
        ),
    ],
)
def test_what_is_no_data_gets_no_verdict(
    control: dict[str, Row], candidate: dict[str, Row], scale: float, reason: str
) -> None:
    effects = effects_by_cohort([one_outcome(control, candidate, scale)], REGIONS, 3)
    eu = by_value(effects)["region=eu"]
    assert eu.verdict.startswith("no verdict: ")
    assert reason in eu.verdict
    assert (eu.gain, eu.low, eu.shrunk, eu.differs) == (None, None, None, False)


def test_a_device_with_a_billion_outcomes_decides_nothing() -> None:
    liar = FINE | {"eu3": (1e9, 1e9, 1e9)}
    effects = effects_by_cohort([one_outcome(CONTROL, liar)], REGIONS, 3)
    verdict = by_value(effects)["region=eu"].verdict
    assert verdict.startswith("no verdict: a device has nearly all of an arm")


def test_an_attribute_that_names_each_device_makes_no_cohorts() -> None:
    serial = {name: {"serial": name, **values} for name, values in REGIONS.items()}
    thirteen = {f"d{i}": {"serial": f"s{i}"} for i in range(13)}
    effects = effects_by_cohort([one_outcome(CONTROL, FINE)], serial | thirteen, 3)
    assert {row.attribute for row in effects} == {"region"}


def test_less_is_better_where_the_outcome_says_so() -> None:
    errors = Outcome("errors", "errors")
    spec = replace(AB, outcomes=(errors,))
    many = {f"eu{i}": ExposureSums(predictions=900, errors=100 + i) for i in range(20)}
    few = {f"eu{i}": ExposureSums(predictions=990, errors=10 + i % 4) for i in range(20, 40)}
    attributes = {d: {"region": "eu"} for d in (*many, *few)} | {"us0": {"region": "us"}}
    compared = compared_arms(spec, {"control": {0: many}, "one": {0: few}})
    eu = by_value(effects_by_cohort(compared, attributes, 3))["region=eu"]
    assert eu.verdict == "better"
    assert eu.gain is not None
    assert eu.gain > 0.08
