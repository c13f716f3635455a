"""Declared sets of features, the files of their history, their uses and measured skew.

Revision ID: 0011
Revises: 0010
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from cloud_hub.database.engine import Whole

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Add the four tables; features that were put by hand stay in their own file."""
    op.create_table(
        "feature_sets",
        sa.Column("name", sa.String(), primary_key=True),
        sa.Column("version", sa.Integer(), primary_key=True),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
    )
    op.create_table(
        "feature_segments",
        sa.Column("id", Whole, primary_key=True, autoincrement=True),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("bytes", Whole, nullable=False),
        sa.Column("rows", Whole, nullable=False),
        *(sa.Column(n, sa.Float(), nullable=False) for n in ("since", "until")),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.UniqueConstraint("name", "sha256"),
    )
    op.create_table(
        "feature_uses",
        sa.Column("model", sa.String(), primary_key=True),
        sa.Column("version", sa.String(), primary_key=True),
        sa.Column("name", sa.String(), primary_key=True),
        sa.Column("set_version", sa.Integer(), primary_key=True),
        sa.Column("kind", sa.String(), primary_key=True),
        sa.Column("history", sa.String(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
    )
    op.create_table(
        "feature_skews",
        sa.Column("id", Whole, primary_key=True, autoincrement=True),
        sa.Column("model", sa.String(), nullable=False, index=True),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("feature", sa.String(), nullable=False),
        *(sa.Column(n, sa.Integer(), nullable=False) for n in ("compared", "different")),
        sa.Column("alarming", sa.Boolean(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
    )
