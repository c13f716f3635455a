"""Tables of personal priors, and of models that a person has switched off."""

from __future__ import annotations

from sqlalchemy import JSON, Boolean, Column, Float, String, Table, Text

from cloud_hub.database.engine import Whole, metadata

personal_priors = Table(
    "personal_priors",
    metadata,
    Column("model", String, primary_key=True),
    Column("generation", Whole, primary_key=True),
    Column("version", String, nullable=False),
    Column("manifest", String, nullable=False, index=True),
    Column("sha256", String, nullable=False),
    Column("length", Whole, nullable=False),
    Column("basis", String, nullable=False),
    Column("basis_digest", String, nullable=False),
    Column("helps", Boolean, nullable=False),
    Column("figures", JSON, nullable=False),
    Column("verdict", Text, nullable=False),
    Column("said", JSON, nullable=False),
    Column("source", Text, nullable=False),
    Column("made_at", Float, nullable=False),
    Column("actor", String, nullable=False),
)

personal_switches = Table(
    "personal_switches",
    metadata,
    Column("model", String, primary_key=True),
    Column("reason", Text, nullable=False),
    Column("at", Float, nullable=False),
    Column("actor", String, nullable=False),
)

personal_failures = Table(
    "personal_failures",
    metadata,
    Column("model", String, primary_key=True),
    Column("manifest", String, primary_key=True),
    Column("source", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("at", Float, nullable=False),
)
