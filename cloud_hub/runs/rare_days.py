"""Rare days in a run: the rows that it gets, the mark on what it makes, and its end with the day.

A run on a rare day is trained on rows of that day; while they are too few, also on those of the
last one like it. No longer, for no two are quite alike, and the day's own rows must be able to say
so. Any other run gets no rows of rare days: what is true on one of them misleads on all others.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from cloud_hub.calendar.occurrence import Occurrence, last_before, open_at, spans
from cloud_hub.data.validation.origins import CappedRows, capped
from cloud_hub.runs.evaluation import evaluate_apart
from cloud_hub.runs.jobs import held_back

if TYPE_CHECKING:
    from cloud_hub.data.dataset import Dataset
    from cloud_hub.isolation.workers import Workers
    from cloud_hub.policy.schema.sections import Policy
    from cloud_hub.registry.service import Registry
    from cloud_hub.runs.gate import Check
    from cloud_hub.runs.offline import OfflineGate
    from cloud_hub.runs.store import RunRecord
    from cloud_hub.rush.store import RushMark, RushStore
    from cloud_hub.telemetry.service import Telemetry

DAY: Final = 86_400.0
BACK: Final = 400 * DAY
"""Seconds back in which the last such day is looked for: a year, and the days that it may move."""

NORMAL_DAYS: Final = 28
"""Days before a rare one whose rows count as normal data."""


class RunDays:
    """Rare days as far as runs meet them."""

    def __init__(self, registry: Registry, telemetry: Telemetry, marks: RushStore) -> None:
        self._registry = registry
        self._telemetry = telemetry
        self._marks = marks

    def rows(self, run: RunRecord, now: float) -> CappedRows | None:
        """Return the fresh rows of a run that would begin now (Unix seconds); ``None`` if none.

        Without what devices gave above their cap: one alone must not make them enough.
        """
        policy = self._registry.policy(run.model)
        found = policy.calendar.occurrences(now - BACK, now + 1)
        today = open_at(found, now)
        if today is None:
            fresh = self._telemetry.samples(run.model, since=run.since, without=spans(found))
            return self._capped(fresh, policy, run.model)
        # Of the day alone, whatever asked for the run: rows of before are of other days.
        fresh = self._telemetry.samples(run.model, since=today.begin)
        taken = self._capped(fresh, policy, run.model)
        last = last_before(found, today)
        needed = policy.train.minimum_samples if policy.train is not None else 0
        if last is None or (taken is not None and len(taken) >= needed):
            return taken
        both = self._telemetry.samples(run.model, since=today.begin, also=[(last.begin, last.end)])
        return self._capped(both, policy, run.model)

    def _capped(self, fresh: Dataset | None, policy: Policy, model: str) -> CappedRows | None:
        return None if fresh is None else _capped(fresh, policy, self._telemetry, model)

    def trained_on(self, run: RunRecord) -> Occurrence | None:
        """Return the rare day on which a run began to train, if there was one."""
        if run.until is None:
            return None
        found = self._registry.policy(run.model).calendar.occurrences(run.until, run.until + 1)
        return open_at(found, run.until)

    def since(self, run: RunRecord) -> float:
        """Return the begin of the rows that a run was given, but for those of the last such day."""
        day = self.trained_on(run)
        return run.since if day is None else day.begin

    def over(self, run: RunRecord, now: float) -> str:
        """Say that the day for which a run was asked, or on which it trained, is over; else empty.

        Args:
            run: that waits or trains.
            now: Unix seconds.
        """
        if run.repeats is not None:
            return ""  # it makes bytes once more, which nobody is given
        day = self.trained_on(run)
        if day is not None:
            return f"the {day.title} is over, for which it was trained" if day.end <= now else ""
        if run.until is not None or any(cause.kind != "day" for cause in run.causes):
            return ""
        found = self._registry.policy(run.model).calendar.occurrences(now, now + 1)
        return "" if open_at(found, now) else "the day is over, for which it was asked"

    def forgetting(self, run: RunRecord) -> float | None:
        """Return how much the gate lets a run of a rare day forget; ``None`` as any other."""
        day = self.trained_on(run)
        declared = self._registry.policy(run.model).calendar.day(day.day) if day else None
        return declared.max_forgetting if declared is not None else None

    def mark(self, run: RunRecord, serving: str, now: float) -> None:
        """Mark the version of a run that trained on a rare day.

        Args:
            run: whose version is about to be published.
            serving: the version that serves.
            now: Unix seconds.
        """
        day = self.trained_on(run)
        if day is not None and run.version is not None:
            self._marks.mark(run.model, run.version, day, serving=serving, run=run.id, now=now)


class NormalComparison:
    """Compares a version of a rare day with the one before it, on data of other days."""

    def __init__(
        self, registry: Registry, telemetry: Telemetry, gate: OfflineGate, workers: Workers
    ) -> None:
        self._registry = registry
        self._telemetry = telemetry
        self._gate = gate
        self._workers = workers

    def __call__(self, mark: RushMark, now: float) -> list[Check]:
        """Return the gate's checks, with no loss allowed.

        Rows are the holdout, and those that devices shared in the four weeks before the day, as
        far as no run may have trained on them. Runs of the day asked the gate of other rows, so
        they did not wear these.

        Args:
            mark: of the version.
            now: Unix seconds.
        """
        since = mark.begin - NORMAL_DAYS * DAY
        policy = self._registry.policy(mark.model)
        rare = spans(policy.calendar.occurrences(since, mark.begin))
        later = (mark.begin, max(now, mark.end))
        fresh = self._telemetry.samples(mark.model, since=since, without=[*rare, later])
        candidate, before = (
            self._registry.release(mark.model, v) for v in (mark.version, mark.before)
        )
        if fresh is not None:
            fresh = _unseen(_capped(fresh, policy, self._telemetry, mark.model).data)
        gate = replace(
            policy.gate, max_fresh_drop=0.0, max_forgetting=0.0, max_calibration_rise=None,
            max_bytes=None, max_slowdown=None,
        )  # fmt: skip
        return self._gate.compare(
            mark.model, candidate, before, fresh, policy=gate, since=since, until=mark.begin,
            required=False, run=lambda *args: evaluate_apart(self._workers, *args),
        )  # fmt: skip


def _unseen(fresh: Dataset) -> Dataset | None:
    """The rows that every run keeps from training."""
    if fresh.label is None:
        return None
    held = held_back(fresh)
    return fresh.take(held) if held.any() else None


def _capped(fresh: Dataset, policy: Policy, telemetry: Telemetry, model: str) -> CappedRows:
    train = policy.train
    if train is None or not train.validation.enabled:
        return CappedRows(fresh)
    return capped(fresh, train.validation.max_device_share, telemetry.vouchers(model))
