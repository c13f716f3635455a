"""Sums of rankings that adapt to units, by device, version, day and policy.

Revision ID: 0018
Revises: 0017
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"

WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
COUNTS = ("lists", "shown", "clipped", "stopped", "unsupported")
SUMS = (
    *("weight", "weight_squares", "reward", "reward_squares", "cross"),
    *("robust", "robust_squares"),
)


def upgrade() -> None:
    """Add ``ranking_sums``; there were none before."""
    op.create_table(
        "ranking_sums",
        sa.Column("device", sa.String(), primary_key=True),
        sa.Column("model", sa.String(), primary_key=True),
        sa.Column("version", sa.String(), primary_key=True),
        sa.Column("day", WHOLE, primary_key=True),
        sa.Column("policy", sa.String(), primary_key=True),
        *(sa.Column(name, WHOLE, nullable=False) for name in COUNTS),
        *(sa.Column(name, sa.Float(), nullable=False) for name in SUMS),
    )
    op.create_index("ranking_sums_by_day", "ranking_sums", ["model", "day"])
