"""Reports and late labels by days, on PostgreSQL: an old day ends by dropping its table.

Revision ID: 0024
Revises: 0023
"""

from __future__ import annotations

import time

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
oldest = "0021"

DAY = 86_400
AHEAD = 4
"""Days that are made here, so that nobody waits for the first leader to make them."""

INDEXES = {
    "reports": {
        "reports_by_window": "(model, version, start, device)",
        "reports_by_end": '("end")',
        "reports_of_older_hubs": "(model, start) WHERE summed = 0",
    },
    "feedback": {
        "feedback_by_window": "(model, version, start)",
        "feedback_of_older_hubs": "(model, start) WHERE summed = 0",
    },
}


def upgrade() -> None:
    """Put a divided table in the place of each; the one that was there becomes a part of it.

    Nothing is copied but sums, which are few. Hubs at 0021 go on: to them it is the same table.
    SQLite has no partitions, and stays as it is.
    """
    if op.get_bind().dialect.name != "postgresql":
        return
    today = int(time.time()) // DAY * DAY
    for table in INDEXES:
        _divide(table, today)


def _divide(table: str, today: int) -> None:
    before = f"{table}_before"
    op.execute(f"ALTER TABLE {table} RENAME TO {before}")
    for name in INDEXES[table]:
        op.execute(f"ALTER INDEX {name} RENAME TO {name}_before")
    # No primary key for all parts: it would have to hold the start. Numbers are of one sequence.
    op.execute(
        f"CREATE TABLE {table} (LIKE {before} INCLUDING DEFAULTS) PARTITION BY LIST (device)"
    )
    op.execute(f"ALTER SEQUENCE {table}_id_seq OWNED BY {table}.id")
    op.execute(f"CREATE TABLE {table}_sums PARTITION OF {table} (PRIMARY KEY (id)) "
               "FOR VALUES IN ('*')")  # fmt: skip
    op.execute(f"CREATE TABLE {table}_days PARTITION OF {table} DEFAULT PARTITION BY RANGE (start)")
    op.execute(f"CREATE TABLE {table}_late PARTITION OF {table}_days (PRIMARY KEY (id)) DEFAULT")
    for name, columns in INDEXES[table].items():
        where = f"{name} ON {table} {columns}"
        op.execute(f"CREATE INDEX {where}")
    first = _keep_earlier(table, before, today)
    for day in range(first, today + (AHEAD + 1) * DAY, DAY):
        name = f"{table}_d{time.strftime('%Y%m%d', time.gmtime(day))}"
        op.execute(f"CREATE TABLE {name} PARTITION OF {table}_days (PRIMARY KEY (id)) "
                   f"FOR VALUES FROM ({day}) TO ({day + DAY})")  # fmt: skip


def _keep_earlier(table: str, before: str, today: int) -> int:
    """Make what was there a part; return the first day that is to be made."""
    db = op.get_bind()
    if db.execute(sa.text(f"SELECT id FROM {before} LIMIT 1")).first() is None:
        op.execute(f"DROP TABLE {before}")
        return today - 2 * DAY
    # Windows that began after tomorrow are of nobody, but one row of them must not stop this.
    until = today + 2 * DAY
    op.execute(
        f"WITH others AS (DELETE FROM {before} WHERE device = '*' OR start >= {until} RETURNING *) "
        f"INSERT INTO {table} SELECT * FROM others"
    )
    # Reads each row once, to see that it belongs here; its indexes are taken over as they are.
    op.execute(
        f"ALTER TABLE {table}_days ATTACH PARTITION {before} "
        f"FOR VALUES FROM (MINVALUE) TO ({until})"
    )
    return until
