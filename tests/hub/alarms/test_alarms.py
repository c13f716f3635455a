"""Alarms: when they open, what they say, how they end."""

from __future__ import annotations

import time

import pytest
from sqlalchemy import update

from cloud_hub.alarms.conditions import (
    FailingDestination,
    FleetCounts,
    HubCondition,
    WornRows,
    of_checks,
    of_destination,
    of_fleet,
    of_rows,
)
from cloud_hub.alarms.facts import fleet_counts, worn_rows
from cloud_hub.alarms.lifecycle import changes
from cloud_hub.errors import Invalid, NotFound
from cloud_hub.events.event import EventFilter
from cloud_hub.fleet.tables import devices
from cloud_hub.hub import Hub
from cloud_hub.observability.checks import HealthCheck
from cloud_hub.plans.tables import plans
from cloud_hub.policy.schema.alarms import AlarmPolicy
from cloud_hub.policy.schema.parse import parse_policy
from cloud_hub.settings import AlarmSettings
from tests.simulated_device import enrolled

WAITS = AlarmSettings()
FLEETS = {
    "all is well": (FleetCounts("m", 100, told=100), []),
    "few are lost": (FleetCounts("m", 100, lost=9), []),
    "a tenth is lost": (FleetCounts("m", 100, lost=10), ["devices_lost"]),
    "the only one is lost": (FleetCounts("m", 1, lost=1), ["devices_lost"]),
    "nobody was told yet": (FleetCounts("m", 100, told=0, behind=0), []),
    "a fifth is behind": (FleetCounts("m", 100, told=50, behind=10), ["rollout_stuck"]),
    "one device lies": (FleetCounts("m", 100, flagged=1), []),
    "two devices lie": (FleetCounts("m", 100, flagged=2), ["reports_rejected"]),
    "two of ten thousand lie": (FleetCounts("m", 10_000, flagged=2), []),
    "the only one lies": (FleetCounts("m", 1, flagged=1), ["reports_rejected"]),
    "no devices": (FleetCounts("m", 0), []),
}


@pytest.mark.parametrize("case", FLEETS)
def test_a_fleet_is_judged_by_shares(case: str) -> None:
    counts, kinds = FLEETS[case]
    found = list(of_fleet(counts))
    assert [condition.kind for condition in found] == kinds
    assert all(condition.todo and condition.evidence for condition in found)


LIMITS: dict[str, tuple[FleetCounts, AlarmPolicy, list[str]]] = {
    "half may be lost": (FleetCounts("m", 100, lost=49), AlarmPolicy(lost_share=0.5), []),
    "half are lost": (
        FleetCounts("m", 100, lost=50), AlarmPolicy(lost_share=0.5), ["devices_lost"],
    ),
    "one of a hundred may not be behind": (
        FleetCounts("m", 100, told=100, behind=1), AlarmPolicy(behind_share=0.01),
        ["rollout_stuck"],
    ),
    "five may lie": (FleetCounts("m", 20, flagged=4), AlarmPolicy(rejected_devices=5), []),
    "five lie": (
        FleetCounts("m", 20, flagged=5), AlarmPolicy(rejected_devices=5), ["reports_rejected"],
    ),
    "a tenth may lie": (FleetCounts("m", 100, flagged=9), AlarmPolicy(rejected_share=0.1), []),
}  # fmt: skip


@pytest.mark.parametrize("case", LIMITS)
def test_a_policy_says_from_where_on_something_is_an_alarm(case: str) -> None:
    counts, limits, kinds = LIMITS[case]
    assert [condition.kind for condition in of_fleet(counts, limits)] == kinds


def test_a_policy_says_how_often_rows_may_decide() -> None:
    rows = WornRows("m", "history", 6)
    assert list(of_rows(rows, AlarmPolicy(worn_uses=7))) == []
    assert [c.kind for c in of_rows(rows, AlarmPolicy(worn_uses=6))] == ["holdout_worn"]


WRONG = {
    "alarms: {lost_share: 0}": "lost_share: expected above 0 to 1, got 0",
    "alarms: {behind_share: 20}": "behind_share: expected above 0 to 1, got 20",
    "alarms: {stuck: 5s}": "stuck: expected a minute to 30 days, got 5 s",
    "alarms: {worn_uses: 0}": "worn_uses: expected at least 1, got 0",
    "alarms: {lost: 0.1}": "lost_share",
}


@pytest.mark.parametrize("text", WRONG)
def test_a_limit_that_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match=WRONG[text]):
        parse_policy(text)


def test_what_readiness_finds_is_a_condition_and_each_part_of_the_loop_its_own() -> None:
    checks = [
        HealthCheck("disk", "fail", "0.1 GiB are free", "make room"),
        HealthCheck("keys", "warn", "root ends in 9 days", "renew"),
        HealthCheck("loop", "warn", "plans: x", "see the log"),
        HealthCheck("clock", "ok", "fine"),
    ]
    found = list(of_checks(checks, {"plans": "OSError()"}))
    assert [(c.key, c.severity) for c in found] == [
        ("hub:disk", "critical"), ("hub:keys", "warning"), ("loop:plans", "critical"),
    ]  # fmt: skip


def test_worn_rows_and_failing_destinations_are_conditions() -> None:
    assert [c.kind for c in of_rows(WornRows("m", "history", 20))] == ["holdout_worn"]
    assert list(of_rows(WornRows("m", "history", 19))) == []
    just_now = FailingDestination("ops", 1_000.0, "answered 500", False)
    assert list(of_destination(just_now, 1_100.0)) == []
    assert [c.key for c in of_destination(just_now, 9_000.0)] == ["delivery:ops"]
    assert [c.key for c in of_destination(just_now, 1_100.0, after=100.0)] == ["delivery:ops"]


