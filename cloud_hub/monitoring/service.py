"""Monitoring: evaluates windows as they close, stores their figures, raises alarms.

Each window of a version is evaluated once, some time after its end; reports that arrive later still
count in telemetry, and the labels of late feedback in the score of their prediction's window. An
alarm is latched: it is raised once and stays until somebody acknowledges it, whatever later windows
show.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Engine

from cloud_hub.errors import Conflict, NotFound
from cloud_hub.monitoring import groups, labels, mean_error
from cloud_hub.monitoring.past import DAY
from cloud_hub.monitoring.rare_days import BACK, RareDays
from cloud_hub.monitoring.signals import in_order, why_none
from cloud_hub.monitoring.store import REFUSED, Alarm, FigureRecord, MonitoringStore
from cloud_hub.monitoring.watching import Watcher
from cloud_hub.registry.per_model import ModelTurns
from cloud_hub.statistics.detectors.seasonal import HOUR
from cloud_hub.statistics.detectors.two_samples import forget_signs
from cloud_hub.telemetry.fleet_windows import FleetWindows, StoredFeatureUse
from cloud_hub.telemetry.groups import GroupSums

if TYPE_CHECKING:
    from cloud_hub.database.audit import Audit
    from cloud_hub.datasets.service import Datasets
    from cloud_hub.fleet.service import Fleet
    from cloud_hub.plans.service import Plans
    from cloud_hub.registry.service import Registry

log = logging.getLogger(__name__)

FIGURE_DAYS: Final = 60.0
"""Days that figures are stored."""

LONGEST_WAIT: Final = 60.0
"""Seconds between two looks at a model, however long its windows are."""


@dataclass(frozen=True)
class MonitoringStatus:
    """Monitoring of the serving version: ``watched_to`` is the end of the newest window that was
    evaluated (Unix seconds), ``signals`` are its figures, ``stored_features`` says how fresh those
    of the last day's predictions were.
    """

    version: str
    watched_to: int | None
    alarms: tuple[Alarm, ...]
    signals: tuple[FigureRecord, ...]
    stored_features: StoredFeatureUse


class Monitoring:
    """Monitoring of the serving versions of all models."""

    def __init__(
        self,
        engine: Engine,
        audit: Audit,
        registry: Registry,
        datasets: Datasets,
        plans: Plans,
        fleet: Fleet,
    ) -> None:
        self._audit = audit
        self._registry = registry
        self._datasets = datasets
        self._plans = plans
        self._fleet = fleet
        self._windows = FleetWindows(engine)
        self._sums = GroupSums(engine)
        self._store = MonitoringStore(engine)
        self._looked: dict[str, float] = {}
        self._forgot = 0.0
        self.turns = ModelTurns()

    def tick(self, now: float) -> list[Alarm]:
        """Evaluate the windows that closed since the last tick; return the alarms that were raised.

        Of very many models those that there is no time for have their turn in the next one.

        Raises:
            ExceptionGroup: some models failed; the others had their turn.
        """
        raised: list[Alarm] = []
        if not 0 <= now - self._forgot < HOUR:
            self._forgot = now
            self._store.forget(now - FIGURE_DAYS * DAY)
        try:
            self.turns.for_each(
                self._registry.models(), lambda model: raised.extend(self._due(model, now))
            )
        finally:
            forget_signs()
        return raised

    def _due(self, model: str, now: float) -> list[Alarm]:
        version = self.serving(model)
        # Sooner than a window there is nothing new to evaluate.
        wait = min(self._registry.policy(model).reporting.window_seconds, LONGEST_WAIT)
        if version is None or 0 <= now - self._looked.get(model, 0.0) < wait:
            return []
        self._looked[model] = now
        with self._store.alone():
            return self._watch(model, version, now)

    def _watch(self, model: str, version: str, now: float) -> list[Alarm]:
        open_ = self._store.alarms(model)
        expected = any(alarm.expected for alarm in open_)
        if not self._watcher(model, version, now).watch(now, expected=expected):
            return []
        # Compared by id: the watcher also touches alarms that were open before.
        before = {alarm.id for alarm in open_}
        after = self._store.alarms(model, version=version)
        raised = [alarm for alarm in after if alarm.id not in before]
        for alarm in raised:
            detail = {"signal": alarm.signal, "version": version, "evidence": alarm.evidence}
            detail |= {"expected": alarm.expected} if alarm.expected is not None else {}
            self._audit.record("hub", "alarm", model, detail)
            log.info("%s %s: alarm raised, %s", model, version, alarm.signal)
        return raised

    def raise_alarm(
        self, model: str, version: str, signal: str, evidence: Mapping[str, Any], now: float
    ) -> bool:
        """Raise an alarm that another part of the hub has found; one that is open stays one.

        Args:
            model: name of the model.
            version: of that model.
            signal: ``KIND:NAME``, such as ``skew:orders``.
            evidence: plain JSON.
            now: Unix seconds.

        Returns:
            Whether it is a new one.
        """
        if not self._store.raise_alarm(model, version, signal, evidence, now):
            return False
        detail = {"signal": signal, "version": version, "evidence": dict(evidence)}
        self._audit.record("hub", "alarm", model, detail)
        log.info("%s %s: alarm raised, %s", model, version, signal)
        return True

    def _watcher(self, model: str, version: str, now: float) -> Watcher:
        release = self._registry.release(model, version)
        policy = self._registry.policy(model)
        plan = self._plans.current(model)
        return Watcher(
            self._windows, self._sums, self._store, self._registry, self._datasets, self._fleet,
            release, policy,
            plan.reporting.largest_error if plan is not None else None,
            RareDays(policy.calendar.occurrences(now - BACK, now + 1)),
        )  # fmt: skip

    def serving(self, model: str) -> str | None:
        """Return the version that is monitored: the one that serves."""
        plan = self._plans.current(model)
        return plan.serving.version if plan is not None else None

    def alarms(self, model: str, since: float = 0.0, *, open_only: bool = True) -> list[Alarm]:
        """Return the alarms of the serving version, and of refused ones, oldest first.

        Args:
            model: name of the model.
            since: only those that were alarming in a window that was evaluated then or later, Unix
                seconds.
            open_only: without those that were acknowledged.
        """
        version = self.serving(model)
        if version is None:
            return []
        found = self._store.alarms(model, since=since, open_only=open_only)
        # A version that devices refused does not serve any more, and that is what it is about.
        return [alarm for alarm in found if alarm.version == version or alarm.kind == REFUSED]

    def status(self, model: str) -> MonitoringStatus:
        """Return open alarms, and every signal as the newest window has it; raises NotFound."""
        version = self._must_serve(model)
        state = self._store.state(model, version)
        # Enough for the newest windows of a model with a thousand columns.
        rows = self._store.figures(model, signal=None, version=version, since=0.0, limit=5_000)
        newest = {row.signal: row for row in rows}  # oldest first, so the last one stays
        last = max((row.start for row in rows if row.kind == "drift"), default=None)
        shown = [row for row in newest.values() if row.start == last or row.kind != "drift"]
        return MonitoringStatus(
            version=version,
            watched_to=state.watched_to or None,
            alarms=tuple(self.alarms(model)),
            signals=tuple(in_order(shown, self._names(model, version))),
            stored_features=self._windows.stored_features(model, version, after=time.time() - DAY),
        )

    def history(
        self, model: str, *, signal: str | None = None, since: float = 0.0, limit: int = 1_000
    ) -> list[FigureRecord]:
        """Return figures by signal and window, oldest first.

        Args:
            model: name of the model.
            signal: only of this signal.
            since: only of windows that began then or later, Unix seconds.
            limit: number of rows at most; the newest.

        Raises:
            NotFound: nothing serves, or what serves has no such signal.
        """
        version = self._must_serve(model)
        rows = self._store.figures(model, signal=signal, version=None, since=since, limit=limit)
        if signal is not None and not rows:
            self._expect_signal(model, version, signal)
        return rows

    def acknowledge(self, model: str, signal: str, *, actor: str, rebase: bool = False) -> None:
        """Acknowledge an alarm, so that it may be raised again.

        Args:
            model: name of the model.
            signal: such as ``drift:age``.
            actor: the person.
            rebase: later windows are compared with the newest one (of each device its own), later
                labels with the errors so far.

        Raises:
            NotFound: nothing serves, or the signal has no open alarm.
            Conflict: ``rebase`` of what has no reference to move.
        """
        version = self._must_serve(model)
        open_ = [a for a in self.alarms(model) if a.signal == signal]
        if not open_:
            self._expect_signal(model, version, signal)
            raise NotFound(f"{model}: {signal!r} has no open alarm")
        with self._store.alone():
            if rebase:
                self._rebase(model, version, signal)
            if open_[0].kind == "concept":
                self._restart_concept(model, version, signal, rebase=rebase)
            self._store.acknowledge(model, signal, actor, time.time())
        detail = {"signal": signal, "rebase": rebase}
        self._audit.record(actor, "alarm acknowledged", model, detail)
        log.info("%s %s: alarm cleared, %s, by %s", model, version, signal, actor)

    def _names(self, model: str, version: str) -> list[str]:
        """Columns in the order of the signature, then outputs."""
        profile = self._registry.release(model, version).profile()
        return [each.name for each in (*profile.features, *profile.outputs)]

    def _expect_signal(self, model: str, version: str, signal: str) -> None:
        declared = self._registry.release(model, version).manifest.groups
        names = [
            groups.group_name(column.name, group) for column in declared for group in column.groups
        ]
        why = why_none(signal, self._names(model, version), names)
        if why:
            raise NotFound(f"{model} {version}: {why}")

    def _rebase(self, model: str, version: str, signal: str) -> None:
        kind, _, name = signal.partition(":")
        if kind not in ("drift", "concept"):
            raise Conflict(f"rebase: only drift and concept have a reference, not {signal!r}")
        if kind == "concept":
            return  # its reference is in the state; see _restart_concept
        rows = self._store.figures(model, signal=signal, version=version, since=0.0, limit=1)
        window = self._watcher(model, version, time.time()).load(rows[0].start, rows[0].end)
        if not window.devices:
            raise Conflict(
                f"{signal}: the reports of its newest window were rolled up; wait for the next"
            )
        self._store.set_baseline(model, version, name, window)

    def _restart_concept(self, model: str, version: str, signal: str, *, rebase: bool) -> None:
        state = self._store.state(model, version)
        group = signal.partition(":")[2]
        if signal == mean_error.SIGNAL:
            state.concept.sizes = mean_error.restarted(state.concept.sizes, rebase=rebase)
        elif group in state.concept.groups:
            errors = state.concept.groups[group]
            state.concept.groups[group] = groups.restarted(errors, rebase=rebase)
        else:
            again = labels.rebased if rebase else labels.restarted
            state.concept = again(state.concept)
        self._store.save(model, version, state, [], [], time.time())

    def _must_serve(self, model: str) -> str:
        version = self.serving(model)
        if version is None:
            raise NotFound(f"{model}: nothing serves yet; promote a version first")
        return version
