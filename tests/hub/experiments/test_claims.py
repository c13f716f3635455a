"""More attacks of single devices on experiments: a report is a claim, whatever it is a report of.

On a hub that believes its devices one device promotes a bad candidate, or stops a good one.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cloud_hub.database.records import EnrolledDevice
from cloud_hub.experiments.verdict.spec import ArmSpec, ExperimentSpec, StageSpec
from cloud_hub.hub import Hub
from edge_sdk.contract.codec import to_plain
from edge_sdk.contract.fleet import CheckIn, ReportedState
from edge_sdk.contract.messages import (
    FeedbackReport,
    Message,
    UpdateEvent,
    Upload,
    UploadReply,
    WindowReport,
    kind_of,
)
from edge_sdk.contract.plan import Cohort, Outcome
from edge_sdk.contract.window import Window
from tests.edge.builders import make_release
from tests.hub.experiments.fleets import NUMBERS, Device, fleet

CANARY = ExperimentSpec(
    "demo", "canary", candidate="1.1", steps=(0.5, 1.0), soak_seconds=0, minimum_outcomes=50
)
GOOD, BAD = 0.95, 0.7


@pytest.fixture
def tried(serving: Hub, tmp_path: Path) -> Hub:
    """A hub that serves 1.0 and knows 1.1 and 1.2."""
    for version in ("1.1", "1.2"):
        release = make_release(tmp_path / version, version=version, seed=3)
        serving.registry.publish(release, actor="test")
    return serving


def begin(hub: Hub, spec: ExperimentSpec, count: int) -> tuple[str, list[Device]]:
    devices = fleet(hub, count)
    id_ = hub.experiments.run(spec, actor="test").id
    for device in devices:
        device.sync()
    return id_, devices


def on(devices: Sequence[Device], arm: str) -> list[Device]:
    return [device for device in devices if device.given.arm == arm]


def claim(device: Device, *bodies: Any) -> UploadReply:
    messages = tuple(
        Message("boot", next(NUMBERS), kind_of(body), to_plain(body)) for body in bodies
    )
    return device.hub.telemetry.ingest(EnrolledDevice(device.name, ("demo",)), Upload(messages))


def labels(device: Device, n: int, right: int, *, arm: str = "", version: str = "") -> UploadReply:
    """Claim labels, with the predictions that they are of."""
    window = device.window(time.time(), version or None, arm or None)
    digest = device.hub.registry.release("demo", window.version).profile_digest
    made = WindowReport(window, digest, {"model": n})
    return claim(device, made, FeedbackReport(window, n, right, n, right))


def status(hub: Hub, id_: str) -> str:
    hub.experiments.tick(time.time())
    return hub.experiments.get(id_).status


def honest(devices: Sequence[Device], candidate: float, n: int = 200) -> None:
    for device in devices:
        device.report(time.time(), n, candidate if device.given.arm == "candidate" else GOOD)


def kinds(hub: Hub, device: Device) -> list[str]:
    return [flag.kind for flag in hub.flags.by_device().get((device.name, "demo"), [])]


def test_as_many_labels_as_are_possible_for_the_own_arm_promote_no_bad_candidate(
    tried: Hub,
) -> None:
    """Within every bound, a thousand times as many as all the others together."""
    id_, devices = begin(tried, CANARY, 20)
    liar, *others = on(devices, "candidate")
    honest([*on(devices, "control"), *others], BAD)
    assert labels(liar, 60_000, 60_000).accepted == 2
    assert status(tried, id_) in ("running", "aborted")
    assert tried.plans.current("demo").serving.version == "1.0"  # type: ignore[union-attr]


def test_a_failure_of_a_device_on_the_control_arm_is_refused(tried: Hub) -> None:
    id_, devices = begin(tried, CANARY, 20)
    for liar in on(devices, "control")[:5]:
        event = UpdateEvent("demo", "failed", "1.1", 1, reason="no", experiment=id_)
        (refused,) = claim(liar, event).rejected
        assert "no plan gave this device 1.1 to try" in refused.reason
        assert kinds(tried, liar) == ["arm"]
    assert status(tried, id_) == "running"
    assert tried.experiments.get(id_).figures.arms["candidate"].failed_devices == 0  # type: ignore[index]


@pytest.mark.parametrize(("candidate", "lie"), [(BAD, 1.0), (GOOD, 0.0)])
def test_one_of_three_devices_that_lies_decides_nothing(
    tried: Hub, candidate: float, lie: float
) -> None:
    """On the fewest devices that are enough for a verdict, either way."""
    id_, devices = begin(tried, CANARY, 6)
    liar, *others = on(devices, "candidate")
    assert len(others) == 2
    honest([*on(devices, "control"), *others], candidate, n=1_000)
    labels(liar, 20_000, round(20_000 * lie))
    assert status(tried, id_) == "running", tried.experiments.get(id_).reason


def test_an_arm_before_the_plan_gave_it_counts_for_nothing(tried: Hub) -> None:
    id_, devices = begin(tried, CANARY, 20)
    device = on(devices, "candidate")[0]
    long_before = replace(device.window(time.time()), start=int(time.time()) - 900)
    early = replace(long_before, end=long_before.start + 1)
    (refused,) = claim(device, FeedbackReport(early, 9, 9, 9, 9)).rejected
    # It had not even joined then; had it, the plan says that nobody was on that arm.
    assert "was not this device's yet" in refused.reason
    assert kinds(tried, device) == ["clock"]
    assert tried.experiments.report(id_).arms


def test_an_experiment_that_no_plan_named_is_refused(tried: Hub) -> None:
    (device,) = fleet(tried, 1)
    window = Window("demo", "1.0", int(time.time()), int(time.time()) + 1, "made-up", "control")
    (refused,) = claim(device, FeedbackReport(window, 9, 9, 9, 9)).rejected
    assert "no plan of demo ever named made-up" in refused.reason


def test_a_device_cannot_choose_its_arm_by_its_attributes(tried: Hub) -> None:
    """In the finished cohort everybody has the candidate: whoever moves there claims to have it."""
    eu = Cohort("region", ("eu",))
    spec = replace(CANARY, stages=(StageSpec(eu), StageSpec()))
    id_, devices = begin(tried, spec, 24)
    honest([d for d in devices if d.given.experiment], GOOD, n=1_000)
    assert status(tried, id_) == "running"
    assert tried.experiments.get(id_).stage == 1
    for device in devices:
        device.sync()
    liar = next(d for d in devices if d.given.arm == "control" and d.attributes["region"] == "us")
    said = CheckIn({"demo": ReportedState("1.1", 99)}, {"region": "eu"})
    tried.fleet.check_in(EnrolledDevice(liar.name, ("demo",)), said)
    liar.attributes = {"region": "eu"}
    assert liar.given.arm == "candidate"
    assert labels(liar, 500, 0).accepted == 2  # stored, for the fleet's windows
    assert kinds(tried, liar) == []  # a device may move; it counts for nobody then
    tried.experiments.tick(time.time())
    loader, record = tried.experiments.evidence, tried.experiments.get(id_)
    snapshot = loader.snapshot(record, tried.plans.current("demo"), time.time())  # type: ignore[arg-type]
    assert snapshot.devices[liar.name].attributes == {"region": "us"}
    assert all(row.device != liar.name for row in loader.totals(id_) if row.arm == "candidate")


def test_a_device_that_was_offline_for_days_reports_under_an_older_plan_and_counts(
    tried: Hub,
) -> None:
    """The canary went on meanwhile, an arm was dropped, or the experiment has ended."""
    devices = fleet(tried, 20)
    spec = replace(CANARY, steps=(0.3, 0.6, 1.0))
    id_ = tried.experiments.run(spec, actor="test").id
    for device in devices:
        device.sync()
    honest(devices, GOOD)
    assert status(tried, id_) == "running"
    for device in devices:  # nobody has synced: all go on under the first plan
        device.report(time.time(), 100, GOOD)
    tried.experiments.stop(id_, actor="test", reason="enough")
    for device in devices:
        device.report(time.time(), 100, GOOD)
    assert tried.flags.by_device() == {}


def test_one_device_does_not_win_an_ab_test_by_key(tried: Hub) -> None:
    spec = ExperimentSpec(
        "demo", "ab", arms=(ArmSpec("one", "1.1", 0.5),), unit="key", soak_seconds=0,
        outcomes=(Outcome("accuracy", "accuracy"),),
    )  # fmt: skip
    id_, devices = begin(tried, spec, 12)
    liar, *others = devices
    for device in others:
        device.report_keys(time.time(), {"control": ("1.0", 0.8), "one": ("1.1", 0.8)}, units=60)
    liar.report_keys(time.time(), {"control": ("1.0", 0.0), "one": ("1.1", 1.0)}, units=1_000)
    assert status(tried, id_) == "running", tried.experiments.get(id_).reason
    assert tried.experiments.get(id_).state.winner is None


@pytest.mark.parametrize(
    "lie", [(400, 0), (0, 400)], ids=["promotes a bad one", "stops a good one"]
)
def test_one_device_decides_no_shadow(tried: Hub, lie: tuple[int, int]) -> None:
    spec = ExperimentSpec("demo", "shadow", candidate="1.1", soak_seconds=0)
    id_, devices = begin(tried, spec, 6)
    liar, *others = devices
    for device in others:
        device.shadow(time.time(), 40, *((1, 2) if lie[0] else (2, 1)))
    for _ in range(50):
        liar.shadow(time.time(), 400, *lie)
    assert status(tried, id_) == "running", tried.experiments.get(id_).reason


def test_one_device_decides_no_interleaving(tried: Hub) -> None:
    spec = ExperimentSpec("demo", "interleave", candidate="1.1", soak_seconds=0)
    id_, devices = begin(tried, spec, 10)
    liar, *others = devices
    for device in others:
        device.rankings(time.time(), wins=10, losses=10)
    liar.rankings(time.time(), wins=15_000, losses=0)
    assert status(tried, id_) == "running", tried.experiments.get(id_).reason
