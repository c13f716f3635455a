"""The table of versions that were trained on a rare day."""

from __future__ import annotations

from sqlalchemy import JSON, Column, Float, Integer, String, Table, Text

from cloud_hub.database.engine import metadata

rush_versions = Table(
    "rush_versions",
    metadata,
    Column("model", String, primary_key=True),
    Column("version", String, primary_key=True),
    Column("day", String, nullable=False),
    Column("date", String, nullable=False),
    Column("begin", Float, nullable=False),
    Column("end", Float, nullable=False),
    Column("before", String, nullable=False),
    Column("run", Integer, nullable=False),
    Column("marked_at", Float, nullable=False),
    Column("outcome", String),
    Column("decided_at", Float),
    Column("reason", Text, nullable=False),
    Column("checks", JSON, nullable=False),
)
