"""Tables of triggers: states of rules, their evaluations, their firings."""

from __future__ import annotations

from sqlalchemy import JSON, Boolean, Column, Float, Index, Integer, String, Table, Text

from cloud_hub.database.engine import metadata

states = Table(
    "trigger_states",
    metadata,
    Column("model", String, primary_key=True),
    Column("trigger", String, primary_key=True),
    Column("state", JSON, nullable=False),
    Column("hook", String),
)

evaluations = Table(
    "trigger_evaluations",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("model", String, nullable=False),
    Column("trigger", String, nullable=False),
    Column("version", String, nullable=False),
    Column("policy", String, nullable=False),
    Column("first_at", Float, nullable=False),
    Column("last_at", Float, nullable=False),
    Column("times", Integer, nullable=False),
    Column("outcome", String, nullable=False),
    Column("reason", Text, nullable=False),
    Column("evidence", JSON, nullable=False),
    Index("evaluations_by_trigger", "model", "trigger", "id"),
)

firings = Table(
    "firings",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("model", String, nullable=False, index=True),
    Column("trigger", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("version", String, nullable=False),
    Column("at", Float, nullable=False),
    Column("actor", String, nullable=False),
    Column("evidence", JSON, nullable=False),
    Column("mode", String),
    Column("since", Float, nullable=False),
    Column("handled", Boolean, nullable=False, default=False),
)
