"""What models cost: read from the ledger, the steps of runs, and the reports of devices."""

from __future__ import annotations

import functools
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, select

from cloud_hub.api.artifact_response import SentElsewhere
from cloud_hub.cost.amounts import (
    Amounts,
    CostKind,
    CostRow,
    Money,
    Savings,
    StoredBytes,
    added,
    by_day,
    by_subject,
    day_of,
    of_trial,
    priced,
    saved,
)
from cloud_hub.cost.ledger import CostLedger
from cloud_hub.cost.prices import read_prices
from cloud_hub.cost.tables import costs
from cloud_hub.database.engine import reading
from cloud_hub.registry.tables import versions
from cloud_hub.runs.steps.tables import run_steps

if TYPE_CHECKING:
    from fastapi import Response

    from cloud_hub.batch.record import GenerationRecord
    from cloud_hub.cost.prices import PriceTable
    from cloud_hub.experiments.service import Experiments
    from cloud_hub.forms.service import Forms
    from cloud_hub.packs.service import Packs
    from cloud_hub.registry.service import Registry
    from cloud_hub.telemetry.service import Telemetry


@dataclass(frozen=True)
class CostReport:
    """What a model cost from ``since`` to ``until`` (Unix seconds), by whole days of UTC.

    Attributes:
        model: name of the line.
        since: of the first day.
        until: when it was asked.
        currency: of all money; empty where there are no prices.
        amounts: of all.
        money: what they cost, ``None`` without prices.
        days: amounts by date.
        versions: amounts by version; empty for what is of no one version.
        runs: amounts by number.
        batches: amounts by number of the generation.
        experiments: amounts of the candidates while each ran, by id.
        stored: bytes at the moment.
        stored_month: what they cost a month.
        saved: calls of the cloud that were not needed.
    """

    model: str
    since: float
    until: float
    currency: str
    amounts: Amounts
    money: Money | None
    days: Mapping[str, Amounts]
    versions: Mapping[str, Amounts]
    runs: Mapping[str, Amounts]
    batches: Mapping[str, Amounts]
    experiments: Mapping[str, Amounts]
    stored: StoredBytes
    stored_month: float | None
    saved: Savings


