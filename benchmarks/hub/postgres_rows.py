"""Polls, answers, a push and storms with tables in PostgreSQL; other modules have them on SQLite.

Reports and workers have a module of their own (:mod:`benchmarks.hub.workers`), as have kills.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from benchmarks.hub import measured_rows, push, storm
from benchmarks.hub.own_postgres import own_postgres
from benchmarks.hub.scale_row import Bench, ScaleRow
from benchmarks.hub.served import served_hub

WHAT: Final = "polls, answers of the cascade, a push and storms, PostgreSQL"
GOAL: Final = "as on SQLite"
FLEETS: Final = (1_000, 10_000)


def on_postgresql(bench: Bench) -> list[ScaleRow]:
    """Measure each at a hub and a database of its own; the database shares the load's cores."""
    with tempfile.TemporaryDirectory(prefix="postgres-") as folder, own_postgres(folder) as server:
        rows = [*_asked(bench, server.database()), _pushed(bench, server.database())]
        rows += _storms(bench, server.database)
    return [_named(row) for row in rows]


def _asked(bench: Bench, database: str) -> list[ScaleRow]:
    own = _part(bench, "asked")
    with served_hub(own, measured_rows.CONNECTIONS, database) as hub:
        return [
            measured_rows.polls(hub, bench.seconds),
            measured_rows.cascade(hub, bench.seconds),
        ]


def _pushed(bench: Bench, database: str) -> ScaleRow:
    return push.pushed(_part(bench, "pushed"), database)


def _storms(bench: Bench, database: Callable[[], str]) -> list[ScaleRow]:
    fleets = (50,) if bench.quick else FLEETS
    return [storm.come_home(_part(bench, f"storm-{n}").folder, n, database()) for n in fleets]


def _part(bench: Bench, name: str) -> Bench:
    own = replace(bench, folder=bench.folder / name)
    own.folder.mkdir()
    return own


def _named(row: ScaleRow) -> ScaleRow:
    """Return a row that is told from that of SQLite, and that no picture is drawn of."""
    return replace(row, name=f"{row.name} postgresql", what=f"{row.what}, PostgreSQL", figures={})
