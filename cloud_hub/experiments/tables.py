"""Experiments and what became of them."""

from __future__ import annotations

from sqlalchemy import JSON, Column, Float, Integer, String, Table, Text

from cloud_hub.db import metadata

experiments = Table(
    "experiments",
    metadata,
    Column("id", String, primary_key=True),
    Column("model", String, nullable=False, index=True),
    Column("candidate", String, nullable=False),
    Column("control", String, nullable=False),
    Column("status", String, nullable=False),
    Column("step", Integer, nullable=False),
    Column("step_started_at", Float, nullable=False),
    Column("started_at", Float, nullable=False),
    Column("ended_at", Float),
    Column("reason", Text, nullable=False, default=""),
    Column("figures", JSON, nullable=False),
)
