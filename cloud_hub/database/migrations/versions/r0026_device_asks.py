"""Questions to devices: for their newest log lines, or to sync now.

Revision ID: 0026
Revises: 0025
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"
oldest = "0021"


def upgrade() -> None:
    """Add ``device_asks``; an older hub that still writes notices nothing."""
    op.create_table(
        "device_asks",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("device", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("asked_at", sa.Float(), nullable=False),
        sa.Column("asked_by", sa.String(), nullable=False),
        sa.Column("answered_at", sa.Float()),
        sa.Column("allowed", sa.Boolean()),
        sa.Column("lines", sa.JSON(), nullable=False),
    )
    op.create_index("ix_device_asks_device", "device_asks", ["device"])
