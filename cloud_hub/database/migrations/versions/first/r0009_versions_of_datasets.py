"""Datasets have versions, tags and uses; what was uploaded before keeps its order as numbers.

Revision ID: 0009
Revises: 0008
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the tables, and number the uploads of each model and kind."""
    op.create_table(
        "dataset_versions",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=True),
        *(sa.Column(n, sa.String(), nullable=False) for n in ("model", "name")),
        sa.Column("number", sa.Integer(), nullable=False),
        *(sa.Column(n, sa.String(), nullable=False) for n in ("fingerprint", "blob")),
        *(sa.Column(n, WHOLE, nullable=False) for n in ("bytes", "rows")),
        sa.Column("columns", sa.JSON(), nullable=False),
        sa.Column("since", sa.Float()),
        sa.Column("until", sa.Float()),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("parent", sa.Integer()),
        sa.Column("statistics", sa.JSON(), nullable=False),
        sa.Column("added_at", sa.Float(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.UniqueConstraint("model", "name", "number", name="one_dataset_of_a_number"),
    )
    _keyed("dataset_tags", "tag", sa.Column("number", sa.Integer(), nullable=False))
    op.create_table(
        "dataset_uses",
        *(sa.Column(n, sa.String(), nullable=False) for n in ("model", "version", "use", "name")),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("model", "version", "use", "name", "number"),
    )
    _copy()
    op.drop_table("datasets")
    for name in ("datasets", "validation"):
        op.add_column("runs", sa.Column(name, sa.JSON()))


def _keyed(name: str, key: str, *columns: sa.Column[int]) -> None:
    names = ("model", "name", key)
    op.create_table(
        name,
        *(sa.Column(n, sa.String(), nullable=False) for n in names),
        *columns,
        sa.PrimaryKeyConstraint(*names),
    )


def _copy() -> None:
    """The content is not read here: a blob's own digest stands for the fingerprint."""
    db = op.get_bind()
    names = ("id", "model", "kind", "blob", "rows", "added_at")
    old = sa.table("datasets", *(sa.column(n) for n in names))
    new = sa.table(
        "dataset_versions",
        *(
            sa.column(n)
            for n in ("model", "name", "number", "fingerprint", "blob", "bytes", "rows")
        ),
        *(sa.column(n, sa.JSON()) for n in ("columns", "statistics")),
        *(sa.column(n) for n in ("source", "parent", "added_at", "actor")),
    )
    numbers: dict[tuple[str, str], int] = {}
    for row in db.execute(sa.select(old).order_by(old.c.id)).mappings().all():
        key = (row["model"], row["kind"])
        before = numbers.get(key)
        numbers[key] = (before or 0) + 1
        db.execute(
            sa.insert(new).values(
                model=key[0], name=key[1], number=numbers[key], fingerprint=row["blob"],
                blob=row["blob"], bytes=0, rows=row["rows"], columns=[], statistics={},
                source="uploaded before datasets had versions", parent=before,
                added_at=row["added_at"], actor="",
            )
        )  # fmt: skip
