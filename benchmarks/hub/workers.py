"""Reports on PostgreSQL: from one worker, and what a second one adds.

Two workers are quicker where each has a core, the database one and the load one. Where a machine
has fewer, what a report takes of a worker's processor and of the database's is measured, and the
rest is arithmetic: a second worker doubles the rate until the database is full. Two have twice the
connections of one, so that each stores as many reports in one transaction.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from benchmarks.hub.generator import LoadResult
from benchmarks.hub.measured_rows import CONNECTIONS, load_words
from benchmarks.hub.own_postgres import own_postgres
from benchmarks.hub.reports import report_row, reports
from benchmarks.hub.scale_row import Bench, ScaleRow
from benchmarks.hub.served import CORES, MODEL, ServedHub, process_seconds, served_hub
from edge_sdk.model.release import Release
from tests.postgres import Cluster

WHAT: Final = "window reports on PostgreSQL, two workers against one"
GOAL: Final = "≥ 1.6×"
TIMES: Final = 1.6
ENOUGH: Final = 4
"""Cores: one for each worker, the database and the load."""


class StoredReports:
    """What one or two workers took in, and what a report cost, in milliseconds."""

    def __init__(self, found: LoadResult, hub: float, database: float) -> None:
        self.found, self.hub, self.database = found, hub, database


def on_postgresql(bench: Bench) -> list[ScaleRow]:
    """Load one worker, then two, each with a database of its own."""
    with tempfile.TemporaryDirectory(prefix="postgres-") as folder, own_postgres(folder) as server:
        one, two = (_stored(bench, server, Path(folder), count) for count in (1, 2))
    row = report_row("report postgresql", "PostgreSQL", one.found, one.hub)
    database = f"{one.database:.2f} ms of the database's"
    where = "which shares a core with the load" if len(CORES) < ENOUGH else "a core each"
    first = replace(row, found=f"{row.found}, {database}, {where}")
    return [first, _against(one, two)]


def _against(one: StoredReports, two: StoredReports) -> ScaleRow:
    words = f"{two.found.rate / one.found.rate:.2f}×: {load_words(two.found)}"
    if len(CORES) >= ENOUGH:
        met = two.found.rate >= TIMES * one.found.rate
        return ScaleRow("workers", WHAT, GOAL, words, met)
    # A core of a worker carries 1/hub, one of the database 1/database: the smaller one decides. One
    # worker is given what either took, so that a run that was disturbed does not make two of more.
    hub, database = min(one.hub, two.hub), min(one.database, two.database)
    alone = min(1 / hub, 1 / database)
    both = min(2 / two.hub, 1 / two.database)
    arithmetic = (
        f"{both / alone:.1f}× where each has a core: {1e3 * alone:,.0f}/s of one worker "
        f"({hub:.2f} ms of processor time, the database {database:.2f} ms), "
        f"{1e3 * both:,.0f}/s of two ({two.hub:.2f} ms, {two.database:.2f} ms); measured on "
        f"{len(CORES)} cores, the workers on one, the database and the load on the other, {words}"
    )
    return ScaleRow("workers", WHAT, GOAL, arithmetic, both >= TIMES * alone)


def _stored(bench: Bench, server: Cluster, folder: Path, count: int) -> StoredReports:
    own = replace(bench, folder=bench.folder / str(count))
    own.folder.mkdir()
    url = server.database()
    options = ("--workers", str(count)) if count > 1 else ()
    connections = CONNECTIONS * count
    with served_hub(own, connections, url, options) as hub:
        _spread(hub, folder, count)
        before = _database_seconds(folder)
        release = Release.open(own.folder / MODEL)
        found, each = reports(hub, url, release, bench.seconds, connections)
        used = 1e3 * (_database_seconds(folder) - before) / found.answers
    return StoredReports(found, each, used)


def _spread(hub: ServedHub, folder: Path, count: int) -> None:
    """Give each worker and the database a core of its own, where there are enough."""
    if len(CORES) < ENOUGH:
        return
    workers = _children(hub.pid) if count > 1 else [hub.pid]
    for place, pid in enumerate(workers):
        os.sched_setaffinity(pid, [CORES[place]])
    # The load has the other cores; it leaves this one to the database, which is busier.
    postmaster = _postmaster(folder)
    for pid in (postmaster, *_children(postmaster)):
        os.sched_setaffinity(pid, [CORES[2]])
    os.sched_setaffinity(0, CORES[3:])


def _postmaster(folder: Path) -> int:
    return int((folder / "data" / "postmaster.pid").read_text().split()[0])


def _children(pid: int) -> Sequence[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in listed]


def _database_seconds(folder: Path) -> float:
    postmaster = _postmaster(folder)
    return sum(process_seconds(pid) for pid in (postmaster, *_children(postmaster)))
