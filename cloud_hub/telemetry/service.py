"""Questions about what devices reported. Reports merge by addition."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Engine, Select, func, select

from cloud_hub.registry.per_model import for_each
from cloud_hub.registry.service import Dataset, Registry
from cloud_hub.telemetry import retention
from cloud_hub.telemetry.histograms import Histograms, added, histograms_of
from cloud_hub.telemetry.ingest import Ingest
from cloud_hub.telemetry.sink import ExposureSink
from cloud_hub.telemetry.tables import (
    ROLLED,
    events,
    feedback,
    reports,
    samples,
    totals,
    votes,
)
from edge_sdk.contract.messages import Upload, UploadReply
from edge_sdk.contract.window import LATENCY_BINS
from edge_sdk.telemetry.resources import worst

CLEAN_SECONDS: Final = 60.0
AT_ONCE: Final = 500
"""Rows read at once."""


@dataclass(frozen=True)
class ArmOutcomes:
    """Merged counts of an arm: labels of the on-device model's own answers (a cloud that steps in
    does not hide a model that degrades); ``devices`` is how many reported, of what is not rolled
    up yet.
    """

    labelled: int
    correct: int
    predictions: int
    errors: int
    devices: int


class Telemetry:
    """Reports, outcomes, samples, votes and events of all models."""

    def __init__(self, engine: Engine, registry: Registry, record_exposure: ExposureSink) -> None:
        self._engine = engine
        self._registry = registry
        self._ingest = Ingest(engine, registry, record_exposure)
        self._cleaned = 0.0

    def ingest(self, device: str, model: str, upload: Upload) -> UploadReply:
        """Take an upload of ``device``; exactly once however often it comes."""
        return self._ingest.take(device, model, upload)

    def clean(self, now: float) -> None:
        """Roll up and forget what the policies say, every :data:`CLEAN_SECONDS`."""
        if now - self._cleaned < CLEAN_SECONDS:
            return
        self._cleaned = now
        retention.forget_names(self._engine, now)
        for_each(self._registry.models(), lambda model: self._clean(model, now))

    def _clean(self, model: str, now: float) -> None:
        retention.clean(self._engine, model, now, self._registry.policy(model).retention)

    def outcomes(
        self,
        model: str,
        *,
        version: str,
        experiment: str | None = None,
        arm: str | None = None,
        since: float = 0.0,
    ) -> ArmOutcomes:
        """Counts of a version's predictions made since ``since`` (Unix seconds), on one arm."""
        scope = (model, version, experiment, arm, since)
        f, r = feedback.c, reports.c
        labels = select(_sum(f.own_labelled), _sum(f.own_correct))
        counts = select(_sum(r.predictions), _sum(r.failures))
        with self._engine.connect() as db:
            labelled, correct = db.execute(_narrow(labels, feedback, *scope)).one()
            predictions, errors = db.execute(_narrow(counts, reports, *scope)).one()
            each = select(func.count(r.device.distinct())).where(r.device != ROLLED)
            devices = db.execute(_narrow(each, reports, *scope)).scalar() or 0
        return ArmOutcomes(labelled, correct, predictions, errors, devices)

    def histogram_rows(
        self, model: str, version: str, *, since: float = 0.0
    ) -> list[tuple[int, dict[str, list[int]], int]]:
        """(window start, histograms by name, observations) over all devices, in order of time."""
        profile = self._registry.release(model, version).profile()
        names = [f.name for f in (*profile.features, *profile.outputs)]
        query = _narrow(select(reports), reports, model, version, None, None, since)
        found: dict[int, tuple[Histograms, int]] = {}
        for row in self._each(query.where(reports.c.observations > 0)):
            counts = histograms_of(row["body"])
            known, have = found.get(row["start"], (None, 0))
            summed = counts if known is None else added(known, counts)
            found[row["start"]] = (summed, have + row["observations"])
        return [
            (start, {n: c.tolist() for n, c in zip(names, counts, strict=True)}, observations)
            for start, (counts, observations) in sorted(found.items())
        ]

    def windows(self, model: str, *, since: float = 0.0) -> list[dict[str, Any]]:
        """One row for each version, arm and window over all devices, in order of time.

        ``resources`` are those of the device that used most; ``energy`` is the sum of what devices
        with a meter drew, and of their predictions.
        """
        found: dict[tuple[Any, ...], dict[str, Any]] = {}
        query = select(reports).where(reports.c.model == model, reports.c.start >= since)
        for row in self._each(query):
            _add_report(found.setdefault(_window_key(row), _empty_window(row)), row)
        query = select(feedback).where(feedback.c.model == model, feedback.c.start >= since)
        for row in self._each(query):
            window = found.setdefault(_window_key(row), _empty_window(row))
            for name in ("labelled", "correct", "own_labelled", "own_correct"):
                window[name] += row[name]
        ordered = sorted(found.values(), key=lambda w: (w["start"], w["version"], w["arm"]))
        return [_plain_window(window) for window in ordered]

    def samples(self, model: str, *, since: float = 0.0) -> Dataset | None:
        """Labelled rows that devices shared, predicted since ``since``; ``None`` without any."""
        query = select(samples.c.row, samples.c.label).where(
            samples.c.model == model, samples.c.taken >= since
        )
        rows = self._rows(query.order_by(samples.c.id))
        if not rows:
            return None
        values = np.array([row["row"] for row in rows])
        if values.dtype.kind in "fiu":
            values = values.astype(np.float32)
        return Dataset(values, np.array([row["label"] for row in rows]))

    def sample_times(self, model: str, *, since: float = 0.0) -> NDArray[np.float64]:
        """When the rows that :meth:`samples` gives were predicted, Unix seconds, in its order."""
        query = select(samples.c.taken).where(samples.c.model == model, samples.c.taken >= since)
        with self._engine.connect() as db:
            found = list(db.execute(query.order_by(samples.c.id)).scalars())
        return np.array(found, dtype=np.float64)

    def sample_count(self, model: str, *, since: float = 0.0) -> int:
        """How many labelled rows were shared since ``since``."""
        query = select(func.count()).where(samples.c.model == model, samples.c.taken >= since)
        with self._engine.connect() as db:
            return int(db.execute(query).scalar() or 0)

    def voted_keys(self, model: str, *, minimum_devices: int, most: int) -> list[bytes]:
        """Keys that at least ``minimum_devices`` different devices voted for, most wanted first."""
        devices = func.count(votes.c.device.distinct())
        query = (
            select(votes.c.key)
            .where(votes.c.model == model)
            .group_by(votes.c.key)
            .having(devices >= minimum_devices)
            .order_by(devices.desc(), func.count().desc(), votes.c.key)
            .limit(most)
        )
        return [bytes.fromhex(row["key"]) for row in self._rows(query)]

    def predictions_by_device(self, model: str) -> dict[str, int]:
        """How many predictions each device reported, over all versions."""
        r, t = reports.c, totals.c
        recent = select(r.device, _sum(r.predictions).label("made"))
        recent = recent.where(r.model == model, r.device != ROLLED).group_by(r.device)
        found: Counter[str] = Counter()
        for query in (
            recent,
            select(t.device, t.predictions.label("made")).where(t.model == model),
        ):
            for row in self._rows(query):
                found[row["device"]] += row["made"]
        return dict(found)

    def events(
        self, model: str, *, experiment: str | None = None, since: float = 0.0
    ) -> list[dict[str, Any]]:
        """What devices did with releases since ``since`` (Unix seconds), oldest first."""
        query = select(events).where(events.c.model == model, events.c.at >= since)
        query = query.order_by(events.c.id)
        if experiment is not None:
            query = query.where(events.c.experiment == experiment)
        return self._rows(query)

    def _rows(self, query: Select[Any]) -> list[dict[str, Any]]:
        return list(self._each(query))

    def _each(self, query: Select[Any]) -> Iterator[dict[str, Any]]:
        """Row by row: a day of a large fleet is more than belongs in memory."""
        with self._engine.connect() as db:
            found = db.execution_options(yield_per=AT_ONCE).execute(query)
            yield from map(dict, found.mappings())


