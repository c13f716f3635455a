"""What the worker of a run was kept from.

Revision ID: 0006
Revises: 0005
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add ``runs.isolation``; nothing is known of earlier runs."""
    op.add_column(
        "runs", sa.Column("isolation", sa.Text(), nullable=False, server_default=sa.text("''"))
    )
