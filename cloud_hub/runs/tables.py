"""Runs and what became of them, and what the offline gate was asked."""

from __future__ import annotations

from sqlalchemy import JSON, Column, Float, Integer, String, Table, Text, text

from cloud_hub.database.engine import metadata

runs = Table(
    "runs",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("model", String, nullable=False, index=True),
    Column("mode", String, nullable=False),
    Column("mode_reason", Text, nullable=False, default=""),
    Column("parent", String, nullable=False),
    Column("causes", JSON, nullable=False),
    Column("status", String, nullable=False),
    Column("since", Float, nullable=False),
    Column("until", Float),
    Column("created_at", Float, nullable=False),
    Column("updated_at", Float, nullable=False),
    Column("attempts", Integer, nullable=False, default=0),
    Column("rows", Integer, nullable=False, default=0),
    Column("peak_mb", Integer, nullable=False, default=0),
    Column("version", String),
    Column("experiment", String),
    Column("gate", JSON, nullable=False),
    Column("reason", Text, nullable=False, default=""),
    Column("isolation", Text, nullable=False, default="", server_default=text("''")),
    Column("datasets", JSON),
    Column("validation", JSON),
    Column("pipeline", Integer),
    Column("parameters", JSON),
    Column("repeats", Integer),
    Column("begin", String),
    Column("waits_since", Float),
)

gate_uses = Table(
    "gate_uses",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("model", String, nullable=False, index=True),
    Column("slice", String, nullable=False),
    Column("data", String, nullable=False),
    Column("version", String, nullable=False),
    Column("at", Float, nullable=False),
    Column("checks", Integer, nullable=False),
    Column("decided", Integer, nullable=False),
)
