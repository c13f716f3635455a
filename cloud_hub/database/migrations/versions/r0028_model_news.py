"""News of models: what was said since somebody last looked is seen without reading it.

Revision ID: 0028
Revises: 0027
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"
oldest = "0021"

WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add ``model_news``; what an older hub stores is looked at some minutes later."""
    op.create_table(
        "model_news",
        sa.Column("model", sa.String(), primary_key=True),
        sa.Column("part", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("number", WHOLE, nullable=False),
    )