def condition(severity: str = "warning") -> HubCondition:
    return HubCondition("hub:disk", "disk", severity, "says", "todo")  # type: ignore[arg-type]


def test_an_alarm_opens_when_its_condition_lasts_and_closes_when_it_is_gone() -> None:
    begun = {"hub:disk": 0.0}
    assert changes([condition()], begun, {}, WAITS.open_seconds - 1).opened == ()
    assert changes([condition()], begun, {}, WAITS.open_seconds).opened == (condition(),)
    assert changes([condition("critical")], {"hub:disk": 9.0}, {}, 9.0).opened
    seen = {"hub:disk": 0.0}
    assert changes([condition()], begun, seen, 1e9).held == (condition(),)
    assert changes([], {}, seen, WAITS.close_seconds - 1).closed == ()
    assert changes([], {}, seen, WAITS.close_seconds).closed == ("hub:disk",)
    patient = AlarmSettings(open_seconds=600.0, close_seconds=3_600.0)
    assert changes([condition()], begun, {}, 599.0, patient).opened == ()
    assert changes([condition()], begun, {}, 600.0, patient).opened == (condition(),)
    assert changes([], {}, seen, 3_599.0, patient).closed == ()
    assert changes([], {}, {"hub:disk": 1e9}, 0.0).closed == ()  # a clock that was set back


def test_an_alarm_is_an_event_when_it_opens_is_seen_and_closes(
    inner: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = inner.events.newest()
    full = HealthCheck("disk", "fail", "0.1 GiB are free", "make room")
    monkeypatch.setattr(inner.alarms, "_checks", lambda: [full])
    inner.alarms.tick(1_000.0)
    inner.alarms.tick(1_020.0)
    (alarm,) = inner.alarms.all()
    assert (alarm.key, alarm.says, alarm.todo) == ("hub:disk", "0.1 GiB are free", "make room")
    inner.alarms.acknowledge("hub:disk", actor="ann")
    inner.alarms.acknowledge("hub:disk", actor="bob")  # who was first counts
    assert inner.alarms.all()[0].acknowledged_by == "ann"
    monkeypatch.setattr(inner.alarms, "_checks", list)
    inner.alarms.tick(1_100.0)
    assert inner.alarms.all() != []
    inner.alarms.tick(1_100.0 + WAITS.close_seconds)
    assert inner.alarms.all() == []
    assert inner.alarms.all(past=9)[0].closed_at == 1_100.0 + WAITS.close_seconds
    told = inner.events.page(EventFilter(("alarm",)), after=begin).events
    assert [(e.type.rpartition(".")[2], e.severity, e.actor) for e in told] == [
        ("opened", "critical", "hub"), ("acknowledged", "info", "ann"), ("closed", "info", "hub"),
    ]  # fmt: skip
    with pytest.raises(NotFound):
        inner.alarms.acknowledge("hub:disk", actor="ann")


def test_an_alarm_of_monitoring_is_in_the_list_and_answered_there(serving: Hub) -> None:
    serving.monitoring.raise_alarm("demo", "1.0", "refused:1.0", {"refused": 3}, 1_000.0)
    (alarm,) = serving.alarms.all("demo")
    assert (alarm.key, alarm.severity) == ("monitor:demo:refused:1.0", "critical")
    serving.alarms.acknowledge(alarm.key, actor="ann")
    assert serving.alarms.all("demo") == []
    with pytest.raises(NotFound):
        serving.alarms.acknowledge("monitor:moon:refused:1.0", actor="ann")


def test_facts_of_a_fleet_are_those_of_its_rows(serving: Hub) -> None:
    token = serving.fleet.new_token("demo", uses=4, seconds=60, actor="test")
    names = [enrolled(serving, token) for _ in range(4)]
    now = time.time() + 100_000.0
    rows = {
        "follows": {"seen_at": now, "plan": 1},
        "is behind": {"seen_at": now, "plan": 0},
        "was not told": {"seen_at": now - 99_000.0, "plan": 0},
        "is lost": {"seen_at": now - 90_000.0, "plan": 1},
    }
    with serving.engine.begin() as db:
        db.execute(update(plans).values(at=now - 100_000.0))
        for name, values in zip(names, rows.values(), strict=True):
            db.execute(update(devices).filter_by(device=name).values(**values))
    (counts,) = fleet_counts(serving.engine, now)
    assert (counts.devices, counts.lost, counts.told, counts.behind) == (4, 2, 3, 1)
    assert worn_rows(serving.engine, now) == []
    # Two days to follow a plan of not even 28 hours ago: nobody is behind yet.
    (patient,) = fleet_counts(serving.engine, now, lambda model: 2 * 86_400.0)
    assert (patient.devices, patient.lost, patient.told, patient.behind) == (4, 2, 0, 0)


def test_alarms_of_a_fleet_follow_the_policy_in_force(
    serving: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving.alarms, "_checks", list)
    token = serving.fleet.new_token("demo", uses=4, seconds=60, actor="test")
    names = [enrolled(serving, token) for _ in range(4)]
    now = time.time() + 100_000.0
    with serving.engine.begin() as db:
        db.execute(update(devices).values(seen_at=now))
        db.execute(update(devices).filter_by(device=names[0]).values(seen_at=now - 90_000.0))

    def alarms(at: float) -> list[str]:
        serving.alarms.tick(at)
        serving.alarms.tick(at + WAITS.open_seconds)
        return [alarm.kind for alarm in serving.alarms.all("demo") if alarm.kind == "devices_lost"]

    serving.registry.set_policy("demo", "alarms: {lost_share: 0.5}", "test")
    assert alarms(now) == []
    serving.registry.set_policy("demo", "alarms: {lost_share: 0.25}", "test")
    assert alarms(now + 1_000.0) == ["devices_lost"]
