"""Devices, tokens and serial numbers of several models.

Revision ID: 0014
Revises: 0013
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Key the states of devices by model too; what let devices in for one model lets them in for a
    list of one.
    """
    # Made anew: SQLite cannot change the primary key of a table.
    op.drop_index("ix_devices_model", "devices")
    op.rename_table("devices", "devices_before")
    op.create_table(
        "devices",
        sa.Column("device", sa.String(), primary_key=True),
        sa.Column("model", sa.String(), primary_key=True),
        sa.Column("enrolled_at", sa.Float(), nullable=False),
        sa.Column("seen_at", sa.Float(), nullable=False),
        sa.Column("attributes", sa.JSON(), nullable=False),
        sa.Column("version", sa.String()),
        sa.Column("plan", sa.Integer(), nullable=False),
        sa.Column("pack", sa.String()),
        sa.Column("phase", sa.String(), nullable=False),
        sa.Column("failed", sa.JSON(), nullable=False),
        sa.Column("waiting", sa.Integer(), nullable=False),
        sa.Column("sharing", sa.Boolean(), nullable=False),
        sa.Column("software", sa.JSON(), nullable=False),
    )
    op.create_index("ix_devices_model", "devices", ["model"])
    names = "device, model, enrolled_at, seen_at, attributes, version, plan, pack, phase, failed"
    names += ", waiting, sharing, software"
    op.execute(f"INSERT INTO devices ({names}) SELECT {names} FROM devices_before")
    op.drop_table("devices_before")
    op.drop_index("ix_registered_serials_model", "registered_serials")
    _list_models("enrolment_tokens", "token")
    _list_models("registered_serials", "serial")


def _list_models(name: str, key: str) -> None:
    """Replace the column ``model`` of a table by the list ``models``."""
    with op.batch_alter_table(name) as batch:
        batch.add_column(sa.Column("models", sa.JSON()))
    table = sa.table(name, sa.column(key), sa.column("model"), sa.column("models", sa.JSON()))
    db = op.get_bind()
    for model in db.execute(sa.select(table.c.model).distinct()).scalars().all():
        db.execute(sa.update(table).where(table.c.model == model).values(models=[model]))
    with op.batch_alter_table(name) as batch:
        batch.drop_column("model")
        batch.alter_column("models", nullable=False)
