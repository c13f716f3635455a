"""Devices, their ledgers and flags, tokens and serial numbers of several models.

Revision ID: 0014
Revises: 0013
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Key the states, ledgers and flags of devices by model too; what let devices in for one model
    lets them in for a list of one.
    """
    # Made anew: SQLite cannot change the primary key of a table.
    _devices()
    _ledgers()
    _flags()
    op.drop_index("ix_registered_serials_model", "registered_serials")
    _list_models("enrolment_tokens", "token")
    _list_models("registered_serials", "serial")


def _devices() -> None:
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


def _ledgers() -> None:
    counts = ("requests", "labels", "rewards", "compared", "sessions")
    op.drop_index("device_days_by_day", "device_days")
    op.rename_table("device_days", "device_days_before")
    op.create_table(
        "device_days",
        sa.Column("device", sa.String(), primary_key=True),
        sa.Column("model", sa.String(), primary_key=True),
        sa.Column("day", WHOLE, primary_key=True, autoincrement=False),
        *(sa.Column(name, WHOLE, nullable=False) for name in counts),
    )
    op.create_index("device_days_by_day", "device_days", ["day"])
    # So far each device had one model.
    names = ", ".join(("day", *counts))
    op.execute(
        f"INSERT INTO device_days (device, model, {names}) SELECT devices.device, model, {names} "
        "FROM device_days_before JOIN devices ON devices.device = device_days_before.device"
    )
    op.drop_table("device_days_before")


def _flags() -> None:
    op.drop_index("ix_device_flags_model", "device_flags")
    op.rename_table("device_flags", "device_flags_before")
    op.create_table(
        "device_flags",
        sa.Column("device", sa.String(), primary_key=True),
        sa.Column("model", sa.String(), primary_key=True),
        sa.Column("kind", sa.String(), primary_key=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("first_at", sa.Float(), nullable=False),
        sa.Column("last_at", sa.Float(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
    )
    op.create_index("ix_device_flags_model", "device_flags", ["model"])
    names = "device, model, kind, reason, first_at, last_at, count"
    op.execute(f"INSERT INTO device_flags ({names}) SELECT {names} FROM device_flags_before")
    op.drop_table("device_flags_before")


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
