"""A hub that is killed while it stores reports: what it acknowledged is there, on both."""

from __future__ import annotations

import tempfile
from typing import Final

from benchmarks.hub.own_postgres import own_postgres
from benchmarks.hub.scale_row import Bench, ScaleRow
from tests.campaigns.report_kills import Outcome, run

KILLS: Final = 50
WHAT: Final = f"{KILLS} SIGKILLs of a hub that stores reports of 8 devices"
GOAL: Final = "0 lost, 0 counted twice"


def killing(bench: Bench) -> list[ScaleRow]:
    """Kill a hub with SQLite, and one with PostgreSQL."""
    kills = 2 if bench.quick else KILLS
    (bench.folder / "sqlite").mkdir()
    (bench.folder / "postgresql").mkdir()
    rows = [_row("SQLite", run(bench.folder / "sqlite", kills))]
    with tempfile.TemporaryDirectory(prefix="postgres-") as folder, own_postgres(folder) as server:
        outcome = run(bench.folder / "postgresql", kills, database=server.database())
    return [*rows, _row("PostgreSQL", outcome)]


def _row(where: str, outcome: Outcome) -> ScaleRow:
    met = bool(outcome.acknowledged) and not outcome.lost and not outcome.doubled
    return ScaleRow(f"kills {where}", f"{WHAT}, {where}", GOAL, str(outcome), met)
