"""Steps of runs, and versions of the code that trains.

Revision ID: 0012
Revises: 0011
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


JSON_OF_A_STEP = ("inputs", "outputs", "metrics", "resources")


def upgrade() -> None:
    """Add the tables; of runs of before no step and no code is known."""
    op.create_table(
        "run_steps",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=True),
        sa.Column("run", sa.Integer(), nullable=False, index=True),
        sa.Column("model", sa.String(), nullable=False, index=True),
        sa.Column("attempt", sa.Integer(), nullable=False),
        *(sa.Column(n, sa.String(), nullable=False) for n in ("step", "status")),
        sa.Column("began_at", sa.Float(), nullable=False),
        sa.Column("ended_at", sa.Float()),
        sa.Column("cache_key", sa.String(), nullable=False),
        *(sa.Column(n, sa.JSON(), nullable=False) for n in JSON_OF_A_STEP),
        *(sa.Column(n, sa.Text(), nullable=False) for n in ("log", "reason")),
        sa.UniqueConstraint("run", "attempt", "step", name="one_step_of_an_attempt"),
    )
    op.create_table(
        "pipelines",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=True),
        sa.Column("model", sa.String(), nullable=False, index=True),
        sa.Column("number", sa.Integer(), nullable=False),
        *(sa.Column(n, sa.String(), nullable=False) for n in ("digest", "lock")),
        sa.Column("entry", sa.String()),
        sa.Column("command", sa.JSON()),
        sa.Column("elsewhere", sa.String()),
        sa.Column("blob", sa.String(), nullable=False),
        sa.Column("files", sa.JSON(), nullable=False),
        sa.Column("left_out", sa.Integer(), nullable=False),
        sa.Column("packages", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.UniqueConstraint("model", "number", name="one_pipeline_of_a_number"),
        sa.UniqueConstraint("model", "digest", name="one_pipeline_of_a_digest"),
    )
    op.create_table(
        "held_pipelines",
        sa.Column("model", sa.String(), primary_key=True),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
    )
    for name in ("pipeline", "repeats"):
        op.add_column("runs", sa.Column(name, sa.Integer()))
    op.add_column("runs", sa.Column("parameters", sa.JSON()))
    op.add_column("runs", sa.Column("begin", sa.String()))
    op.add_column("runs", sa.Column("waits_since", sa.Float()))
