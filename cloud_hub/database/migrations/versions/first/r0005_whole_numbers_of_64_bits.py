"""Counts, times and row numbers have 64 bits on PostgreSQL, as they always had on SQLite.

A fleet's predictions exceed 32 bits in an hour, the clock does in 2038, and a device could make a
request fail with one large number. Rows that devices shared are found by device, too: so many a
window are taken of each.

Revision ID: 0005
Revises: 0004
"""

from __future__ import annotations

from typing import Final

from alembic import op

revision = "0005"
down_revision = "0004"

WIDENED: Final = {
    "messages": ("sequence",),
    "reports": ("id", "start", "end", "observations", "predictions", "failures"),
    "feedback": ("id", "start", "labelled", "correct", "own_labelled", "own_correct"),
    "group_sums": ("start", "observations", "labelled", "correct"),
    "group_answers": ("predictions",),
    "device_totals": ("predictions",),
    "samples": ("id", "taken"),
    "votes": ("period",),
    "events": ("id", "at"),
    "exposures": (
        *("start", "predictions", "errors", "units", "labelled", "correct", "rewards"),
        *("latency_n", "energy_windows"),
    ),
    "monitor_figures": ("id", "start", "end"),
    "monitor_alarms": ("id", "start"),
    "monitor_states": ("watched_to",),
}


def upgrade() -> None:
    """Widen the columns in one statement a table, which writes a table anew once."""
    if op.get_bind().dialect.name == "postgresql":
        for table, columns in WIDENED.items():
            changes = ", ".join(f'ALTER COLUMN "{name}" TYPE BIGINT' for name in columns)
            op.execute(f"ALTER TABLE {table} {changes}")
            if "id" in columns:
                op.execute(f"ALTER SEQUENCE {table}_id_seq AS BIGINT")
    op.create_index("samples_by_device", "samples", ["model", "device", "taken"])
