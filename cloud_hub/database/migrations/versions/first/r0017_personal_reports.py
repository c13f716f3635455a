"""Sums over units that devices report, and labels by whether what was served was right.

Revision ID: 0017
Revises: 0016
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"

WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add ``personal_reports``, and counts of what was served to ``exposures``."""
    op.create_table(
        "personal_reports",
        sa.Column("device", sa.String(), primary_key=True),
        sa.Column("model", sa.String(), primary_key=True),
        sa.Column("generation", WHOLE, primary_key=True),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("cohort", sa.String(), nullable=False),
        sa.Column("epsilon", sa.Float()),
        sa.Column("at", WHOLE, nullable=False),
        sa.Column("received_at", sa.Float(), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
    )
    op.create_index("personal_reports_by_generation", "personal_reports", ["model", "generation"])
    for name in ("served_labelled", "served_correct"):
        op.add_column("exposures", sa.Column(name, WHOLE, nullable=False, server_default="0"))
