"""Versions of a model in the order in which they were published, for pages of them.

Revision ID: 0022
Revises: 0021
"""

from __future__ import annotations

from alembic import op

revision = "0022"
down_revision = "0021"
oldest = "0020"


def upgrade() -> None:
    """Index ``versions``; an older hub that still writes notices nothing."""
    op.create_index("versions_by_publication", "versions", ["model", "published_at", "version"])
