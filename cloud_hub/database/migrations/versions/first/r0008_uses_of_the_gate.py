"""What the offline gate was asked, so that rows that are asked again are held to more.

Revision ID: 0008
Revises: 0007
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Add ``gate_uses``; what was asked before is not known and counts as nothing."""
    op.create_table(
        "gate_uses",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=True),
        sa.Column("model", sa.String(), nullable=False, index=True),
        sa.Column("slice", sa.String(), nullable=False),
        sa.Column("data", sa.String(), nullable=False),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("checks", sa.Integer(), nullable=False),
        sa.Column("decided", sa.Integer(), nullable=False),
    )
