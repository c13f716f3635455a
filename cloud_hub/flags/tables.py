"""Flags of devices: one row a device, model and kind, however often it is raised."""

from __future__ import annotations

from sqlalchemy import Column, Float, Integer, String, Table, Text

from cloud_hub.database.engine import metadata

flags = Table(
    "device_flags",
    metadata,
    Column("device", String, primary_key=True),
    Column("model", String, primary_key=True, index=True),
    Column("kind", String, primary_key=True),
    Column("reason", Text, nullable=False),
    Column("first_at", Float, nullable=False),
    Column("last_at", Float, nullable=False),
    Column("count", Integer, nullable=False),
)
