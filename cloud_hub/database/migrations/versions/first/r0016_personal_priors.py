"""Priors of units without history, what is switched off, and fits that failed.

Revision ID: 0016
Revises: 0015
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"

WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add the tables of personalisation; there was none before."""
    op.create_table(
        "personal_priors",
        sa.Column("model", sa.String(), primary_key=True),
        sa.Column("generation", WHOLE, primary_key=True),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("manifest", sa.String(), nullable=False, index=True),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("length", WHOLE, nullable=False),
        sa.Column("basis", sa.String(), nullable=False),
        sa.Column("basis_digest", sa.String(), nullable=False),
        sa.Column("helps", sa.Boolean(), nullable=False),
        sa.Column("figures", sa.JSON(), nullable=False),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("said", sa.JSON(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("made_at", sa.Float(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
    )
    op.create_table(
        "personal_switches",
        sa.Column("model", sa.String(), primary_key=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
    )
    op.create_table(
        "personal_failures",
        sa.Column("model", sa.String(), primary_key=True),
        sa.Column("manifest", sa.String(), primary_key=True),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
    )
