"""Tables of versions of training code, and of the version that a model is held at."""

from __future__ import annotations

from sqlalchemy import JSON, Column, Float, Integer, String, Table, Text, UniqueConstraint

from cloud_hub.database.engine import metadata

pipelines = Table(
    "pipelines",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("model", String, nullable=False, index=True),
    Column("number", Integer, nullable=False),
    Column("digest", String, nullable=False),
    Column("lock", String, nullable=False),
    Column("entry", String),
    Column("command", JSON),
    Column("elsewhere", String),
    Column("blob", String, nullable=False),
    Column("files", JSON, nullable=False),
    Column("left_out", Integer, nullable=False),
    Column("packages", JSON, nullable=False),
    Column("created_at", Float, nullable=False),
    UniqueConstraint("model", "number", name="one_pipeline_of_a_number"),
    UniqueConstraint("model", "digest", name="one_pipeline_of_a_digest"),
)

held_pipelines = Table(
    "held_pipelines",
    metadata,
    Column("model", String, primary_key=True),
    Column("number", Integer, nullable=False),
    Column("actor", String, nullable=False),
    Column("reason", Text, nullable=False),
    Column("at", Float, nullable=False),
)
