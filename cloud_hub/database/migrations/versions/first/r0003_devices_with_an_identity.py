"""Identities of devices apart from their state; tokens with terms; registered serials.

Devices of 0.1 had a token for life and no key. Their rows stay, with what they reported; they are
revoked and have to enrol again. Enrolment tokens of 0.1 stay valid.

Revision ID: 0003
Revises: 0002
"""

from __future__ import annotations

import time

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

NO_KEY = "enrolled by edge-hub 0.1, before devices had keys; enrol it again"


def upgrade() -> None:
    """Make the tables, and give every device and token of before its row."""
    op.create_table(
        "identities",
        sa.Column("device", sa.String(), primary_key=True),
        sa.Column("public_key", sa.String(), unique=True),
        sa.Column("standing", sa.String(), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("changed_at", sa.Float(), nullable=False),
        sa.Column("enrolled_by", sa.String(), nullable=False),
        sa.Column("serial", sa.String()),
        sa.Column("vouched_by", sa.String(), nullable=False),
        sa.Column("attributes", sa.JSON(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("nonce", sa.String()),
        sa.Column("credential", sa.String(), unique=True),
        sa.Column("credential_at", sa.Float()),
    )
    op.create_table(
        "registered_serials",
        sa.Column("serial", sa.String(), primary_key=True),
        sa.Column("model", sa.String(), nullable=False, index=True),
        sa.Column("public_key", sa.String(), unique=True),
        sa.Column("secret", sa.String()),
        sa.Column("attributes", sa.JSON(), nullable=False),
        sa.Column("registered_at", sa.Float(), nullable=False),
        sa.Column("registered_by", sa.String(), nullable=False),
        sa.Column("device", sa.String()),
    )
    now = time.time()
    _keep_devices(now)
    _keep_tokens(now)


def _keep_devices(now: float) -> None:
    db = op.get_bind()
    devices = sa.table("devices", sa.column("device"))
    identities = sa.table(
        "identities",
        *[sa.column(n) for n in ("device", "standing", "reason", "changed_at", "enrolled_by")],
        sa.column("vouched_by"),
        sa.column("attributes", sa.JSON()),
        sa.column("generation"),
    )
    rows = [
        {
            "device": device, "standing": "revoked", "reason": NO_KEY, "changed_at": now,
            "enrolled_by": "token:0.1", "vouched_by": "token:0.1", "attributes": {},
            "generation": 0,
        }
        for device in db.execute(sa.select(devices.c.device)).scalars()
    ]  # fmt: skip
    if rows:
        db.execute(sa.insert(identities), rows)
    with op.batch_alter_table("devices") as batch:
        batch.drop_column("token")


def _keep_tokens(now: float) -> None:
    db = op.get_bind()
    with op.batch_alter_table("enrolment_tokens") as batch:
        batch.add_column(sa.Column("id", sa.String()))
        batch.add_column(sa.Column("devices", sa.Integer()))
        batch.add_column(sa.Column("attributes", sa.JSON()))
        batch.add_column(sa.Column("approve", sa.Boolean()))
        batch.add_column(sa.Column("made_at", sa.Float()))
        batch.add_column(sa.Column("made_by", sa.String()))
        batch.add_column(sa.Column("revoked_at", sa.Float()))
    tokens = sa.table(
        "enrolment_tokens",
        *[sa.column(n) for n in ("token", "id", "uses", "devices", "made_at", "made_by")],
        sa.column("approve", sa.Boolean()),
        sa.column("attributes", sa.JSON()),
    )
    for token, uses in db.execute(sa.select(tokens.c.token, tokens.c.uses)).all():
        # How many have joined is not known: as a token of several, it makes one voter of them.
        values = {
            "id": token[:10], "devices": max(2, uses), "attributes": {}, "approve": False,
            "made_at": now, "made_by": "0.1",
        }  # fmt: skip
        db.execute(sa.update(tokens).where(tokens.c.token == token).values(**values))
    with op.batch_alter_table("enrolment_tokens") as batch:
        for name in ("id", "devices", "attributes", "approve", "made_at", "made_by"):
            batch.alter_column(name, nullable=False)
        batch.create_unique_constraint("uq_enrolment_tokens_id", ["id"])
