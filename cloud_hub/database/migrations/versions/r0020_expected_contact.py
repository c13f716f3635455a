"""How often a device contacts its hub, as it says: silence is measured by that.

Revision ID: 0020
Revises: 0019
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
oldest = "0019"


def upgrade() -> None:
    """Add ``interval`` to devices; those that have not said it yet have none."""
    op.add_column("devices", sa.Column("interval", sa.Float()))
