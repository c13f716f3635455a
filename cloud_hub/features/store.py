"""Where batch features are kept: one SQLite file, one table of values a model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlite_utils

from cloud_hub.features.table import FeatureTable, Value


@dataclass(frozen=True)
class Kept:
    """What is known of a model's features; ``expires`` in Unix seconds, ``None`` for never."""

    defaults: dict[str, Value]
    updated_at: float
    expires: int | None


class FeatureStore:
    """The features of every model."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def keep(
        self, model: str, table: FeatureTable, *, now: float, expires: int | None, replace: bool
    ) -> None:
        """Add entities, or go over what is kept of them; with ``replace`` forget all others."""
        rows = (
            {"entity": entity, "row": json.dumps(dict(zip(table.columns, values, strict=True)))}
            for entity, *values in zip(table.entities, *table.columns.values(), strict=True)
        )
        about = {"model": model, "defaults": json.dumps(dict(table.defaults))}
        with self._open() as db, db.conn:
            values: Any = db[_values(model)]
            if replace:
                values.drop(ignore=True)
            values.create({"entity": str, "row": str}, pk="entity", if_not_exists=True)
            db.conn.executemany(
                f"INSERT OR REPLACE INTO [{_values(model)}] VALUES (:entity, :row)", rows
            )
            known: Any = db["models"]
            known.insert({**about, "updated_at": now, "expires": expires}, pk="model", replace=True)

    def about(self, model: str) -> Kept | None:
        """What is known; ``None`` if nothing was ever given."""
        with self._open() as db:
            if not db["models"].exists():
                return None
            row = next(db["models"].rows_where("model = ?", [model]), None)
        if row is None:
            return None
        return Kept(json.loads(row["defaults"]), row["updated_at"], row["expires"])

    def count(self, model: str) -> int:
        """How many entities there are."""
        with self._open() as db:
            return int(db[_values(model)].count) if db[_values(model)].exists() else 0

    def table(self, model: str) -> FeatureTable | None:
        """All of it, entities in order; ``None`` if nothing was ever given."""
        about = self.about(model)
        if about is None:
            return None
        with self._open() as db:
            found = list(db[_values(model)].rows_where(order_by="entity"))
        rows = [json.loads(row["row"]) for row in found]
        return FeatureTable(
            tuple(row["entity"] for row in found),
            {name: tuple(row[name] for row in rows) for name in about.defaults},
            about.defaults,
        )

    @contextmanager
    def _open(self) -> Iterator[sqlite_utils.Database]:
        db = sqlite_utils.Database(self._path)
        try:
            yield db
        finally:
            db.conn.close()


def _values(model: str) -> str:
    return f"features-{model}"
