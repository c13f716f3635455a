"""What people do on the pages of a model: dry counts, confirmation, stale pages, experiments."""

from __future__ import annotations

import re
import time

from cloud_hub.hub import Hub
from tests.hub.experiments.fleets import Device, fleet
from tests.hub.model_pages.conftest import Reader, words


def serves(hub: Hub) -> str:
    plan = hub.plans.current("demo")
    assert plan is not None
    return plan.serving.version


def everybody(devices: list[Device], right: float, of_candidate: float) -> None:
    for device in devices:
        device.sync()
        tried = device.given.arm == "candidate"
        device.report(time.time(), 1_000, of_candidate if tried else right)


def test_a_promotion_says_first_how_many_devices_change(tried: Hub, reader: Reader) -> None:
    for device in fleet(tried, 5):
        device.sync()
    asked = words(reader.get("/models/demo/promote?version=1.1"))
    assert "1.1 serves everybody in place of 1.0" in asked
    assert "5 take part" in asked
    assert "Change 5 to 1.1, from 1.0 (5)" in asked
    assert serves(tried) == "1.0"
    reader.confirm("/models/demo/promote?version=1.1", reason="better")
    assert serves(tried) == "1.1"
    entry = tried.audit.entries("demo", action="plan")[-1]
    assert (entry.actor, entry.detail["reason"]) == ("admin", "better")
    assert "Roll back to 1.0" in words(reader.get("/models/demo/rollback"))
    reader.confirm("/models/demo/rollback", reason="worse")
    assert serves(tried) == "1.0"


def test_a_question_about_an_older_plan_does_nothing(tried: Hub, reader: Reader) -> None:
    plan = tried.plans.current("demo")
    assert plan is not None
    tried.plans.promote("demo", "1.2", actor="anna", reason="meanwhile")
    form = {"version": "1.1", "serial": str(plan.serial), "reason": "better"}
    said = words(reader.post("/models/demo/promote", 409, **form))
    assert "the plan changed meanwhile, from serial 1 to 2" in said
    assert serves(tried) == "1.2"
    reader.post("/models/demo/rollback", 409, serial=str(plan.serial), reason="x")
    reader.post("/models/demo/try/canary", 409, serial=str(plan.serial), version="1.1")
    assert tried.experiments.records("demo") == []
    assert serves(tried) == "1.2"


def test_a_canary_begins_on_as_many_devices_as_its_question_counted(
    tried: Hub, reader: Reader
) -> None:
    devices = fleet(tried, 30)
    for device in devices:
        device.sync()
    asked = words(reader.get("/models/demo/try/canary?version=1.1"))
    counted = re.search(r"(\d+) devices try it, (\d+) are compared", asked)
    assert counted is not None, asked
    reader.confirm("/models/demo/try/canary?version=1.1")
    for device in devices:
        device.sync()
    inside = sum(device.given.arm == "candidate" for device in devices)
    assert (inside, 30 - inside) == (int(counted[1]), int(counted[2]))


def test_a_canary_is_watched_aborts_and_cannot_be_promoted_without_a_reason(
    tried: Hub, reader: Reader
) -> None:
    policy = "experiment: {soak: 0s, minimum_labels: 100, minimum_devices: 3}"
    tried.policies.apply("demo", policy, actor="test")
    devices = fleet(tried, 20)
    reader.confirm("/models/demo/try/canary?version=1.1")
    (record,) = tried.experiments.records("demo")
    live = f"/models/demo/experiments/{record.id}"
    assert "waits for the first outcomes" in words(reader.get(live))
    everybody(devices, 0.95, 0.95)
    tried.experiments.tick(time.time())
    assert "Gain" in words(reader.get(live))
    everybody(devices, 0.95, 0.4)
    tried.experiments.tick(time.time())
    page = words(reader.get(live))
    assert "aborted" in page
    assert "Pause…" not in page
    reader.get(f"{live}/stop", 409)
    asked = words(reader.get("/models/demo/promote?version=1.1"))
    assert "took it back" in asked
    reader.confirm("/models/demo/promote?version=1.1", 409, reason="better")
    reader.confirm("/models/demo/promote?version=1.1", reason="better", override="labels were bad")
    assert serves(tried) == "1.1"


def test_an_experiment_is_paused_goes_on_and_is_stopped(tried: Hub, reader: Reader) -> None:
    fleet(tried, 12)
    reader.confirm("/models/demo/try/canary?version=1.1")
    (record,) = tried.experiments.records("demo")
    live = f"/models/demo/experiments/{record.id}"
    for what, status in (("pause", "paused"), ("resume", "running"), ("stop", "stopped")):
        reader.confirm(f"{live}/{what}", reason="to look")
        assert tried.experiments.get(record.id).status == status
    assert tried.audit.entries("demo", action="canary paused")[-1].actor == "admin"
    reader.get("/models/demo/experiments/another", 404)
