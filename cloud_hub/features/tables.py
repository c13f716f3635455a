"""Declared sets of features, the files that hold their rows, who uses them, measured skew."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Float, Integer, String, Table, Text, UniqueConstraint

from cloud_hub.database.engine import Whole, metadata

feature_sets = Table(
    "feature_sets",
    metadata,
    Column("name", String, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("text", Text, nullable=False),
    Column("digest", String, nullable=False),
    Column("actor", String, nullable=False),
    Column("at", Float, nullable=False),
)

feature_segments = Table(
    "feature_segments",
    metadata,
    Column("id", Whole, primary_key=True, autoincrement=True),
    Column("name", String, nullable=False),
    Column("version", Integer, nullable=False),
    Column("sha256", String, nullable=False),
    Column("bytes", Whole, nullable=False),
    Column("rows", Whole, nullable=False),
    Column("since", Float, nullable=False),
    Column("until", Float, nullable=False),
    Column("source", Text, nullable=False),
    Column("actor", String, nullable=False),
    Column("at", Float, nullable=False),
    UniqueConstraint("name", "sha256"),
)

feature_uses = Table(
    "feature_uses",
    metadata,
    Column("model", String, primary_key=True),
    Column("version", String, primary_key=True),
    Column("name", String, primary_key=True),
    Column("set_version", Integer, primary_key=True),
    Column("kind", String, primary_key=True),
    Column("history", String, nullable=False),
    Column("at", Float, nullable=False),
)

feature_skews = Table(
    "feature_skews",
    metadata,
    Column("id", Whole, primary_key=True, autoincrement=True),
    Column("model", String, nullable=False, index=True),
    Column("version", String, nullable=False),
    Column("feature", String, nullable=False),
    Column("compared", Integer, nullable=False),
    Column("different", Integer, nullable=False),
    Column("alarming", Boolean, nullable=False),
    Column("at", Float, nullable=False),
)
