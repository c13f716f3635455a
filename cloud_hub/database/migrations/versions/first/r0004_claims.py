"""What devices claim is held against what can be: ledgers, flags, members of experiments.

Revision ID: 0004
Revises: 0003
"""

from __future__ import annotations

import re

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

SHARE = 0.05
NUMBER = re.compile(r"\bmax_failed_devices:\s*[1-9]\d*\b")
WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the three tables; they begin empty, and what was reported before counts as it did."""
    op.create_table(
        "device_flags",
        sa.Column("device", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("first_at", sa.Float(), nullable=False),
        sa.Column("last_at", sa.Float(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("device", "kind"),
    )
    op.create_index("ix_device_flags_model", "device_flags", ["model"])
    counts = ("requests", "labels", "rewards", "compared", "sessions")
    op.create_table(
        "device_days",
        sa.Column("device", sa.String(), nullable=False),
        sa.Column("day", WHOLE, nullable=False),
        *(sa.Column(name, WHOLE, nullable=False) for name in counts),
        sa.PrimaryKeyConstraint("device", "day"),
    )
    op.create_index("device_days_by_day", "device_days", ["day"])
    op.create_table(
        "experiment_members",
        sa.Column("experiment", sa.String(), nullable=False),
        sa.Column("device", sa.String(), nullable=False),
        sa.Column("attributes", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("experiment", "device"),
    )
    _devices_are_a_share()


def _devices_are_a_share() -> None:
    """Turn ``max_failed_devices``, a number of devices, into the share that is its default."""
    db = op.get_bind()
    experiments = sa.table("experiments", sa.column("id"), sa.column("spec", sa.JSON()))
    for id_, spec in db.execute(sa.select(experiments.c.id, experiments.c.spec)).all():
        rules = dict(spec.get("guardrails") or {})
        if rules.get("max_failed_devices", 0) >= 1:
            changed = {**spec, "guardrails": {**rules, "max_failed_devices": SHARE}}
            db.execute(sa.update(experiments).where(experiments.c.id == id_).values(spec=changed))
    models = sa.table("models", sa.column("model"), sa.column("policy", sa.Text()))
    for model, text in db.execute(sa.select(models.c.model, models.c.policy)).all():
        policy = NUMBER.sub(f"max_failed_devices: {SHARE}", text)
        if policy != text:
            db.execute(sa.update(models).where(models.c.model == model).values(policy=policy))
