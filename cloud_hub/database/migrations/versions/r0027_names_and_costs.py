"""What people call versions: aliases, tags, descriptions; and what models cost, by day.

Revision ID: 0027
Revises: 0026
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"
oldest = "0021"


def upgrade() -> None:
    """Add four tables; an older hub that still writes notices nothing."""
    op.create_table(
        "version_aliases",
        sa.Column("model", sa.String(), primary_key=True),
        sa.Column("alias", sa.String(), primary_key=True),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("set_at", sa.Float(), nullable=False),
        sa.Column("set_by", sa.String(), nullable=False),
    )
    op.create_table(
        "version_tags",
        sa.Column("model", sa.String(), primary_key=True),
        sa.Column("version", sa.String(), primary_key=True),
        sa.Column("key", sa.String(), primary_key=True),
        sa.Column("value", sa.Text(), nullable=False),
    )
    op.create_table(
        "version_notes",
        sa.Column("model", sa.String(), primary_key=True),
        sa.Column("version", sa.String(), primary_key=True),
        sa.Column("description", sa.Text(), nullable=False),
    )
    op.create_table(
        "costs",
        sa.Column("day", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("model", sa.String(), primary_key=True),
        sa.Column("version", sa.String(), primary_key=True),
        sa.Column("kind", sa.String(), primary_key=True),
        sa.Column("subject", sa.String(), primary_key=True),
        sa.Column("amount", sa.Float(), nullable=False),
    )
