"""How often a device contacts its hub, as it says: silence is measured by that.

Revision ID: 0019
Revises: 0018
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
oldest = "0018"


def upgrade() -> None:
    """Add ``interval`` to devices; those that have not said it yet have none."""
    op.add_column("devices", sa.Column("interval", sa.Float()))
