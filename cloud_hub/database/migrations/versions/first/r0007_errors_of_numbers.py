"""How far off numbers were: sums of their errors, and of their second and fourth powers.

Revision ID: 0007
Revises: 0006
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add the sums to late labels and to exposures; of earlier reports nothing is known."""
    nothing = sa.text("0")
    for table in ("feedback", "exposures"):
        op.add_column(table, sa.Column("measured", WHOLE, nullable=False, server_default=nothing))
        for name in ("error_sum", "error_squares", "error_fourths"):
            op.add_column(
                table, sa.Column(name, sa.Float(), nullable=False, server_default=nothing)
            )
