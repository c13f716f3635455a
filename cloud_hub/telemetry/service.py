"""Answers questions about reports of devices. Reports merge by addition."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from sqlalchemy import Engine, RowMapping, Select, Table, func, not_, or_, select

from cloud_hub.calendar.occurrence import Span
from cloud_hub.data.dataset import Dataset
from cloud_hub.data.validation.origins import weights
from cloud_hub.fleet.tables import devices, identities
from cloud_hub.registry.per_model import for_each
from cloud_hub.registry.service import Registry
from cloud_hub.telemetry import retention
from cloud_hub.telemetry.daily_retention import DailyRetention
from cloud_hub.telemetry.histograms import histograms_of
from cloud_hub.telemetry.shared_rows import SharedRow, dataset_of, stackable
from cloud_hub.telemetry.shared_tensors import StoredTensors
from cloud_hub.telemetry.tables import (
    ROLLED,
    events,
    feedback,
    reports,
    samples,
    totals,
    votes,
    window_sums,
)
from cloud_hub.telemetry.windows import VersionWindow, WindowSums
from edge_sdk.telemetry.histograms import HistogramCounts

if TYPE_CHECKING:
    from cloud_hub.database.records import EnrolledDevice
    from cloud_hub.telemetry.intake.ingest import Ingest
    from edge_sdk.contract.manifest import Signature
    from edge_sdk.contract.messages import Upload, UploadReply

CLEAN_SECONDS: Final = 60.0
"""Seconds between two rounds of roll-ups and deletions."""

AT_ONCE: Final = 500
"""Rows read at once."""


@dataclass(frozen=True)
class DeviceEvent:
    """A step of a device with a release: installed, activated, failed, rolled back.

    ``step`` and ``reason`` say where and why it failed; ``at`` is the device's clock, Unix seconds.
    """

    id: int
    device: str
    model: str
    version: str
    outcome: str
    experiment: str | None
    step: str | None
    reason: str | None
    at: int


class Telemetry:
    """Reports, outcomes, samples, votes and events of all models.

    Args:
        engine: of the database.
        registry: knows the releases.
        ingest: takes uploads in.
    """

    def __init__(self, engine: Engine, registry: Registry, ingest: Ingest) -> None:
        self._engine = engine
        self._registry = registry
        self._ingest = ingest
        self.tensors = StoredTensors(engine, registry)
        self._days = DailyRetention(engine)
        self._cleaned = 0.0

    def ingest(self, device: EnrolledDevice, upload: Upload) -> UploadReply:
        """Take an upload, exactly once however often it is sent.

        Args:
            device: that sent it, and its models.
            upload: messages; refused ones are named in the reply.
        """
        return self._ingest.take(device, upload)

    async def ingest_async(self, device: EnrolledDevice, upload: Upload, size: int) -> UploadReply:
        """As :meth:`ingest`, in an event loop.

        Args:
            device: that sent it.
            upload: few messages: opening them keeps other requests waiting.
            size: bytes as which they came.
        """
        return await self._ingest.take_async(device, upload, size)

    def problem(self) -> str:
        """Return why the newest uploads were not stored; empty if they were."""
        return self._ingest.problem()

    def close(self) -> None:
        """Store what waits, and take no more."""
        self._ingest.stop()

    def clean(self, now: float) -> None:
        """Roll up and delete old reports as the policies say, every :data:`CLEAN_SECONDS`."""
        if now - self._cleaned < CLEAN_SECONDS:
            return
        self._cleaned = now  # before the work: a round that fails is not tried again at once
        retention.forget_names(self._engine, now)
        policies = {m: self._registry.policy(m).retention for m in self._registry.models()}
        left = self._days.clean(now, policies)
        for_each(
            policies,
            lambda model: retention.clean(self._engine, model, now, policies[model], left[model]),
        )

    def histogram_rows(
        self, model: str, version: str, *, since: float = 0.0
    ) -> list[tuple[int, dict[str, list[int]], int]]:
        """Return (window start, histograms by name, observations) over all devices, by time.

        Args:
            model: name of the model.
            version: of that model.
            since: only windows that began then or later, Unix seconds.
        """
        profile = self._registry.release(model, version).profile()
        names = [f.name for f in (*profile.features, *profile.outputs)]
        sums: dict[int, HistogramCounts] = {}
        observations: Counter[int] = Counter()
        rows = chain(self._summed(model, since, version), self._older(reports, model, since))
        for row in rows:
            if row["version"] != version or not row["observations"]:
                continue
            start, counts = row["start"], histograms_of(row["body"])
            observations[start] += row["observations"]
            if start in sums:
                sums[start].add(counts)
            else:
                sums[start] = counts
        return [
            (
                start,
                {n: c.tolist() for n, c in zip(names, counts, strict=True)},
                observations[start],
            )
            for start, counts in sorted(sums.items())
        ]

    def fleet_histograms(
        self, model: str, version: str, *, since: float, most: float
    ) -> dict[str, list[int]]:
        """Return histograms by name over all devices, of which none weighs more than its share.

        Args:
            model: name of the model.
            version: of that model.
            since: only windows that began then or later, Unix seconds.
            most: share of all observations that one device may have; what was rolled up has no
                device any more, and counts as it is.
        """
        profile = self._registry.release(model, version).profile()
        r = reports.c
        here = (r.model == model) & (r.version == version) & (r.start >= since)
        here &= (r.observations > 0) & r.device.not_in(_stopped())
        made = select(r.device, func.sum(r.observations).label("made")).where(
            here, r.device != ROLLED
        )
        counts = {row["device"]: int(row["made"]) for row in self._rows(made.group_by(r.device))}
        part = weights(counts, most, self.vouchers(model))
        features = (*profile.features, *profile.outputs)
        whole = HistogramCounts.zeros(features)
        total = np.zeros(whole.flat.shape)
        for row in self._each(select(r.device, r.body).where(here)):
            total += histograms_of(row["body"]).flat * part.get(row["device"], 1.0)
        whole.flat[:] = total.round()
        return {f.name: counts.tolist() for f, counts in zip(features, whole, strict=True)}

    def windows(
        self, model: str, *, since: float = 0.0, limit: int | None = None
    ) -> list[VersionWindow]:
        """Return one row for each version, arm and window over all devices, in order of time.

        Args:
            model: name of the model.
            since: only windows that began then or later, Unix seconds.
            limit: the newest rows only.
        """
        sums = WindowSums()
        for row in self._summed(model, since):
            sums.add_sum(row)
        for row in self._older(reports, model, since):
            sums.add_report(row)
        for row in self._older(feedback, model, since):
            sums.add_feedback(row)
        windows = sums.windows()
        return windows if limit is None else windows[-limit:]

    def device_windows(
        self, model: str, device: str, *, versions: Collection[str], since: float
    ) -> list[VersionWindow]:
        """Return what one device reported, in order of time; nothing of what was rolled up.

        Args:
            model: name of the model.
            device: its name.
            versions: that are meant; the index of reports begins with them.
            since: only windows that began then or later, Unix seconds.
        """
        sums = WindowSums()
        for table, add in ((reports, sums.add_report), (feedback, sums.add_feedback)):
            t = table.c
            for row in self._each(
                _since(table, model, since).where(t.version.in_(versions), t.device == device)
            ):
                add(row)
        return sums.windows()

    def samples(
        self,
        model: str,
        *,
        since: float = 0.0,
        also: Sequence[Span] = (),
        without: Sequence[Span] = (),
    ) -> Dataset | None:
        """Return labelled rows that devices shared; ``None`` if there are none.

        With the time of each row, and the device that shared it. What devices shared that were
        revoked or are stopped does not count.

        Only those with the columns of the newest version among them: others cannot be stacked.

        Args:
            model: name of the model.
            since: those predicted since then, Unix seconds.
            also: earlier times whose rows count too.
            without: times whose rows do not count.
        """
        s = samples.c
        wanted = [s.taken >= since, *((s.taken >= begin) & (s.taken < end) for begin, end in also)]
        refused = [(s.taken >= begin) & (s.taken < end) for begin, end in without]
        query = select(s.version, s.row, s.label, s.taken, s.device)
        query = query.where(s.model == model, or_(*wanted), *(not_(each) for each in refused))
        query = query.where(s.device.not_in(_stopped())).order_by(s.id)

        def signature_of(version: str) -> Signature:
            return self._registry.release(model, version).manifest.signature

        rows, signature = stackable((SharedRow(**row) for row in self._each(query)), signature_of)
        return dataset_of(rows, signature) if rows else None

    def vouchers(self, model: str) -> dict[str, str]:
        """Return who vouched for each device of a model, by its name.

        A token of many uses vouches for all that joined with it; other devices for themselves.
        """
        i = identities.c
        query = select(i.device, i.vouched_by).join(devices, devices.c.device == i.device)
        return {
            r["device"]: r["vouched_by"] for r in self._rows(query.where(devices.c.model == model))
        }

    def voted_keys(self, model: str, *, minimum_devices: int, most: int) -> list[bytes]:
        """Return keys that enough different voters asked for, the one of most voters first.

        Args:
            model: name of the model.
            minimum_devices: voters that must have asked for a key.
            most: number of keys at most.
        """
        # Voters, not votes: one device that asks often must not make its input public. And not
        # devices: whoever holds a token of many uses could be as many of them as they like.
        voters = func.count(identities.c.vouched_by.distinct())
        query = (
            select(votes.c.key)
            .join(identities, identities.c.device == votes.c.device)
            .where(votes.c.model == model, identities.c.standing == "active")
            .group_by(votes.c.key)
            .having(voters >= minimum_devices)
            .order_by(voters.desc(), func.count().desc(), votes.c.key)
            .limit(most)
        )
        return [bytes.fromhex(row["key"]) for row in self._rows(query)]

    def predictions_by_device(self, model: str) -> dict[str, int]:
        """Return the number of predictions that each device reported, over all versions, ever."""
        r, t = reports.c, totals.c
        # Rows that were rolled up have no device; what they had is in ``totals``.
        older = select(r.device, _sum(r.predictions).label("made"))
        older = older.where(r.model == model, r.summed == 0, r.device != ROLLED).group_by(r.device)
        recent = select(t.device, t.predictions.label("made")).where(t.model == model)
        predictions: Counter[str] = Counter()
        for query in (recent, older):
            for row in self._rows(query):
                predictions[row["device"]] += row["made"]
        return dict(predictions)

    def events(
        self,
        model: str,
        *,
        experiment: str | None = None,
        device: str | None = None,
        since: float = 0.0,
        limit: int | None = None,
    ) -> list[DeviceEvent]:
        """Return the steps of devices with releases, in the order in which they were reported.

        Args:
            model: name of the model.
            experiment: only those within it.
            device: only those of it.
            since: only those that happened then or later, Unix seconds.
            limit: the newest only.
        """
        query = select(events).where(events.c.model == model, events.c.at >= since)
        if experiment is not None:
            query = query.where(events.c.experiment == experiment)
        if device is not None:
            query = query.where(events.c.device == device)
        # Newest first for the limit, then back in order.
        rows = self._rows(query.order_by(events.c.id.desc()).limit(limit))
        return [DeviceEvent(**row) for row in reversed(rows)]

    def _summed(self, model: str, since: float, version: str | None = None) -> Iterator[RowMapping]:
        """Rows of sums of windows."""
        query = _since(window_sums, model, since)
        if version is not None:
            query = query.where(window_sums.c.version == version)
        return self._each(query)

    def _older(self, table: Table, model: str, since: float) -> Iterator[RowMapping]:
        """Rows of single devices that an older hub wrote; they are in no sum."""
        return self._each(_since(table, model, since).where(table.c.summed == 0))

    def _rows(self, query: Select[Any]) -> list[RowMapping]:
        return list(self._each(query))

    def _each(self, query: Select[Any]) -> Iterator[RowMapping]:
        """Row by row: a day of a large fleet is more than belongs in memory."""
        with self._engine.connect() as db:
            yield from db.execution_options(yield_per=AT_ONCE).execute(query).mappings()


def _since(table: Table, model: str, since: float) -> Select[Any]:
    return select(table).where(table.c.model == model, table.c.start >= since)


def _stopped() -> Select[Any]:
    return select(identities.c.device).where(identities.c.standing != "active")


def _sum(column: Any) -> Any:
    return func.coalesce(func.sum(column), 0)
