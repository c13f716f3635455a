"""Loads the history of one model from the reports of its devices."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import Final

from sqlalchemy import Engine, func, select

from cloud_hub.calendar.occurrence import Occurrence
from cloud_hub.fleet.tables import devices
from cloud_hub.monitoring.store import MonitoringStore
from cloud_hub.plans.error_bound import largest_error
from cloud_hub.plans.stored import plans_after
from cloud_hub.registry.service import Registry
from cloud_hub.statistics.influence import device_factors
from cloud_hub.telemetry.groups import GroupSums
from cloud_hub.telemetry.tables import ROLLED, feedback, samples
from cloud_hub.triggers.batches import LabelBatches
from cloud_hub.triggers.facts import (
    ErrorCounts,
    LabelCounts,
    OpenAlarm,
    ServingHistory,
    VersionFacts,
)

MINUTE: Final = 60
"""Seconds over which shared rows are counted together."""


class Histories:
    """Loads the :class:`ServingHistory` of a model."""

    def __init__(self, engine: Engine, registry: Registry) -> None:
        self._engine = engine
        self._registry = registry
        self._alarms = MonitoringStore(engine)
        self._sums = GroupSums(engine)
        self._served: dict[str, tuple[int, tuple[tuple[float, str], ...]]] = {}

    def load(
        self,
        model: str,
        *,
        since: float,
        lag: float = 0.0,
        by: Collection[str] = (),
        lookback: float = 0.0,
        days: tuple[Occurrence, ...] = (),
    ) -> ServingHistory:
        """Return what rules need to be judged at any moment from ``since`` on.

        Args:
            model: name of the model.
            since: first moment, Unix seconds.
            lag: seconds after the start of its window at which a count is available at the
                earliest.
            by: columns and attributes whose groups rules look at.
            lookback: seconds before ``since`` from which on batches of labels are loaded; 0 if no
                rule looks at labels.
            days: rare ones, which some rules wait for.
        """
        served = self._timeline(model)
        # A version that another one replaced before ``since`` is not needed.
        ends = [*(at for at, _ in served[1:]), float("inf")]
        names = {name for (_, name), end in zip(served, ends, strict=False) if end > since}
        versions = {name: self._version(model, name, lag, by) for name in names}
        if lookback > 0:
            batches = LabelBatches(self._engine, self._sums, lag, since - lookback)
            for name, version in versions.items():
                rows = self._columns(model, name) & set(by)
                loaded = batches.load(model, name, columns=rows, attributes=set(by) - rows)
                versions[name] = replace(version, batches=loaded)
        oldest = min((v.published_at for v in versions.values()), default=since)
        return ServingHistory(served, versions, self._sampled(model, oldest, lag), days)

    def _version(self, model: str, name: str, lag: float, by: Collection[str]) -> VersionFacts:
        record = self._registry.version(model, name)
        alarms = self._alarms.alarms(model, version=name, open_only=False)
        largest = self._largest(model, name)
        return VersionFacts(
            name,
            record.published_at,
            record.rows,
            labels=self._labels(model, name, lag),
            alarms=tuple(
                OpenAlarm(a.signal, a.kind, a.raised_at, a.acknowledged_at, a.evidence, a.expected)
                for a in alarms
            ),
            groups={each: self._groups(model, name, lag, each) for each in by},
            errors=self._errors(model, name, lag, largest) if largest is not None else (),
            largest_error=largest,
        )

    def _groups(
        self, model: str, version: str, lag: float, by: str
    ) -> dict[str, tuple[LabelCounts, ...]]:
        """Late labels by group: of rows if the release declares such a column, else of devices."""
        of_rows = by in self._columns(model, version)
        counts: dict[str, dict[int, tuple[int, int]]] = {}
        for group, start, n, right in (
            self._of_rows(model, version, by) if of_rows else self._of_devices(model, version, by)
        ):
            windows = counts.setdefault(group, {})
            labelled, correct = windows.get(start, (0, 0))
            windows[start] = (labelled + n, correct + right)
        return {
            group: tuple(LabelCounts(start, *pair, start + lag) for start, pair in windows.items())
            for group, windows in counts.items()
        }

    def _columns(self, model: str, version: str) -> set[str]:
        """Return the columns that define groups of rows."""
        declared = self._registry.release(model, version).manifest.groups
        return {column.name for column in declared}

    def _of_rows(self, model: str, version: str, by: str) -> Iterator[tuple[str, int, int, int]]:
        for row in self._sums.windows(model, version):
            if row.column == by and row.labelled:
                yield row.group, row.start, row.labelled, row.correct

    def _of_devices(self, model: str, version: str, by: str) -> Iterator[tuple[str, int, int, int]]:
        """By attribute of the device; rows that were rolled up have no device any more."""
        f, d = feedback.c, devices.c
        query = (
            select(d.attributes, f.start, func.sum(f.own_labelled), func.sum(f.own_correct))
            .join(feedback, (f.device == d.device) & (f.model == d.model))
            .where(f.model == model, f.version == version)
            .group_by(d.device, d.model, f.start)  # PostgreSQL asks for the whole key
            .order_by(f.start)
        )
        with self._engine.connect() as db:
            for attributes, start, n, right in db.execute(query).all():
                if by in attributes:
                    yield attributes[by], start, int(n), int(right)

    def _labels(self, model: str, version: str, lag: float) -> tuple[LabelCounts, ...]:
        """Late labels by window, no device above what it may weigh in it."""
        f = feedback.c
        query = (
            select(f.start, f.device, func.sum(f.own_labelled), func.sum(f.own_correct))
            .where(f.model == model, f.version == version)
            .group_by(f.start, f.device)
            .order_by(f.start)
        )
        windows: dict[int, dict[str, tuple[int, int]]] = {}
        with self._engine.connect() as db:
            for start, device, n, right in db.execute(query):
                windows.setdefault(start, {})[device] = (int(n), int(right))
        return tuple(
            LabelCounts(start, *_weighed(devices), start + lag)
            for start, devices in windows.items()
        )

    def _largest(self, model: str, version: str) -> float | None:
        """The largest error that counts, as plans under which the version serves have it."""
        declared = self._registry.policy(model).reporting.largest_error
        release = self._registry.release(model, version)
        if declared is not None or release.manifest.task != "regression":
            return declared
        return largest_error(release.profile(), release.manifest.metrics.get("score"))

    def _errors(
        self, model: str, version: str, lag: float, largest: float
    ) -> tuple[ErrorCounts, ...]:
        """Errors by window, no device above what it may weigh in it."""
        f = feedback.c
        query = (
            select(f.start, f.device, func.sum(f.measured), func.sum(f.error_sum))
            .where(f.model == model, f.version == version, f.measured > 0)
            .group_by(f.start, f.device)
            .order_by(f.start)
        )
        windows: dict[int, dict[str, tuple[int, float]]] = {}
        with self._engine.connect() as db:
            for start, device, n, total in db.execute(query):
                # Cut again: labels of before the bound was lowered were cut at the old one.
                windows.setdefault(start, {})[device] = (int(n), min(total / largest, int(n)))
        return tuple(
            ErrorCounts(start, *_sums(devices), start + lag) for start, devices in windows.items()
        )

    def _sampled(self, model: str, since: float, lag: float) -> list[tuple[float, int]]:
        """Count shared rows by minute; a minute that had begun counts from its first row on."""
        s = samples.c
        first = func.min(s.taken)
        query = (
            select(first, func.count())
            .where(s.model == model, s.taken >= since)
            .group_by(s.taken - s.taken % MINUTE)
            .order_by(first)
        )
        with self._engine.connect() as db:
            return [(at + lag, int(n)) for at, n in db.execute(query)]

    def _timeline(self, model: str) -> tuple[tuple[float, str], ...]:
        """Return (since when, version) of everything that served; each plan is read once."""
        serial, served = self._served.get(model, (0, ()))
        with self._engine.connect() as db:
            added = plans_after(db, model, serial)
        for stored in added:
            version = json.loads(stored.text)["serving"]["version"]
            # A new plan with the same version (another policy) is no new serving time.
            if not served or served[-1][1] != version:
                served = (*served, (stored.at, version))
            serial = stored.serial
        self._served[model] = (serial, served)
        return served


def _weighed(devices: Mapping[str, tuple[int, int]]) -> tuple[int, int]:
    """Sum of (labelled, correct) of devices, none above what it may weigh."""
    labelled, correct = _sums(devices)
    return round(labelled), round(correct)


def _sums(devices: Mapping[str, tuple[int, float]]) -> tuple[float, float]:
    # A row that was rolled up is of many devices, which nobody can tell apart any more.
    factors = device_factors({d: n for d, (n, _) in devices.items() if d != ROLLED})
    count = total = 0.0
    for device, (n, part) in devices.items():
        factor = factors.get(device, 1.0)
        count, total = count + n * factor, total + part * factor
    return count, total
