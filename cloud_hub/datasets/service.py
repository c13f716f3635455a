"""Versions of datasets: immutable, named ``NAME@N``, by content.

Invariants: a version's rows never change, and its file is stored before its record, so that a kill
leaves at most a file that nothing names. The same content added twice in a row is one version.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
from sqlalchemy import Engine

from cloud_hub.data.columns import kind_of
from cloud_hub.data.dataset import Dataset
from cloud_hub.data.fit import with_texts
from cloud_hub.data.statistics import DatasetStatistics, statistics
from cloud_hub.datasets.acceptance import check_rows
from cloud_hub.datasets.diff import DatasetDiff, differences
from cloud_hub.datasets.records import (
    FRESH,
    DatasetColumn,
    DatasetRecord,
    DatasetRef,
    Use,
    check_dataset_name,
    check_tag,
)
from cloud_hub.datasets.store import DatasetStore
from cloud_hub.errors import Conflict, HubFault, Invalid
from cloud_hub.registry.per_model import for_each

if TYPE_CHECKING:
    from cloud_hub.database.audit import Audit
    from cloud_hub.registry.service import Registry

log = logging.getLogger(__name__)

DAY: Final = 86_400.0
CLEAN_SECONDS: Final = 600.0

SOURCE_LENGTH: Final = 500
"""Characters of the words that say where rows came from."""


class Datasets:
    """Datasets of all models.

    Args:
        engine: of the hub's database.
        audit: where additions and tags are noted.
        registry: models, releases that must take the rows, and the blobs.
    """

    def __init__(self, engine: Engine, audit: Audit, registry: Registry) -> None:
        self._store = DatasetStore(engine)
        self._audit = audit
        self._registry = registry
        self._cleaned = 0.0

    def add(
        self, model: str, name: str, data: Dataset, *, actor: str, source: str = ""
    ) -> DatasetRecord:
        """Store rows as the next version of a dataset.

        Content that the newest version has already is that version. Whole numbers become texts
        where the model's newest version has texts.

        Args:
            model: name of the line; it may be new.
            name: ``train``, ``holdout``, ``catalogue``, or another.
            data: the rows.
            actor: who adds them.
            source: where they came from, in words.

        Raises:
            Invalid: no name, or rows that do not fit it or the model.
            HubFault: the disk takes no more.
        """
        check_dataset_name(name)
        newest_first = reversed(self._registry.versions(model))
        releases = [self._registry.release(model, v.version) for v in newest_first]
        if releases:
            data = with_texts(data, releases[0].manifest.signature.columns)
        check_rows(name, data, releases)
        content = data.fingerprint()
        before = self._store.newest(model, name)
        if before is not None and before.fingerprint == content and before.blob:
            return before
        self._registry.ensure_model(model)
        raw = data.to_bytes()
        since, until = _time_range(data)
        record = self._store.add(
            model, name, statistics(data), fingerprint=content,
            blob=self._stored(raw), bytes=len(raw), rows=len(data),
            columns=_columns(data), since=since, until=until, source=source[:SOURCE_LENGTH],
            added_at=time.time(), actor=actor,
        )  # fmt: skip
        detail = {"dataset": record.ref, "rows": record.rows, "fingerprint": content}
        self._audit.record(actor, "dataset", model, detail)
        log.info("%s: %s of %d rows added by %s", model, record.ref, record.rows, actor)
        return record

    def records(self, model: str, name: str | None = None) -> list[DatasetRecord]:
        """Return all versions of a model's datasets, or of one, oldest first."""
        return self._store.records(model, name)

    def get(self, model: str, ref: str | DatasetRef) -> DatasetRecord:
        """Return one version.

        Args:
            model: name of the line.
            ref: ``NAME`` (the newest), ``NAME@N`` or ``NAME@TAG``.

        Raises:
            NotFound: there is none; names those that exist.
            Invalid: it is no name of a version.
        """
        named = DatasetRef.parse(ref) if isinstance(ref, str) else ref
        return self._store.find(model, named)

    def newest(self, model: str, name: str) -> DatasetRecord | None:
        """Return the newest version of a dataset, ``None`` if there is none."""
        return self._store.newest(model, name)

    def open(self, record: DatasetRecord) -> Dataset:
        """Return the rows of a version.

        Raises:
            Conflict: they were deleted, as the policy's retention says.
            NotFound: their file is gone.
            Invalid: it is damaged.
        """
        if not record.blob:
            raise Conflict(f"{record.model}: the rows of {record.ref} were deleted by retention")
        raw = self._registry.blobs.get(record.blob)
        if hashlib.sha256(raw).hexdigest() != record.blob:
            raise Invalid(
                f"{record.model}: {record.ref}: its file is damaged, it is not what was stored; "
                "add the rows again"
            )
        return Dataset.from_bytes(raw, name=record.ref)

    def _stored(self, raw: bytes) -> str:
        try:
            return self._registry.blobs.put(raw)
        except OSError as error:
            reason = error.strerror or str(error)
            raise HubFault(f"dataset: {len(raw)} bytes cannot be stored; {reason}") from error

    def clean(self, now: float) -> None:
        """Delete shared rows that are older than the policy keeps them; their records stay.

        Every :data:`CLEAN_SECONDS`. Other datasets are somebody's own, and theirs to keep.
        """
        if now - self._cleaned < CLEAN_SECONDS:
            return
        self._cleaned = now
        for_each(self._registry.models(), lambda model: self._clean(model, now))

    def _clean(self, model: str, now: float) -> None:
        oldest = now - self._registry.policy(model).retention.sample_days * DAY
        for record in self._store.records(model, FRESH):
            if record.blob and record.added_at < oldest:
                self._store.forget_rows(record)  # first: no record names a file that is gone
                if not self._store.holders(record.blob):
                    self._registry.blobs.delete(record.blob)
                log.info("%s: the rows of %s were deleted", model, record.ref)

    def rows(self, model: str, name: str) -> Dataset | None:
        """Return the rows of the newest version of a dataset, ``None`` if there is none."""
        record = self._store.newest(model, name)
        return self.open(record) if record is not None and record.blob else None

    def statistics(self, record: DatasetRecord) -> DatasetStatistics | None:
        """Return the statistics of a version; ``None`` where they are not known."""
        return self._store.statistics(record)

    def diff(self, model: str, before: str, after: str) -> DatasetDiff:
        """Return the differences between two versions.

        Raises:
            NotFound: there is no such version.
            Invalid: a name is none.
        """
        old, new = self.get(model, before), self.get(model, after)
        return differences(old, self.statistics(old), new, self.statistics(new))

    def tag(self, model: str, ref: str, tag: str, *, actor: str) -> DatasetRecord:
        """Give a version another name, that another version of the dataset may have had.

        Raises:
            NotFound: there is no such version.
            Invalid: the tag is none.
        """
        check_tag(tag)
        record = self.get(model, ref)
        self._store.tag(record, tag)
        self._audit.record(actor, "dataset tag", model, {"dataset": record.ref, "tag": tag})
        return self.get(model, DatasetRef(record.name, number=record.number))

    def set_uses(self, model: str, version: str, use: Use, refs: Sequence[str]) -> None:
        """Note what a version of a model was trained or judged on, in place of what was noted.

        Args:
            model: name of the line.
            version: of that model.
            use: ``trained`` or ``judged``.
            refs: ``NAME@N`` each.

        Raises:
            NotFound: there is no such version of a dataset.
        """
        records = [self.get(model, ref) for ref in refs]
        numbered = [DatasetRef(record.name, number=record.number) for record in records]
        self._store.set_uses(model, version, use, numbered)

    def uses(self, model: str, version: str | None = None) -> dict[str, dict[Use, list[str]]]:
        """Return what versions of a model were made with, as ``NAME@N`` by use, by version."""
        return self._store.uses(model, version)


def _columns(data: Dataset) -> tuple[DatasetColumn, ...]:
    roles = {column: role for role, column in data.roles.items()}
    return tuple(
        DatasetColumn(field.name, kind_of(field.type), roles.get(field.name))
        for field in data.table.schema
    )


def _time_range(data: Dataset) -> tuple[float | None, float | None]:
    times = data.times
    if times is None:
        return None, None
    known = times[np.isfinite(times)]
    if not len(known):
        raise Invalid(f"dataset: {data.time}: expected times, all of them are missing")
    return float(known.min()), float(known.max())
