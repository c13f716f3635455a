"""Who does the hub's background work, and which older hubs may use the tables.

Revision ID: 0019
Revises: 0018
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
oldest = "0018"

WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add ``leadership`` with its one row, and ``schema_support``."""
    leadership = op.create_table(
        "leadership",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("term", WHOLE, nullable=False),
        sa.Column("holder", sa.String(), nullable=False),
        sa.Column("renewed_at", sa.Float(), nullable=False),
    )
    # Rows are locked, and one that is not there cannot be.
    op.bulk_insert(leadership, [{"id": 1, "term": 0, "holder": "", "renewed_at": 0.0}])
    op.create_table(
        "schema_support",
        sa.Column("revision", sa.String(), primary_key=True),
        sa.Column("oldest", sa.String(), nullable=False),
    )
