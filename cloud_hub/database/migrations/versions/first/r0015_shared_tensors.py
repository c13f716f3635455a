"""Labelled inputs that are no table, of devices whose owners share them.

Revision ID: 0015
Revises: 0014
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"

WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add ``tensor_samples``; there were none before."""
    op.create_table(
        "tensor_samples",
        sa.Column("id", WHOLE, primary_key=True, autoincrement=True),
        sa.Column("device", sa.String(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("taken", WHOLE, nullable=False),
        sa.Column("label", sa.JSON(), nullable=False),
        sa.Column("shapes", sa.JSON(), nullable=False),
        sa.Column("bytes", sa.Integer(), nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
    )
    op.create_index("tensor_samples_by_time", "tensor_samples", ["model", "taken"])
    op.create_index("tensor_samples_by_device", "tensor_samples", ["model", "device", "taken"])