class ModelCosts:
    """Costs of all models.

    Args:
        data: folder of the hub, which has its prices.
        engine: of its database.
        registry: releases and policies.
        packs: that were built.
        forms: in which files are sent.
        telemetry: what devices report.
        experiments: whose candidates are told.
    """

    def __init__(
        self,
        data: Path,
        engine: Engine,
        registry: Registry,
        packs: Packs,
        forms: Forms,
        telemetry: Telemetry,
        experiments: Experiments,
    ) -> None:
        self._data, self._engine, self._registry = data, engine, registry
        self._packs, self._forms = packs, forms
        self._telemetry, self._experiments = telemetry, experiments
        self.ledger = CostLedger(engine)
        self.note = self.ledger.note

    def sent(self, path: str, response: Response) -> Response:
        """Note the bytes of an answer with a target or a form, and return the answer.

        A download that breaks off counts whole, and its rest once more. What a bucket sends for
        the hub is not seen here: whoever is sent there is taken to fetch all that they asked for.

        Args:
            path: of the target, or the digest of the release that a form is of.
            response: to a device.
        """
        length = response.headers.get("Content-Length", "")
        if isinstance(response, SentElsewhere):
            self.note_sent(path, response.most, "bucket_bytes")
        elif response.status_code in (200, 206) and length.isdecimal():
            self.note_sent(path, int(length))
        return response

    def note_sent(self, path: str, length: int, kind: CostKind = "bytes_sent") -> None:
        """Note the bytes of an answer; see :meth:`sent`."""
        model, version = self._owner(path) if length else ("", "")
        if model:
            self.note(kind, model, version, length)

    def computed(self, record: GenerationRecord, core_seconds: float) -> None:
        """Note the processor time of a generation of batch predictions."""
        # A model in the cloud may answer for it, whose versions are another line's.
        version = record.version if record.line == record.model else ""
        subject = f"batch {record.id}"
        self.note("batch_core_seconds", record.model, version, core_seconds, subject=subject)

    def report(self, model: str, since: float, now: float | None = None) -> CostReport:
        """Return what a model cost.

        Args:
            model: name of the line.
            since: Unix seconds; the whole day counts.
            now: Unix seconds.

        Raises:
            Invalid: the file of prices is no such file.
        """
        now = time.time() if now is None else now
        self.ledger.flush()
        rows = [row for row in self._rows(model, since) if row.day <= day_of(now)]
        prices, amounts, stored = read_prices(self._data), added(rows), self._stored(model)
        of_versions = {row.version for row in rows}
        return CostReport(
            model, since, now, prices.currency if prices else "", amounts,
            priced(amounts, prices) if prices else None, by_day(rows),
            {name: added(r for r in rows if r.version == name) for name in sorted(of_versions)},
            {str(number): each for number, each in by_subject(rows, "run").items()},
            {str(number): each for number, each in by_subject(rows, "batch").items()},
            self._trials(model, rows, since, now), stored, _month(stored, prices),
            self._saved(model, since, prices),
        )  # fmt: skip

    def _rows(self, model: str, since: float) -> list[CostRow]:
        c = costs.c
        query = select(c.day, c.version, c.kind, c.subject, c.amount)
        query = query.where(c.model == model, c.day >= day_of(since))
        with reading(self._engine) as db:
            found = [CostRow(**row) for row in db.execute(query).mappings()]
            return [*found, *self._of_runs(db, model, since)]

    def _of_runs(self, db: Connection, model: str, since: float) -> Iterator[CostRow]:
        """Yield the processor time of each step, as its worker's resource usage said."""
        s = run_steps.c
        query = select(s.run, s.began_at, s.resources, s.status)
        query = query.where(s.model == model, s.began_at >= day_of(since) * 86_400)
        for row in db.execute(query):
            seconds = row.resources.get("cpu_seconds")
            # A step that an attempt took over from the one before was paid for once.
            if row.status != "reused" and isinstance(seconds, int | float):
                yield CostRow(
                    day_of(row.began_at), "", "training_core_seconds", f"run {row.run}",
                    max(0.0, float(seconds)),
                )  # fmt: skip

    def _trials(
        self, model: str, rows: list[CostRow], since: float, now: float
    ) -> dict[str, Amounts]:
        found: dict[str, Amounts] = {}
        for record in self._experiments.records(model):
            ended = record.ended_at if record.ended_at is not None else now
            if ended >= since:
                tried = {record.candidate, *(arm.version for arm in record.spec.tried)}
                found[record.id] = of_trial(rows, tried, record.started_at, ended)
        return found

    def _stored(self, model: str) -> StoredBytes:
        files: dict[str, int] = {}
        for record in self._registry.versions(model):
            files.update(self._files(model, record.version, record.manifest))
        packs = {record.sha256: record.length for record in self._packs.records(model)}
        forms = sum(record.length for record in self._forms.records(model))
        return StoredBytes(sum(files.values()), sum(packs.values()), forms)

    def _files(self, model: str, version: str, manifest: str) -> Mapping[str, int]:
        return _lengths(self._registry, model, version, manifest)

    def _saved(self, model: str, since: float, prices: PriceTable | None) -> Savings:
        policy, counts = self._registry.policy(model), Counter[str]()
        for window in self._telemetry.windows(model, since=since):
            counts.update(window.predictions)
        asks = policy.cloud is not None and policy.cascade.mode != "local"
        return saved(counts, asks_cloud=asks, prices=prices)

    def _owner(self, path: str) -> tuple[str, str]:
        """Return model and version of a target's path or a manifest's digest; empty if unknown."""
        parts = path.split("/")
        if parts[0] == "models" and len(parts) == 4:
            return parts[1], parts[2]
        if parts[0] == "packs" and len(parts) == 3:
            return parts[1], ""
        return self._of_manifest(path) if len(parts) == 1 else ("", "")

    @functools.lru_cache(maxsize=1_024)  # noqa: B019 (one for the hub, which lives as long)
    def _of_manifest(self, digest: str) -> tuple[str, str]:
        query = select(versions.c.model, versions.c.version).where(versions.c.manifest == digest)
        with reading(self._engine) as db:
            row = db.execute(query).first()
        return ("", "") if row is None else (row.model, row.version)


@functools.lru_cache(maxsize=1_024)
def _lengths(registry: Registry, model: str, version: str, manifest: str) -> Mapping[str, int]:
    """Return the bytes of a release's files by digest; a manifest binds them, so it is read once.

    Args:
        registry: that has the release.
        model: name of the line.
        version: of it.
        manifest: its digest.
    """
    files = registry.release(model, version).manifest.files
    return {ref.sha256: ref.length for ref in files.values()}


def _month(stored: StoredBytes, prices: PriceTable | None) -> float | None:
    if prices is None or prices.gigabyte_month is None:
        return None
    return prices.gigabyte_month * stored.whole / 1e9
