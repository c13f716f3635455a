"""Sums of adapted rankings, from messages of devices to the values of policies."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest

from cloud_hub.database.records import EnrolledDevice
from cloud_hub.errors import NotFound
from cloud_hub.hub import Hub
from cloud_hub.telemetry.plausibility import DAY
from cloud_hub.telemetry.ranking_rows import ranking_sums
from edge_sdk.contract.codec import to_plain
from edge_sdk.contract.messages import Message, Upload, kind_of
from edge_sdk.contract.personal.ranking_report import RankingReport
from edge_sdk.contract.window import Window
from edge_sdk.personalise.rankings.off_policy_sums import OffPolicySums, ShownChances
from tests.hub.telemetry.reporting_fleet import Simulated

CHANCES = {"best": 0.9, "own": 0.05, "other": 0.05}


def report(
    rates: dict[str, float], seed: int, lists: int = 200, at: float | None = None
) -> RankingReport:
    """What a device sends of lists whose rewards have these rates."""
    random, sums = np.random.default_rng(seed), OffPolicySums()
    for which in random.choice(list(CHANCES), lists, p=list(CHANCES.values())):
        chances = ShownChances(
            CHANCES["best"], CHANCES["own"], which == "best", which == "own", 0.4, 0.4, 0.4
        )
        sums.shown += 1
        sums.add(random.bytes(4), chances, float(random.random() < rates[str(which)]))
    start = int((time.time() if at is None else at) // 60 - 1) * 60
    made = sums.take(Window("demo", "1.0", start, start + 60), 2, stopped=False)
    assert made is not None
    return made


BETTER = {"best": 0.6, "own": 0.3, "other": 0.4}


def test_devices_sums_become_values_with_intervals_and_a_verdict(serving: Hub) -> None:
    fleet = Simulated(serving, devices=12)
    with pytest.raises(NotFound, match="no device has reported rankings that adapt"):
        serving.personalise.rankings.values("demo", None, days=28, now=time.time())
    for i, device in enumerate(fleet.names):
        fleet.send(device, report(BETTER, i), report(BETTER, 100 + i))
    found = serving.personalise.rankings.values("demo", None, days=28, now=time.time())
    assert (found.version, found.devices, found.lists) == ("1.0", 12, 4_800)
    for policy, rate in (("own", 0.3), ("adapted", 0.6)):
        for estimate in found.policies[policy].values.values():  # type: ignore[index]
            assert estimate.low is not None
            assert estimate.high is not None
            assert estimate.low <= rate <= estimate.high
    assert found.gain.low is not None
    assert found.gain.low > 0
    assert found.said == "adapting helps"
    with pytest.raises(NotFound, match="demo 9.9"):
        serving.personalise.rankings.values("demo", "9.9", days=28, now=time.time())


def test_harm_is_said(serving: Hub) -> None:
    fleet = Simulated(serving, devices=12)
    worse = {"best": 0.2, "own": 0.7, "other": 0.4}
    for i, device in enumerate(fleet.names):
        fleet.send(device, report(worse, i, 600))
    found = serving.personalise.rankings.values("demo", "1.0", days=28, now=time.time())
    assert "does harm" in found.said


def test_policies_of_which_lists_had_no_chance_are_not_compared(serving: Hub) -> None:
    fleet = Simulated(serving, devices=3)
    sums = OffPolicySums()
    for i in range(50):
        sums.add(bytes([i]), ShownChances(1.0, 0.0, True, False, 0.5, 0.5, 0.4), 1.0)
    start = int(time.time() // 60 - 1) * 60
    made = sums.take(Window("demo", "1.0", start, start + 60), 2, stopped=True)
    assert made is not None
    for device in fleet.names:
        fleet.send(device, made)
    found = serving.personalise.rankings.values("demo", None, days=28, now=time.time())
    assert "cannot be compared" in found.said
    assert found.gain.value is None
    assert found.stopped == 3
    assert found.policies["own"].unsupported == 1.0
    assert found.policies["own"].values["importance"].value is None
    assert found.policies["adapted"].values["importance"].value == pytest.approx(1.0)


def test_a_message_counts_once_and_one_device_does_not_outweigh_all_others(serving: Hub) -> None:
    fleet = Simulated(serving, devices=6)
    for i, device in enumerate(fleet.names[1:]):
        fleet.send(device, report(BETTER, i, 100))
    loud = report({"best": 0.0, "own": 1.0, "other": 0.0}, 9, 30_000)
    message = Message("loud", 1, kind_of(loud), to_plain(loud))
    sender = EnrolledDevice(fleet.names[0], ("demo",))
    for _ in range(3):
        serving.telemetry.ingest(sender, Upload((message,)))
    found = serving.personalise.rankings.values("demo", None, days=28, now=time.time())
    assert found.lists == 30_500
    estimate = found.policies["logged"].values["robust"]
    assert estimate.value is not None
    assert 0.15 < estimate.value < 0.35  # capped at ten devices


def test_more_lists_than_a_device_can_have_shown_are_refused_and_flagged(serving: Hub) -> None:
    fleet = Simulated(serving, devices=1)
    many = replace(report(BETTER, 1), shown=10**9)
    message = Message("b", 1, kind_of(many), to_plain(many))
    reply = serving.telemetry.ingest(EnrolledDevice(fleet.names[0], ("demo",)), Upload((message,)))
    assert "sessions: 1000000000 of one day" in reply.rejected[0].reason
    assert (fleet.names[0], "demo") in serving.flags.by_device()


def test_old_days_go_and_a_forgotten_device_takes_its_sums_along(serving: Hub) -> None:
    fleet = Simulated(serving, devices=2)
    now = time.time()
    fleet.send(fleet.names[0], report(BETTER, 1), report(BETTER, 2, at=now - 400 * DAY))
    fleet.send(fleet.names[1], report(BETTER, 3))

    def rows() -> int:
        with serving.engine.connect() as db:
            return len(db.execute(ranking_sums.select()).all())

    assert rows() == 9
    serving.telemetry.clean(now)
    assert rows() == 6
    serving.fleet.forget(fleet.names[1], reason="test", actor="ann")
    assert rows() == 3
