"""Versions that were trained on a rare day, and findings that were expected on one.

Revision ID: 0013
Revises: 0012
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Add ``rush_versions``, and ``expected`` to figures and alarms; none was before."""
    op.create_table(
        "rush_versions",
        sa.Column("model", sa.String(), primary_key=True),
        sa.Column("version", sa.String(), primary_key=True),
        sa.Column("day", sa.String(), nullable=False),
        sa.Column("date", sa.String(), nullable=False),
        sa.Column("begin", sa.Float(), nullable=False),
        sa.Column("end", sa.Float(), nullable=False),
        sa.Column("before", sa.String(), nullable=False),
        sa.Column("run", sa.Integer(), nullable=False),
        sa.Column("marked_at", sa.Float(), nullable=False),
        sa.Column("outcome", sa.String()),
        sa.Column("decided_at", sa.Float()),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("checks", sa.JSON(), nullable=False),
    )
    for table in ("monitor_figures", "monitor_alarms"):
        op.add_column(table, sa.Column("expected", sa.Text()))
