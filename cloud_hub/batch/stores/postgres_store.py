"""Predictions in PostgreSQL: a table for each generation in the schema ``predictions``.

``rows_17`` holds rows, the view ``generation_17`` has them with version and times once they are
complete, and the view ``MODEL/JOB`` is replaced by the newest in one transaction.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from cloud_hub.batch.layout import ENTITY
from cloud_hub.batch.stores.sql_text import declared, literals, quoted, twice_told
from cloud_hub.errors import HubFault, Invalid, NotFound

if TYPE_CHECKING:
    import pyarrow as pa

    from cloud_hub.batch.layout import Layout, Number
    from cloud_hub.batch.stores.store import Stamp

SQL_TYPES: Final[dict[Number, str]] = {
    "string": "text", "int64": "bigint", "float32": "real", "float64": "double precision",
}  # fmt: skip
LONGEST: Final = 63
"""Bytes of a name in PostgreSQL; it cuts off the others in silence."""

PREPARE: Final = """
CREATE SCHEMA IF NOT EXISTS predictions;
CREATE TABLE IF NOT EXISTS predictions.parts (
    generation bigint, part bigint, rows bigint, PRIMARY KEY (generation, part))
"""


class PostgresStore:
    """Tables in the hub's database.

    Args:
        engine: of that database.
    """

    several = True

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def begin(self, place: PurePosixPath, layout: Layout) -> None:
        """Make the table, unless it is there; see :class:`Store`."""
        with self._writing() as db:
            db.execute(text("SELECT pg_advisory_xact_lock(1651667059)"))  # one makes the schema
            db.execute(text(PREPARE))
            columns = declared(layout, SQL_TYPES)
            db.exec_driver_sql(f"CREATE TABLE IF NOT EXISTS {_rows(place)} ({columns})")

    def done(self, place: PurePosixPath) -> Mapping[int, int]:
        """Return the parts that are whole; see :class:`Store`."""
        with self._writing() as db:
            if db.execute(text("SELECT to_regclass('predictions.parts')")).scalar() is None:
                return {}
            query = text("SELECT part, rows FROM predictions.parts WHERE generation = :g")
            return {row[0]: row[1] for row in db.execute(query, {"g": int(place.name)})}

    def write(
        self, place: PurePosixPath, layout: Layout, part: int, batches: Iterable[pa.RecordBatch]
    ) -> int:
        """Copy one part and its mark in one transaction; see :class:`Store`."""
        mark = {"g": int(place.name), "p": part}
        with self._writing() as db:
            new = "INSERT INTO predictions.parts VALUES (:g, :p, 0)"
            db.execute(text(new), mark)
            cursor = db.connection.cursor()
            copy: Any = cursor.copy  # psycopg's own, which SQLAlchemy does not type
            with copy(f"COPY {_rows(place)} FROM STDIN (FORMAT csv)") as target:
                count = sum(_copied(target, batch) for batch in batches)
            whole = "UPDATE predictions.parts SET rows = :n WHERE generation = :g AND part = :p"
            db.execute(text(whole), {**mark, "n": count})
        return count

    def complete(self, place: PurePosixPath, layout: Layout, stamp: Stamp) -> None:
        """Index the entities and make the view; see :class:`Store`."""
        rows, view = _rows(place), _view(place)
        columns = ", ".join(map(quoted, layout.columns))
        constants = ", ".join(f"{literal} AS {name}" for name, literal in literals(stamp))
        index = f"CREATE UNIQUE INDEX IF NOT EXISTS entity_{place.name} ON {rows} ({ENTITY})"
        with self._writing() as db:
            try:
                db.exec_driver_sql(index)
            except IntegrityError:
                db.rollback()
                twice = f"SELECT {ENTITY} FROM {rows} GROUP BY 1 HAVING count(*) > 1 LIMIT 3"
                names = [str(name) for name in db.exec_driver_sql(twice).scalars()]
                raise Invalid(twice_told(names)) from None
            select = f"SELECT {columns}, {constants} FROM {rows}"
            db.exec_driver_sql(f"CREATE OR REPLACE VIEW {view} AS {select}")

    def show(self, place: PurePosixPath, layout: Layout, stamp: Stamp) -> None:
        """Replace the view of the job; see :class:`Store`."""
        shown = f"predictions.{quoted(shown_name(stamp.model, stamp.job))}"
        with self._writing() as db:
            # In one transaction: whoever reads sees the one before or this one.
            db.exec_driver_sql(f"DROP VIEW IF EXISTS {shown}")
            db.exec_driver_sql(f"CREATE VIEW {shown} AS SELECT * FROM {_view(place)}")

    def read(
        self, place: PurePosixPath, layout: Layout, columns: Sequence[str], rows: int
    ) -> Iterator[pa.RecordBatch]:
        """Yield all rows; see :class:`Store`."""
        from cloud_hub.batch.rows import batch_of_tuples

        query = f"SELECT {', '.join(map(quoted, columns))} FROM {_view(place)}"
        with (
            self._reading(place) as db,
            # Closed before its connection, even if whoever reads stops in the middle.
            contextlib.closing(
                db.execution_options(yield_per=rows).exec_driver_sql(query)
            ) as found,
        ):
            for part in found.partitions(rows):
                yield batch_of_tuples(layout, columns, [tuple(row) for row in part])

    def find(self, place: PurePosixPath, entities: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Return rows by entity; see :class:`Store`."""
        with self._reading(place) as db:
            query = text(f"SELECT * FROM {_view(place)} WHERE {ENTITY} = ANY(:names)")
            found = db.execute(query, {"names": list(entities)}).mappings()
            return {row[ENTITY]: dict(row) for row in found}

    def file(self, place: PurePosixPath) -> Path | None:
        """Return the file of a generation; see :class:`Store`."""
        return None

    def drop(self, place: PurePosixPath) -> None:
        """Remove table and views; see :class:`Store`."""
        with self._writing() as db:
            db.exec_driver_sql(f"DROP TABLE IF EXISTS {_rows(place)} CASCADE")
            if db.execute(text("SELECT to_regclass('predictions.parts')")).scalar() is not None:
                mark = "DELETE FROM predictions.parts WHERE generation = :g"
                db.execute(text(mark), {"g": int(place.name)})

    @contextlib.contextmanager
    def _writing(self) -> Iterator[Connection]:
        """Run the block as one transaction; raises HubFault for what the database raises."""
        try:
            with self._engine.connect() as db:
                yield db
                db.commit()
        except SQLAlchemyError as error:
            raise HubFault(
                f"predictions: the database does not take them; {_why(error)}"
            ) from error

    @contextlib.contextmanager
    def _reading(self, place: PurePosixPath) -> Iterator[Connection]:
        with self._engine.connect() as db:
            is_whole = db.execute(text("SELECT to_regclass(:view)"), {"view": _view(place)})
            if is_whole.scalar() is None:
                raise NotFound(f"generation {place.name}: is not kept here any more")
            yield db


def _rows(place: PurePosixPath) -> str:
    return f"predictions.rows_{int(place.name)}"


def _view(place: PurePosixPath) -> str:
    return f"predictions.generation_{int(place.name)}"


def shown_name(model: str, job: str) -> str:
    """Return the name of the view of a job's newest generation: ``MODEL/JOB`` if that fits."""
    name = f"{model}/{job}"
    if len(name) <= LONGEST:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{name[: LONGEST - 9]}-{digest}"


def _copied(target: Any, batch: pa.RecordBatch) -> int:
    from pyarrow import csv

    # Arrow's writer quotes every text, and leaves null empty: as PostgreSQL's CSV has them.
    buffer = io.BytesIO()
    csv.write_csv(batch, buffer, csv.WriteOptions(include_header=False))
    target.write(buffer.getbuffer())
    return int(batch.num_rows)


def _why(error: SQLAlchemyError) -> str:
    return str(getattr(error, "orig", None) or error).partition("\n")[0]
