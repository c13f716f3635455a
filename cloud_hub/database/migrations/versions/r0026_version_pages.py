"""Versions of a model in the order in which they were published, for pages of them.

Revision ID: 0026
Revises: 0025
"""

from __future__ import annotations

from alembic import op

revision = "0026"
down_revision = "0025"
oldest = "0021"


def upgrade() -> None:
    """Index ``versions``; an older hub that still writes notices nothing."""
    op.create_index("versions_by_publication", "versions", ["model", "published_at", "version"])
