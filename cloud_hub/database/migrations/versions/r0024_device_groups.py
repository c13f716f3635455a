"""Groups of devices: searches that somebody saved by a name.

Revision ID: 0024
Revises: 0023
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
oldest = "0021"


def upgrade() -> None:
    """Add ``device_groups``; an older hub does not look at it."""
    op.create_table(
        "device_groups",
        sa.Column("name", sa.String(), primary_key=True),
        sa.Column("search", sa.String(), nullable=False),
        sa.Column("made_at", sa.Float(), nullable=False),
        sa.Column("made_by", sa.String(), nullable=False),
    )
