"""Alarms of the hub and its fleet; those of a model's data are monitoring's."""

from __future__ import annotations

from sqlalchemy import JSON, Column, Float, Index, String, Table, Text

from cloud_hub.database.engine import Whole, metadata

hub_alarms = Table(
    "hub_alarms",
    metadata,
    Column("id", Whole, primary_key=True, autoincrement=True),
    Column("key", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("severity", String, nullable=False),
    Column("model", String),
    Column("version", String),
    Column("says", Text, nullable=False),
    Column("todo", Text, nullable=False),
    Column("evidence", JSON, nullable=False),
    Column("opened_at", Float, nullable=False),
    Column("seen_at", Float, nullable=False),
    Column("acknowledged_at", Float),
    Column("acknowledged_by", String),
    Column("closed_at", Float),
    Index("hub_alarms_by_closed", "closed_at"),
)
