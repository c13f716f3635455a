"""Generations of predictions: one row for each, from the moment that it is asked for."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    Column,
    Float,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from cloud_hub.database.engine import Whole, metadata

generations = Table(
    "batch_generations",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("model", String, nullable=False, index=True),
    Column("job", String, nullable=False),
    Column("status", String, nullable=False),
    Column("cause", String, nullable=False),
    Column("actor", String, nullable=False),
    Column("as_of", Float, nullable=False),
    Column("line", String, nullable=False, default=""),
    Column("version", String, nullable=False, default=""),
    Column("digest", String, nullable=False, default=""),
    Column("output", String, nullable=False, default="sql"),
    Column("source", Text, nullable=False, default=""),
    Column("layout", JSON, nullable=False),
    Column("partitions", Integer, nullable=False, default=0),
    Column("done", Integer, nullable=False, default=0),
    Column("rows", Whole, nullable=False, default=0),
    Column("attempts", Integer, nullable=False, default=0),
    Column("created_at", Float, nullable=False),
    Column("started_at", Float),
    Column("computed_at", Float),
    Column("valid_until", Float),
    Column("updated_at", Float, nullable=False),
    Column("peak_mb", Integer, nullable=False, default=0),
    Column("reason", Text, nullable=False, default=""),
    # A moment is asked for once: a backfill that is repeated finds what is there.
    UniqueConstraint("model", "job", "cause", "as_of"),
)
