"""Versions of datasets, their tags, and which versions of models they made."""

from __future__ import annotations

from sqlalchemy import JSON, Column, Float, Integer, String, Table, Text, UniqueConstraint

from cloud_hub.database.engine import Whole, metadata

dataset_versions = Table(
    "dataset_versions",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("model", String, nullable=False),
    Column("name", String, nullable=False),
    Column("number", Integer, nullable=False),
    Column("fingerprint", String, nullable=False),
    Column("blob", String, nullable=False),
    Column("bytes", Whole, nullable=False),
    Column("rows", Whole, nullable=False),
    Column("columns", JSON, nullable=False),
    Column("since", Float),
    Column("until", Float),
    Column("source", Text, nullable=False),
    Column("parent", Integer),
    Column("statistics", JSON, nullable=False),
    Column("added_at", Float, nullable=False),
    Column("actor", String, nullable=False),
    UniqueConstraint("model", "name", "number", name="one_dataset_of_a_number"),
)

dataset_tags = Table(
    "dataset_tags",
    metadata,
    Column("model", String, primary_key=True),
    Column("name", String, primary_key=True),
    Column("tag", String, primary_key=True),
    Column("number", Integer, nullable=False),
)

dataset_uses = Table(
    "dataset_uses",
    metadata,
    Column("model", String, primary_key=True),
    Column("version", String, primary_key=True),
    Column("use", String, primary_key=True),
    Column("name", String, primary_key=True),
    Column("number", Integer, primary_key=True),
)
