"""Sums of windows over all devices, added up as reports come in.

Revision ID: 0021
Revises: 0020
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
oldest = "0020"

WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
KEY = ("model", "version", "experiment", "arm")
COUNTS = (
    "devices", "observations", "labelled", "correct", "own_labelled", "own_correct", "measured",
)  # fmt: skip


def upgrade() -> None:
    """Add ``window_sums``; rows that are there already are marked as not summed.

    An older hub that still writes marks its own so, too: it does not know the column.
    """
    op.create_table(
        "window_sums",
        *(sa.Column(name, sa.String(), primary_key=True) for name in KEY),
        *(sa.Column(name, WHOLE, primary_key=True) for name in ("start", "end", "part")),
        *(sa.Column(name, WHOLE, nullable=False) for name in COUNTS),
        *(sa.Column(name, sa.Float(), nullable=False) for name in ("error_sum", "error_squares")),
        sa.Column("body", sa.JSON(), nullable=False),
    )
    op.create_index("window_sums_by_start", "window_sums", ["model", "start"])
    for table in ("reports", "feedback"):
        op.add_column(
            table,
            sa.Column("summed", sa.Integer(), nullable=False, server_default=sa.text("0")),
        )
        op.create_index(
            f"{table}_of_older_hubs", table, ["model", "start"],
            sqlite_where=sa.text("summed = 0"), postgresql_where=sa.text("summed = 0"),
        )  # fmt: skip
    op.drop_index("reports_by_window", "reports")
    op.create_index("reports_by_window", "reports", ["model", "version", "start", "device"])
