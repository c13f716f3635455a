"""Plans and who changed them: every serial of every model."""

from __future__ import annotations

from sqlalchemy import Column, Float, Integer, String, Table, Text

from cloud_hub.database.engine import metadata

plans = Table(
    "plans",
    metadata,
    Column("model", String, primary_key=True),
    Column("serial", Integer, primary_key=True),
    Column("plan", Text, nullable=False),
    Column("at", Float, nullable=False),
    Column("actor", String, nullable=False),
    Column("reason", Text, nullable=False),
)
