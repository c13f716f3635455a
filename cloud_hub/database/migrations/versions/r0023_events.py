"""The audit log as a stream of events, alarms of the hub, and where alerts go.

Revision ID: 0023
Revises: 0022
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
oldest = "0021"

WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add columns that an older hub leaves empty, and new tables, which it does not know."""
    for name in ("kind", "type", "severity", "version", "device"):
        op.add_column("audit", sa.Column(name, sa.String()))
    op.create_index("audit_by_kind", "audit", ["kind", "id"])
    op.create_index("audit_by_device", "audit", ["device", "id"])
    _add_alarms()
    _add_alerts()


def _add_alarms() -> None:
    op.create_table(
        "hub_alarms",
        sa.Column("id", WHOLE, primary_key=True, autoincrement=True),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("severity", sa.String(), nullable=False),
        sa.Column("model", sa.String()),
        sa.Column("version", sa.String()),
        sa.Column("says", sa.Text(), nullable=False),
        sa.Column("todo", sa.Text(), nullable=False),
        sa.Column("evidence", sa.JSON(), nullable=False),
        sa.Column("opened_at", sa.Float(), nullable=False),
        sa.Column("seen_at", sa.Float(), nullable=False),
        sa.Column("acknowledged_at", sa.Float()),
        sa.Column("acknowledged_by", sa.String()),
        sa.Column("closed_at", sa.Float()),
    )
    op.create_index("hub_alarms_by_closed", "hub_alarms", ["closed_at"])


def _add_alerts() -> None:
    op.create_table(
        "alert_destinations",
        sa.Column("name", sa.String(), primary_key=True),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("secrets", sa.JSON(), nullable=False),
        sa.Column("rules", sa.JSON(), nullable=False),
        sa.Column("made_at", sa.Float(), nullable=False),
        sa.Column("made_by", sa.String(), nullable=False),
        sa.Column("cursor", WHOLE, nullable=False),
        sa.Column("urgent", WHOLE, nullable=False),
        sa.Column("sent_at", sa.Float(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("try_at", sa.Float(), nullable=False),
        sa.Column("failing_since", sa.Float()),
        sa.Column("disabled", sa.Text()),
        sa.Column("silent_until", sa.Float(), nullable=False),
    )
    op.create_table(
        "alert_deliveries",
        sa.Column("id", WHOLE, primary_key=True, autoincrement=True),
        sa.Column("destination", sa.String(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("event", WHOLE, nullable=False),
        sa.Column("events", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("delivered", sa.Boolean(), nullable=False),
        sa.Column("status", sa.Integer()),
        sa.Column("reason", sa.Text(), nullable=False),
    )
    op.create_index("alert_deliveries_by_destination", "alert_deliveries", ["destination", "id"])
