"""Tables of PostgreSQL that are divided by days, so that an old day ends by dropping its table.

A revision divides them. A divided table ``T`` has these parts:

* ``T_sums``: rows of the device ``*``, which are sums over all devices and outlive the others
* ``T_days``: rows of one device each, by the ``start`` that they have, in Unix seconds

  * ``T_dYYYYMMDD``: of one day in UTC
  * ``T_before``: what was there when the table was divided
  * ``T_late``: the rest, such as what came when its day had been dropped

No key spans the parts: what makes a message count once is its name in another table, which is not
divided, so it does not matter in which part its content would come to lie.

Whoever changes parts locks ``T`` itself first, and for everybody: requests lock it before any of
its parts, so none waits for a part while somebody who has it waits for ``T``.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import OperationalError

from cloud_hub.database.engine import transaction

DAY: Final = 86_400
AHEAD: Final = 4
"""Days that are made before they begin: so long the hub may be without a leader."""

LOCK_WAIT: Final = "2s"
"""Longest wait for a table that is in use: meanwhile everybody else waits for it too."""

_LOCKED: Final = "55P03"
_BOUNDS: Final = re.compile(r"FROM \((?:'(-?\d+)'|MINVALUE)\) TO \('(-?\d+)'\)")
_PARTS: Final = text(
    "SELECT c.relname, pg_get_expr(c.relpartbound, c.oid) FROM pg_inherits i "
    "JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = to_regclass(:days)"
)


@dataclass(frozen=True)
class DayPart:
    """A part of a divided table: rows with ``begin <= start < end``, in Unix seconds.

    ``begin`` is ``None`` for what was there before.
    """

    name: str
    begin: int | None
    end: int


def parts_of(db: Connection, table: str) -> list[DayPart]:
    """Return the parts of a table that have a time, oldest first; none where it is not divided."""
    if db.dialect.name != "postgresql":
        return []
    found = []
    for name, bounds in db.execute(_PARTS, {"days": f"{table}_days"}):
        if match := _BOUNDS.search(bounds):  # the rest has none
            begin = match[1]
            found.append(DayPart(name, None if begin is None else int(begin), int(match[2])))
    return sorted(found, key=lambda part: part.end)


def missing_days(parts: Iterable[DayPart], now: float) -> list[int]:
    """Return the starts of today and of the days to come that have no part yet."""
    taken = [(part.begin, part.end) for part in parts]
    today = int(now // DAY) * DAY
    return [
        day
        for day in range(today, today + (AHEAD + 1) * DAY, DAY)
        if not any((begin is None or begin <= day) and day < end for begin, end in taken)
    ]


def make_day(engine: Engine, table: str, day: int) -> bool:
    """Make the part of a day, with what has come of it so far.

    Args:
        engine: of a PostgreSQL.
        table: that is divided.
        day: its start, Unix seconds.

    Returns:
        False if the table was in use for too long; try again later.
    """
    name = f"{table}_d{time.strftime('%Y%m%d', time.gmtime(day))}"
    try:
        with transaction(engine) as db:
            lock_parts(db, table)
            like = f"LIKE {table}_days INCLUDING DEFAULTS, PRIMARY KEY (id)"
            db.execute(text(f"CREATE TABLE {name} ({like})"))
            # A part cannot be made for rows that lie in the rest.
            rest = f"DELETE FROM {table}_late WHERE start >= {day} AND start < {day + DAY}"
            db.execute(
                text(f"WITH came AS ({rest} RETURNING *) INSERT INTO {name} SELECT * FROM came")
            )
            bounds = f"FROM ({day}) TO ({day + DAY})"
            db.execute(
                text(f"ALTER TABLE {table}_days ATTACH PARTITION {name} FOR VALUES {bounds}")
            )
    except OperationalError as error:
        if not is_in_use(error):
            raise
        return False
    return True


def lock_parts(db: Connection, table: str) -> None:
    """Let nobody else use a divided table until the transaction ends.

    Args:
        db: a transaction that has used no other table.
        table: that is divided.
    """
    db.execute(text(f"SET LOCAL lock_timeout = '{LOCK_WAIT}'"))
    db.execute(text(f"LOCK TABLE ONLY {table} IN ACCESS EXCLUSIVE MODE"))


def is_in_use(error: OperationalError) -> bool:
    """Return whether a lock was not had in time."""
    return getattr(error.orig, "sqlstate", None) == _LOCKED


def contents(db: Connection, part: DayPart) -> tuple[int, int]:
    """Return how many rows a part has, and the sum of their numbers: who has seen others, knows."""
    count = text(f"SELECT count(*), coalesce(sum(id), 0)::bigint FROM {part.name}")
    rows, numbers = db.execute(count).one()
    return int(rows), int(numbers)


def drop(db: Connection, part: DayPart) -> None:
    """Drop a part with its rows, on a transaction that :func:`lock_parts` has begun."""
    db.execute(text(f"DROP TABLE {part.name}"))
