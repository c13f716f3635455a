"""Versions of a model in the order in which they were published, for pages of them; and groups of
devices: searches that somebody saved by a name.

Revision ID: 0025
Revises: 0024
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
oldest = "0021"


def upgrade() -> None:
    """Index ``versions``, add ``device_groups``; an older hub that still writes notices nothing."""
    op.create_index("versions_by_publication", "versions", ["model", "published_at", "version"])
    op.create_table(
        "device_groups",
        sa.Column("name", sa.String(), primary_key=True),
        sa.Column("search", sa.String(), nullable=False),
        sa.Column("made_at", sa.Float(), nullable=False),
        sa.Column("made_by", sa.String(), nullable=False),
    )
