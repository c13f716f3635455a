"""The table of the steps of runs: SQL can ask what took how long, and of what what was made."""

from __future__ import annotations

from sqlalchemy import JSON, Column, Float, Integer, String, Table, Text, UniqueConstraint

from cloud_hub.database.engine import metadata

run_steps = Table(
    "run_steps",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("run", Integer, nullable=False, index=True),
    Column("model", String, nullable=False, index=True),
    Column("attempt", Integer, nullable=False),
    Column("step", String, nullable=False),
    Column("status", String, nullable=False),
    Column("began_at", Float, nullable=False),
    Column("ended_at", Float),
    Column("cache_key", String, nullable=False),
    Column("inputs", JSON, nullable=False),
    Column("outputs", JSON, nullable=False),
    Column("metrics", JSON, nullable=False),
    Column("resources", JSON, nullable=False),
    Column("log", Text, nullable=False),
    Column("reason", Text, nullable=False),
    UniqueConstraint("run", "attempt", "step", name="one_step_of_an_attempt"),
)
