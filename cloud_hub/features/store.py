"""The store of batch features: one SQLite file, with one table of values for each model."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cloud_hub.deferred.libraries import sqlite_utils
from cloud_hub.errors import HubFault
from cloud_hub.features.table import FeatureTable, Value
from edge_sdk.contract.pack import COMPUTED_AT, STALE_AT


@dataclass(frozen=True)
class FeatureInfo:
    """Facts about all of a model's features.

    Attributes:
        defaults: for each column, the value of an entity that is not stored.
        updated_at: Unix seconds.
        expires: Unix seconds after which devices stop using them; ``None`` for never.
        made_of: names what they were made of; empty for what was put by hand.
        published: ``made_of`` of the values that plans named last.
    """

    defaults: dict[str, Value]
    updated_at: float
    expires: int | None
    made_of: str = ""
    published: str = ""


PATIENCE: Final = 60.0
"""Seconds that a writer waits for others."""


class FeatureStore:
    """The features of every model."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(
        self, model: str, table: FeatureTable, *, now: float, expires: int | None, replace: bool,
        made_of: str = "",
    ) -> None:  # fmt: skip
        """Add entities, or overwrite those that are stored; all of it or nothing.

        Args:
            model: whose features they are.
            table: entities and values.
            now: Unix seconds.
            expires: Unix seconds after which devices stop using them; ``None`` for never.
            replace: forget all other entities.
            made_of: names what they were made of.
        """
        columns = dict(table.columns)
        if table.computed_at:
            columns |= {COMPUTED_AT: table.computed_at, STALE_AT: table.stale_at}
        rows = (
            {"entity": entity, "row": json.dumps(dict(zip(columns, values, strict=True)))}
            for entity, *values in zip(table.entities, *columns.values(), strict=True)
        )
        info = {
            "model": model, "defaults": json.dumps(dict(table.defaults)), "updated_at": now,
            "expires": expires, "made_of": made_of, "published": "",
        }  # fmt: skip
        with self._open(writes=True) as db:
            values: Any = db[_values(model)]
            if replace:
                values.drop(ignore=True)
            values.create({"entity": str, "row": str}, pk="entity", if_not_exists=True)
            # By hand: sqlite-utils would commit every hundred rows.
            db.conn.executemany(
                f"INSERT OR REPLACE INTO [{_values(model)}] VALUES (:entity, :row)", rows
            )
            models: Any = db["models"]
            models.insert(info, pk="model", replace=True, alter=True)

    def note_published(self, model: str, made_of: str) -> None:
        """Note that plans name the values that were made of something."""
        with self._open(writes=True) as db:
            db.conn.execute("UPDATE models SET published = ? WHERE model = ?", (made_of, model))

    def info(self, model: str) -> FeatureInfo | None:
        """Return the facts about a model's features; ``None`` if it has none."""
        with self._open() as db:
            if not db["models"].exists():
                return None
            row = next(db["models"].rows_where("model = ?", [model]), None)
        if row is None:
            return None
        # Files of earlier hubs do not say what they were made of.
        made_of, published = row.get("made_of") or "", row.get("published") or ""
        defaults = json.loads(row["defaults"])
        return FeatureInfo(defaults, row["updated_at"], row["expires"], made_of, published)

    def count(self, model: str) -> int:
        """Return the number of entities."""
        with self._open() as db:
            return int(db[_values(model)].count) if db[_values(model)].exists() else 0

    def row(self, model: str, entity: str) -> dict[str, Value] | None:
        """Return the values of one entity by column; ``None`` if it is not stored."""
        with self._open() as db:
            if not db[_values(model)].exists():
                return None
            found = next(db[_values(model)].rows_where("entity = ?", [entity]), None)
        return None if found is None else dict(json.loads(found["row"]))

    def table(self, model: str) -> FeatureTable | None:
        """Return all features, entities in order; ``None`` if there are none."""
        info = self.info(model)
        if info is None:
            return None
        with self._open() as db:
            stored = list(db[_values(model)].rows_where(order_by="entity"))
        rows = [json.loads(row["row"]) for row in stored]
        aged = bool(rows) and all(COMPUTED_AT in row for row in rows)
        return FeatureTable(
            tuple(row["entity"] for row in stored),
            {name: tuple(row[name] for row in rows) for name in info.defaults},
            info.defaults,
            tuple(row[COMPUTED_AT] for row in rows) if aged else (),
            tuple(row[STALE_AT] for row in rows) if aged else (),
        )

    @contextmanager
    def _open(self, *, writes: bool = False) -> Iterator[sqlite_utils.Database]:
        """Open the file; what is written is kept whole at the end, or not at all."""
        try:
            connection = sqlite3.connect(self._path, timeout=PATIENCE, isolation_level=None)
            try:
                if writes:  # waits for its turn now: later, what was read could be old
                    connection.execute("BEGIN IMMEDIATE")
                yield sqlite_utils.Database(connection)
                if connection.in_transaction:
                    connection.execute("COMMIT")
            finally:
                connection.close()
        except sqlite3.Error as error:  # a full disk, a damaged file
            raise HubFault(f"features: {self._path.name} is of no use; {error}") from error


def _values(model: str) -> str:
    return f"features-{model}"
