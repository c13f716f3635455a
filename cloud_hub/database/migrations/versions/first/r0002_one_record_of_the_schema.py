"""Alembic's own table names the schema; it replaces ``schema_version``.

Revision ID: 0002
Revises: 0001
"""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Drop the table that Alembic's ``alembic_version`` replaces."""
    op.drop_table("schema_version")
