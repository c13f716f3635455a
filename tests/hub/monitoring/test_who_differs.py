"""Devices and cohorts that changed, in a real hub: the alarm, who it names, how it reads."""

from __future__ import annotations

import numpy as np
import pytest

from cloud_hub.cli.monitoring import status_text
from cloud_hub.database.documents import as_document
from cloud_hub.errors import Conflict
from cloud_hub.hub import Hub
from cloud_hub.monitoring.findings import FleetWindow
from cloud_hub.monitoring.scanning import aligned, cohorts_of, scan
from cloud_hub.policy.schema import parse_policy
from edge_sdk.contract.profile import FeatureProfile
from tests.hub.telemetry.reporting_fleet import Simulated

BEFORE = 12
POLICY = "monitoring:\n  outputs: false\n"


def run(fleet: Simulated, windows: range, **how: object) -> list[str]:
    raised = []
    for number in windows:
        fleet.window(number, **how)  # type: ignore[arg-type]
        raised += [alarm.signal for alarm in fleet.hub.monitoring.tick(fleet.after(number))]
    return raised


@pytest.fixture
def fleet(serving: Hub) -> Simulated:
    serving.policies.apply("demo", POLICY, actor="test")
    return Simulated(serving, regions=("eu", "eu", "eu", "eu", "us"))


def test_a_cohort_that_moved_while_the_fleet_hardly_did_is_named(fleet: Simulated) -> None:
    assert run(fleet, range(BEFORE)) == []
    raised = run(fleet, range(BEFORE, BEFORE + 2), shift=2.0, region="us")
    assert "devices:f1" in raised
    alarm = next(a for a in fleet.hub.monitoring.alarms("demo") if a.kind == "devices")
    assert alarm.evidence["who"] == "3 of 16 devices, cohort region=us"
    assert (alarm.evidence["changed"], alarm.evidence["of"]) == (3, 16)
    assert alarm.evidence["against"] == "their own past"
    us = {name for i, name in enumerate(fleet.names) if i % 5 == 4}
    assert {each["device"] for each in alarm.evidence["devices"]} == us
    assert alarm.evidence["devices"][0]["what"] == "place"
    assert alarm.evidence["cohorts"][0]["changed"] == 3
    text = status_text(as_document(fleet.hub.monitoring.status("demo")))
    assert "who=3 of 16 devices, cohort region=us" in text
    assert "    cohort region=us: changed=3 of=3" in text
    assert f"    device {min(us, key=text.index)}: what=place" in text
    with pytest.raises(Conflict, match="only drift and concept"):
        fleet.hub.monitoring.acknowledge("demo", "devices:f1", actor="anna", rebase=True)
    fleet.hub.monitoring.acknowledge("demo", "devices:f1", actor="anna")


def test_one_window_of_a_change_is_no_alarm_and_what_all_do_is_none_of_devices(
    fleet: Simulated,
) -> None:
    run(fleet, range(BEFORE))
    assert run(fleet, range(BEFORE, BEFORE + 1), shift=2.0, region="us") == []
    assert run(fleet, range(BEFORE + 1, BEFORE + 2)) == []
    assert run(fleet, range(BEFORE + 2, BEFORE + 4), shift=1.0) == ["drift:f1"]


def test_one_device_has_no_verdict_before_it_has_a_past(serving: Hub) -> None:
    serving.policies.apply("demo", POLICY, actor="test")
    fleet = Simulated(serving, devices=1, rows=600)
    assert run(fleet, range(3), shift=1.0) == []
    (row, *_) = fleet.hub.monitoring.history("demo", signal="drift:f1")
    assert "no verdict" in row.figures["note"]
    assert run(fleet, range(3, BEFORE), shift=1.0) == ["drift:f1"]
    newest = fleet.hub.monitoring.history("demo", signal="drift:f1")[-1]
    assert "note" not in newest.figures


NUMBER = FeatureProfile("x", (100,) * 4 + (0, 0), (0.0, 1.0, 2.0, 3.0, 4.0))


def window(devices: int, **attributes: str) -> FleetWindow:
    names = tuple(f"d{i}" for i in range(devices))
    counts = np.tile([50, 50, 50, 50, 0, 0], (devices, 1))
    where = {name: dict(attributes) | {"serial": name} for name in names}
    return FleetWindow(0, 60, names, {"x": counts}, where)


def test_cohorts_of_all_devices_or_of_single_ones_are_none() -> None:
    assert cohorts_of(window(10, region="eu")) == {}


@pytest.mark.parametrize("devices", [0, 1, 4])
def test_a_very_small_fleet_is_not_scanned(devices: int) -> None:
    assert scan([window(devices)], [], [NUMBER]) == []


def test_a_fleet_alike_has_a_finding_that_is_no_alarm() -> None:
    (finding,) = scan([window(30)], [], [NUMBER])
    assert (finding.signal, finding.alarming, finding.effect) == ("devices:x", False, 0)
    assert finding.figures.who == "0 of 30 devices"
    assert scan([window(30)], [], []) == []


def test_devices_keep_their_rows_in_whatever_window_they_are() -> None:
    found = aligned(window(3), "x", ["d2", "new", "d0"], 6)
    assert found.sum(axis=1).tolist() == [200, 0, 200]
    assert aligned(window(3), "y", ["d0"], 6).tolist() == [[0] * 6]


def test_a_trigger_may_wait_for_devices_that_changed() -> None:
    text = "triggers:\n  - name: odd\n    when: {drift: {kinds: [devices]}}\n"
    (trigger,) = parse_policy(text).triggers
    assert trigger.when.drift is not None
    assert trigger.when.drift.kinds == ("devices",)
