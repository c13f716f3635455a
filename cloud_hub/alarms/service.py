"""Alarms of a hub and its fleet: one list of all that is wrong, with evidence and what to do.

The leader looks for conditions every few seconds. Each alarm that opens, is acknowledged or closes
is an event, which is how it reaches people (:mod:`cloud_hub.alerts`). Alarms of a model's data are
raised by monitoring and refusals; they are in the same list, and stay until somebody answers them.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

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
from cloud_hub.alarms.store import HubAlarm, HubAlarmStore
from cloud_hub.database.engine import transaction
from cloud_hub.errors import Invalid, NotFound
from cloud_hub.policy.schema.alarms import AlarmPolicy
from cloud_hub.settings import AlarmSettings
from cloud_hub.web.wording import signal_name

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from cloud_hub.database.audit import Audit
    from cloud_hub.monitoring.service import Monitoring
    from cloud_hub.monitoring.store import Alarm
    from cloud_hub.observability.checks import HealthCheck
    from cloud_hub.registry.service import Registry

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 10.0
NOTE_SECONDS: Final = 60.0
"""An alarm that goes on is written down no more often."""

FACT_SECONDS: Final = 60.0
FACT_SHARE: Final = 50.0
"""Facts of the fleet are read so often, and of a large one so rarely that it takes a fiftieth of
the time."""

MONITOR: Final = "monitor:"
TODO: Final = {
    "refused": "see why, mend the release and publish it: edge-hub devices list --model MODEL",
    "drift": "see which inputs moved, and retrain or acknowledge: edge-hub monitor status MODEL",
    "concept": "its errors grew: retrain, or take it back: edge-hub monitor status MODEL",
}


class HubAlarms:
    """Alarms of a hub.

    Args:
        engine: of its database.
        audit: where changes are noted, which makes them events.
        registry: knows the models.
        monitoring: has alarms of its own.
        checks: of ``/readyz``.
        errors: of the loop's parts.
        failing: destinations of alerts that fail.
        waits: how long conditions hold before alarms open, and are gone before these close.
    """

    def __init__(
        self,
        engine: Engine,
        audit: Audit,
        registry: Registry,
        monitoring: Monitoring,
        *,
        checks: Callable[[], Iterable[HealthCheck]],
        errors: Callable[[], dict[str, str]],
        failing: Callable[[], Iterable[FailingDestination]],
        waits: AlarmSettings = AlarmSettings(),
    ) -> None:
        self._engine = engine
        self._audit = audit
        self._registry = registry
        self._monitoring = monitoring
        self._checks, self._errors, self._failing = checks, errors, failing
        self._waits = waits
        self._store = HubAlarmStore(engine)
        self._looked = 0.0
        self._facts: tuple[list[FleetCounts], list[WornRows]] = ([], [])
        self._facts_at, self._facts_wait = 0.0, 0.0
        self._since: dict[str, float] = {}

    def tick(self, now: float) -> None:
        """Open and close alarms; a part of the loop.

        Args:
            now: Unix seconds.
        """
        if 0 <= now - self._looked < LOOK_SECONDS:
            return
        self._looked = now
        holding = list(self._holding(now))
        self._since = {c.key: self._since.get(c.key, now) for c in holding}
        known = {alarm.key: alarm for alarm in self._store.open()}
        seen = {key: alarm.seen_at for key, alarm in known.items()}
        change = changes(holding, self._since, seen, now, self._waits)
        for condition in change.opened:
            self._open(condition, now)
        for condition in change.held:
            if not 0 <= now - seen[condition.key] < NOTE_SECONDS:
                self._store.note(condition, now)
        for key in change.closed:
            self._close(known[key], now)

    def _holding(self, now: float) -> Iterable[HubCondition]:
        yield from of_checks(self._checks(), self._errors())
        for failing in self._failing():
            yield from of_destination(failing, now, self._waits.delivery_seconds)
        fleets, rows = self._read(now)
        for counts in fleets:
            version = self._monitoring.serving(counts.model)
            yield from of_fleet(replace(counts, version=version), self._limits(counts.model))
        for worn in rows:
            yield from of_rows(worn, self._limits(worn.model))

    def _limits(self, model: str) -> AlarmPolicy:
        try:
            return self._registry.policy(model).alarms
        except Invalid:  # by another version of the hub; its defaults are better than no alarm
            return AlarmPolicy()

    def _read(self, now: float) -> tuple[list[FleetCounts], list[WornRows]]:
        if not 0 <= now - self._facts_at < self._facts_wait:
            begun = time.monotonic()
            fleets = fleet_counts(self._engine, now, lambda name: self._limits(name).stuck_seconds)
            self._facts = (fleets, worn_rows(self._engine, now))
            self._facts_at = now
            self._facts_wait = max(FACT_SECONDS, FACT_SHARE * (time.monotonic() - begun))
        return self._facts

    def _open(self, condition: HubCondition, now: float) -> None:
        with transaction(self._engine):
            self._store.add(condition, now)
            self._note("hub", "alarm", condition)
        log.warning("alarm: %s; %s", condition.says, condition.todo)

    def _close(self, alarm: HubAlarm, now: float) -> None:
        with transaction(self._engine):
            self._store.close(alarm.key, now)
            self._note("hub", "alarm closed", alarm)
        log.info("alarm closed: %s", alarm.says)

    def _note(self, actor: str, done: str, what: HubCondition | HubAlarm) -> None:
        detail: dict[str, Any] = {
            "alarm": what.key, "of": what.kind, "says": what.says, "version": what.version,
        }  # fmt: skip
        if done == "alarm":
            more = {"severity": what.severity, "todo": what.todo, "evidence": dict(what.evidence)}
            detail |= more
        self._audit.record(actor, done, what.model, detail)

    def all(self, model: str | None = None, *, past: int = 0) -> list[HubAlarm]:
        """Return open alarms, oldest first.

        Args:
            model: that they concern; default all, those of the hub included.
            past: closed ones besides, the newest so many.
        """
        found = [*self._store.open(), *(self._store.past(past) if past else ())]
        found = [alarm for alarm in found if model is None or alarm.model == model]
        for name in self._registry.models() if model is None else [model]:
            found += map(_of_monitoring, self._monitoring.alarms(name))
        return sorted(found, key=lambda alarm: alarm.opened_at)

    def unseen(self) -> set[tuple[str | None, str]]:
        """Return model and kind of open alarms of the hub that nobody has acknowledged."""
        return {(a.model, a.kind) for a in self._store.open() if a.acknowledged_at is None}

    def models_of(self, key: str) -> tuple[str, ...]:
        """Return the models that an alarm is about; none for the hub's own, and unknown ones."""
        if key.startswith(MONITOR):
            return (key.removeprefix(MONITOR).partition(":")[0],)
        return tuple(a.model for a in self._store.open() if a.key == key and a.model is not None)

    def acknowledge(self, key: str, *, actor: str) -> None:
        """Acknowledge an open alarm: somebody has seen it, and it is not told again.

        Args:
            key: of the alarm.
            actor: who has.

        Raises:
            NotFound: no such alarm is open.
        """
        if key.startswith(MONITOR):
            model, _, signal = key.removeprefix(MONITOR).partition(":")
            if model not in self._registry.models():
                raise NotFound(f"{key}: no such alarm is open")
            self._monitoring.acknowledge(model, signal, actor=actor)
            return
        known = {alarm.key: alarm for alarm in self._store.open()}
        if key not in known:
            raise NotFound(f"{key}: no such alarm is open; edge-hub alarms list")
        with transaction(self._engine):
            if self._store.acknowledge(key, actor, time.time()):
                self._note(actor, "alarm acknowledged", known[key])


def _of_monitoring(alarm: Alarm) -> HubAlarm:
    """Return an alarm of monitoring as one of the list."""
    severity = "critical" if alarm.kind == "refused" else "warning"
    what = signal_name(alarm.signal)
    says = what if alarm.expected is None else f"{what}; {alarm.expected}"
    todo = TODO.get(alarm.kind, "edge-hub monitor status MODEL, then acknowledge it")
    return HubAlarm(
        f"{MONITOR}{alarm.model}:{alarm.signal}", alarm.kind,
        severity if alarm.expected is None else "info", says, todo.replace("MODEL", alarm.model),
        alarm.evidence, alarm.raised_at, alarm.seen_at, alarm.model, alarm.version,
        alarm.acknowledged_at, alarm.acknowledged_by,
    )  # fmt: skip
