"""Amounts by day, model, version, kind and what they were for."""

from __future__ import annotations

from sqlalchemy import Column, Float, Integer, String, Table

from cloud_hub.database.engine import metadata

costs = Table(
    "costs",
    metadata,
    # Days since 1970 in UTC.
    Column("day", Integer, primary_key=True, autoincrement=False),
    Column("model", String, primary_key=True),
    # Empty where it is of no one version: a key column of PostgreSQL cannot be NULL.
    Column("version", String, primary_key=True),
    Column("kind", String, primary_key=True),
    # ``run 7``, ``batch 3``; empty for none.
    Column("subject", String, primary_key=True),
    Column("amount", Float, nullable=False),
)
