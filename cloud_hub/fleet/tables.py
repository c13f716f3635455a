"""Devices and the tokens with which they enrol."""

from __future__ import annotations

from sqlalchemy import JSON, Boolean, Column, Float, Integer, String, Table

from cloud_hub.database.engine import metadata

devices = Table(
    "devices",
    metadata,
    Column("device", String, primary_key=True),
    Column("model", String, nullable=False, index=True),
    Column("token", String, nullable=False, unique=True),
    Column("enrolled_at", Float, nullable=False),
    Column("seen_at", Float, nullable=False),
    Column("attributes", JSON, nullable=False),
    Column("version", String),
    Column("plan", Integer, nullable=False, default=0),
    Column("pack", String),
    Column("phase", String, nullable=False, default="idle"),
    Column("failed", JSON, nullable=False),
    Column("waiting", Integer, nullable=False, default=0),
    Column("sharing", Boolean, nullable=False, default=False),
    Column("software", JSON, nullable=False),
)

enrolment_tokens = Table(
    "enrolment_tokens",
    metadata,
    Column("token", String, primary_key=True),
    Column("model", String, nullable=False),
    Column("uses", Integer, nullable=False),
    Column("expires_at", Float, nullable=False),
)