def _narrow(
    query: Select[Any],
    table: Any,
    model: str,
    version: str,
    experiment: str | None,
    arm: str | None,
    since: float,
) -> Select[Any]:
    query = query.where(table.c.model == model, table.c.version == version, table.c.start >= since)
    if experiment is not None:
        query = query.where(table.c.experiment == experiment)
    return query if arm is None else query.where(table.c.arm == arm)


def _sum(column: Any) -> Any:
    return func.coalesce(func.sum(column), 0)


def _window_key(row: dict[str, Any]) -> tuple[Any, ...]:
    return (row["version"], row["experiment"], row["arm"], row["start"])


def _empty_window(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "version": row["version"],
        "experiment": row["experiment"],
        "arm": row["arm"],
        "start": row["start"],
        "predictions": Counter(),
        "errors": Counter(),
        "lost": Counter(),
        "latency": defaultdict(lambda: np.zeros(LATENCY_BINS, dtype=np.int64)),
        "degraded": 0,
        "labelled": 0,
        "correct": 0,
        "own_labelled": 0,
        "own_correct": 0,
        "resources": {},
        "energy": None,
        "devices": set(),
    }


def _add_report(window: dict[str, Any], row: dict[str, Any]) -> None:
    body = row["body"]
    for name in ("predictions", "errors", "lost"):
        window[name].update(body.get(name, {}))
    for source, counts in body.get("latency", {}).items():
        window["latency"][source] += np.asarray(counts)
    window["degraded"] += body.get("degraded", 0)
    window["resources"] = worst([window["resources"], body.get("resources", {})])
    window["energy"] = retention.merged_energy([window["energy"], body.get("energy")])
    if row["device"] != ROLLED:
        window["devices"].add(row["device"])


def _plain_window(window: dict[str, Any]) -> dict[str, Any]:
    latency = {source: counts.tolist() for source, counts in window["latency"].items()}
    counters = {name: dict(window[name]) for name in ("predictions", "errors", "lost")}
    return {**window, **counters, "latency": latency, "devices": len(window["devices"])}
