"""Models and their versions."""

from __future__ import annotations

from sqlalchemy import JSON, Column, Float, Index, Integer, String, Table, Text

from cloud_hub.database.engine import metadata

models = Table(
    "models",
    metadata,
    Column("model", String, primary_key=True),
    Column("policy", Text, nullable=False, default=""),
)

versions = Table(
    "versions",
    metadata,
    Column("model", String, primary_key=True),
    Column("version", String, primary_key=True),
    Column("manifest", String, nullable=False),
    Column("parent", String),
    Column("mode", String, nullable=False),
    Column("metrics", JSON, nullable=False),
    Column("rows", Integer, nullable=False),
    Column("status", String, nullable=False),
    Column("training_state", String),
    Column("published_at", Float, nullable=False),
    Column("actor", String, nullable=False),
    Column("override", Text),
    Index("versions_by_publication", "model", "published_at", "version"),
)
