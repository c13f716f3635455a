"""A promotion without a canary that devices refuse: the alarm, and the way back by itself."""

from __future__ import annotations

import itertools
import time
from pathlib import Path

import pytest
from sqlalchemy import update

from cloud_hub.database.records import EnrolledDevice
from cloud_hub.errors import Conflict
from cloud_hub.fleet.tables import devices, identities
from cloud_hub.hub import Hub
from cloud_hub.monitoring.store import Alarm
from edge_sdk.contract.codec import to_plain
from edge_sdk.contract.messages import Message, UpdateEvent, Upload
from tests.edge.builders import make_release
from tests.hub.experiments.fleets import Device, fleet

NUMBERS = itertools.count(1)


@pytest.fixture
def promoted(serving: Hub, tmp_path: Path) -> Hub:
    """1.1 serves everybody without a canary, after 1.0."""
    serving.registry.publish(make_release(tmp_path / "1.1", version="1.1", seed=3), actor="test")
    serving.plans.promote("demo", "1.1", actor="ann", reason="it looked good")
    return serving


def honest(hub: Hub, count: int) -> list[Device]:
    """Devices that joined with a token each."""
    found = fleet(hub, count)
    with hub.engine.begin() as db:
        db.execute(update(identities).values(vouched_by=identities.c.device))
    return found


def says(
    device: Device, outcome: str, version: str = "1.1", step: str | None = None, age: float = 0
) -> None:
    at = int(time.time() - age)
    event = UpdateEvent("demo", outcome, version, at, "1.0", step, "no output 'label'")  # type: ignore[arg-type]
    message = Message("boot", next(NUMBERS), "event", to_plain(event))
    reply = device.hub.telemetry.ingest(EnrolledDevice(device.name, ("demo",)), Upload((message,)))
    assert reply.accepted == 1


def refuses(device: Device, **more: float) -> None:
    says(device, "failed", step="probe", **more)


def serves(hub: Hub) -> str:
    plan = hub.plans.current("demo")
    assert plan is not None
    return plan.serving.version


def alarms(hub: Hub) -> list[Alarm]:
    return [alarm for alarm in hub.monitoring.alarms("demo") if alarm.kind == "refused"]


def statuses(hub: Hub) -> dict[str, str]:
    return {record.version: record.status for record in hub.registry.versions("demo")}


def look(hub: Hub, later: float = 0.0) -> None:
    hub.refusals.tick(time.time() + later)


def test_a_promotion_that_most_devices_refuse_goes_back_by_itself_with_its_reason(
    promoted: Hub,
) -> None:
    members = honest(promoted, 6)
    for device in members[:5]:
        refuses(device)
    look(promoted)
    assert serves(promoted) == "1.1"  # one has not tried it
    says(members[5], "activated")
    look(promoted)
    assert serves(promoted) == "1.0"
    assert statuses(promoted) == {"1.0": "serving", "1.1": "rolled_back"}
    (alarm,) = alarms(promoted)
    assert (alarm.version, alarm.signal) == ("1.1", "refused:1.1")
    assert (alarm.evidence["refused"], alarm.evidence["tried"]) == (5, 6)
    assert alarm.evidence["reasons"] == [["no output 'label'", 5]]
    (entry,) = promoted.audit.entries("demo", action="refused release")
    assert (entry.actor, entry.detail["version"], entry.detail["before"]) == ("hub", "1.1", "1.0")
    look(promoted)
    look(promoted, later=3_600)
    assert serves(promoted) == "1.0"


def test_what_was_taken_back_is_promoted_again_with_a_reason_only_and_then_stays(
    promoted: Hub,
) -> None:
    members = honest(promoted, 4)
    for device in members:
        refuses(device)
    look(promoted)
    with pytest.raises(Conflict, match="it was taken back: 4 of 4 devices refused it: no output"):
        promoted.plans.promote("demo", "1.1", actor="ann", reason="again")
    promoted.plans.promote("demo", "1.1", actor="ann", reason="again", override="I know")
    look(promoted)
    assert serves(promoted) == "1.1"  # what was said of its last time does not count
    for device in members:
        refuses(device)
    look(promoted)
    assert serves(promoted) == "1.1"  # a person insisted
    assert alarms(promoted)


def test_one_token_s_devices_are_an_alarm_and_take_nothing_back(promoted: Hub) -> None:
    members = fleet(promoted, 20)  # they joined with one token of many uses
    for device in members:
        refuses(device)
    look(promoted)
    assert serves(promoted) == "1.1"
    (alarm,) = alarms(promoted)
    assert (alarm.evidence["refused"], alarm.evidence["voters_tried"]) == (20, 1)


def test_one_hostile_device_that_says_it_again_and_again_is_one_device(promoted: Hub) -> None:
    members = honest(promoted, 8)
    for device in members[1:]:
        says(device, "activated")
    for _ in range(30):
        refuses(members[0])
    look(promoted)
    assert serves(promoted) == "1.1"
    assert alarms(promoted) == []


def test_network_hub_and_disk_trouble_and_old_events_condemn_nothing(promoted: Hub) -> None:
    members = honest(promoted, 8)
    for device in members:
        for step in ("download", "stage", "check", "load"):
            says(device, "failed", step=step)
        refuses(device, age=7_200)
    look(promoted)
    assert (serves(promoted), alarms(promoted)) == ("1.1", [])


def test_lost_devices_are_not_waited_for(promoted: Hub) -> None:
    members = honest(promoted, 10)
    for device in members[:4]:
        refuses(device)
    look(promoted)
    assert serves(promoted) == "1.1"
    gone = [device.name for device in members[4:]]
    with promoted.engine.begin() as db:
        seen = update(devices).where(devices.c.device.in_(gone))
        db.execute(seen.values(seen_at=time.time() - 86_400, interval=60.0))
    look(promoted, later=60)
    assert serves(promoted) == "1.0"


def test_an_acknowledged_alarm_comes_again_only_when_more_devices_refuse(promoted: Hub) -> None:
    members = fleet(promoted, 10)
    for device in members[:2]:
        refuses(device)
    look(promoted)
    refuses(members[2])
    look(promoted)
    assert [alarm.evidence["refused"] for alarm in alarms(promoted)] == [3]
    promoted.monitoring.acknowledge("demo", "refused:1.1", actor="ann")
    look(promoted, later=60)
    assert alarms(promoted) == []
    refuses(members[3])
    look(promoted, later=120)
    assert [alarm.evidence["refused"] for alarm in alarms(promoted)] == [4]


def test_a_hub_that_starts_anew_finds_what_was_said_before(promoted: Hub) -> None:
    for device in honest(promoted, 4):
        refuses(device)
    promoted.refusals._events.news()
    fresh = type(promoted.refusals)(
        promoted.engine, promoted.audit, promoted.registry, promoted.plans, promoted.fleet,
        promoted.monitoring,
    )  # fmt: skip
    fresh.tick(time.time())
    assert serves(promoted) == "1.0"


def test_without_anything_to_go_back_to_a_refused_release_is_an_alarm(serving: Hub) -> None:
    for device in honest(serving, 5):
        says(device, "failed", "1.0", step="probe")
    look(serving)
    assert serves(serving) == "1.0"
    assert [alarm.signal for alarm in alarms(serving)] == ["refused:1.0"]
