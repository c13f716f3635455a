"""Aliases, tags and descriptions of models and versions."""

from __future__ import annotations

from sqlalchemy import Column, Float, String, Table, Text

from cloud_hub.database.engine import metadata

version_aliases = Table(
    "version_aliases",
    metadata,
    Column("model", String, primary_key=True),
    Column("alias", String, primary_key=True),
    Column("version", String, nullable=False),
    Column("set_at", Float, nullable=False),
    Column("set_by", String, nullable=False),
)

version_tags = Table(
    "version_tags",
    metadata,
    Column("model", String, primary_key=True),
    # Empty for what is of the model itself: a key column of PostgreSQL cannot be NULL.
    Column("version", String, primary_key=True),
    Column("key", String, primary_key=True),
    Column("value", Text, nullable=False),
)

version_notes = Table(
    "version_notes",
    metadata,
    Column("model", String, primary_key=True),
    Column("version", String, primary_key=True),
    Column("description", Text, nullable=False),
)
