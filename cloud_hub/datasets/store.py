"""The tables of datasets: versions, tags, uses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Engine, RowMapping, Select, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from cloud_hub.data.statistics import ColumnStatistics, DatasetStatistics
from cloud_hub.database.documents import as_document, as_documents
from cloud_hub.database.engine import transaction
from cloud_hub.datasets.records import DatasetColumn, DatasetRecord, DatasetRef, Use
from cloud_hub.datasets.tables import dataset_tags, dataset_uses, dataset_versions
from cloud_hub.errors import HubFault, NotFound
from cloud_hub.text.spelling import listed

_RECORD = [column for column in dataset_versions.c if column.name not in ("id", "statistics")]
TRIES = 20
"""How often a number is taken anew, because somebody else added a version at the same moment."""


class DatasetStore:
    """Versions of the datasets of all models."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def records(self, model: str, name: str | None = None) -> list[DatasetRecord]:
        """Return the versions of all datasets of a model, or of one, oldest first."""
        v = dataset_versions.c
        query = select(*_RECORD).where(v.model == model).order_by(v.id)
        return self._records(query if name is None else query.where(v.name == name), model)

    def newest(self, model: str, name: str) -> DatasetRecord | None:
        """Return the newest version of a dataset, ``None`` if there is none."""
        v = dataset_versions.c
        query = select(*_RECORD).where(v.model == model, v.name == name)
        found = self._records(query.order_by(v.number.desc()).limit(1), model)
        return found[0] if found else None

    def find(self, model: str, ref: DatasetRef) -> DatasetRecord:
        """Return the version that a reference names; raises NotFound with those that exist."""
        number = ref.number if ref.tag is None else self._tagged(model, ref)
        records = self.records(model, ref.name)
        if ref.number is None and ref.tag is None and records:
            return records[-1]
        for record in records:
            if record.number == number:
                return record
        there = [record.ref for record in records or self.records(model)]
        raise NotFound(
            f"{model}: no dataset {ref}; "
            + (f"there are {listed(there)}" if there else "edge-hub data add gives it some")
        )

    def statistics(self, record: DatasetRecord) -> DatasetStatistics | None:
        """Return the statistics of a version; ``None`` where they are not known."""
        v = dataset_versions.c
        query = select(v.statistics).where(_is(record))
        with self._engine.connect() as db:
            document = db.execute(query).scalar()
        return _statistics(document) if document else None

    def add(
        self, model: str, name: str, statistics: DatasetStatistics, **row: Any
    ) -> DatasetRecord:
        """Store a version under the next number of its name.

        Args:
            model: line of versions that it is for.
            name: of the dataset.
            statistics: of its rows.
            row: the other fields of a :class:`DatasetRecord`, but its number and parent.
        """
        columns = as_documents(list(row.pop("columns")))
        values = {**row, "columns": columns, "statistics": as_document(statistics)}
        for _ in range(TRIES):
            before = self.newest(model, name)
            parent = None if before is None else before.number
            number = (parent or 0) + 1
            try:
                with transaction(self._engine) as db:
                    db.execute(
                        insert(dataset_versions).values(
                            model=model, name=name, number=number, parent=parent, **values
                        )
                    )
            except IntegrityError:  # two at once: the other one has the number
                continue
            return self.find(model, DatasetRef(name, number=number))
        raise HubFault(f"dataset {name}: too many versions are added at once; try again")

    def tag(self, record: DatasetRecord, tag: str) -> None:
        """Let a tag name a version, and no other of the same dataset any more."""
        t = dataset_tags.c
        where = (t.model == record.model, t.name == record.name, t.tag == tag)
        row = {"model": record.model, "name": record.name, "tag": tag, "number": record.number}
        with transaction(self._engine) as db:
            db.execute(delete(dataset_tags).where(*where))
            db.execute(insert(dataset_tags).values(**row))

    def forget_rows(self, record: DatasetRecord) -> None:
        """Note that the rows of a version were deleted."""
        with transaction(self._engine) as db:
            db.execute(
                update(dataset_versions).where(_is(record)).values(blob="", bytes=0, statistics={})
            )

    def holders(self, blob: str) -> int:
        """Return the number of versions whose rows are in a blob."""
        query = select(func.count()).where(dataset_versions.c.blob == blob)
        with self._engine.connect() as db:
            return int(db.execute(query).scalar() or 0)

    def set_uses(self, model: str, version: str, use: Use, refs: Sequence[DatasetRef]) -> None:
        """Note with which versions of datasets a version of a model was made.

        In place of what was noted: a candidate that was refused leaves its name to the next one.
        """
        u = dataset_uses.c
        key = {"model": model, "version": version, "use": use}
        rows = [{**key, "name": r.name, "number": r.number} for r in sorted(set(refs), key=str)]
        with transaction(self._engine) as db:
            db.execute(
                delete(dataset_uses).where(u.model == model, u.version == version, u.use == use)
            )
            if rows:
                db.execute(insert(dataset_uses), rows)

    def uses(self, model: str, version: str | None = None) -> dict[str, dict[Use, list[str]]]:
        """Return the datasets of each version of a model, as ``NAME@N`` by use."""
        u = dataset_uses.c
        query = select(u.version, u.use, u.name, u.number).where(u.model == model)
        if version is not None:
            query = query.where(u.version == version)
        found: dict[str, dict[Use, list[str]]] = {}
        with self._engine.connect() as db:
            for row in db.execute(query.order_by(u.version, u.use, u.name, u.number)):
                by_use = found.setdefault(row.version, {})
                by_use.setdefault(row.use, []).append(f"{row.name}@{row.number}")
        return found

    def _tagged(self, model: str, ref: DatasetRef) -> int | None:
        t = dataset_tags.c
        query = select(t.number).where(t.model == model, t.name == ref.name, t.tag == ref.tag)
        with self._engine.connect() as db:
            return db.execute(query).scalar()

    def _records(self, query: Select[Any], model: str) -> list[DatasetRecord]:
        with self._engine.connect() as db:
            rows = db.execute(query).mappings().all()
            t = dataset_tags.c
            tagged = db.execute(
                select(t.name, t.number, t.tag).where(t.model == model).order_by(t.tag)
            ).all()
        tags: dict[tuple[str, int], list[str]] = {}
        for name, number, tag in tagged:
            tags.setdefault((name, number), []).append(tag)
        return [_record(row, tags) for row in rows]


def _statistics(document: Any) -> DatasetStatistics:
    lists = ("edges", "values", "counts")
    columns = tuple(
        ColumnStatistics(**{**column, **{name: tuple(column[name]) for name in lists}})
        for column in document["columns"]
    )
    twins = tuple((first, second) for first, second in document["twins"])
    return DatasetStatistics(document["rows"], columns, document["repeated"], twins)


def _is(record: DatasetRecord) -> Any:
    v = dataset_versions.c
    return (v.model == record.model) & (v.name == record.name) & (v.number == record.number)


def _record(row: RowMapping, tags: Mapping[tuple[str, int], Sequence[str]]) -> DatasetRecord:
    columns = tuple(DatasetColumn(**column) for column in row["columns"])
    named = tuple(tags.get((row["name"], row["number"]), ()))
    return DatasetRecord(**{**row, "columns": columns, "tags": named})
