"""Devices: who they are, how each model last ran on them, and what lets new ones in.

An identity belongs to a device and is the same whatever it serves; ``devices`` has a row for each
model on a device, with the state that it last reported. No table holds a secret: tokens, one-time
secrets and credentials are hashed.
"""

from __future__ import annotations

from sqlalchemy import JSON, Boolean, Column, Float, Integer, String, Table, Text

from cloud_hub.database.engine import metadata

identities = Table(
    "identities",
    metadata,
    Column("device", String, primary_key=True),
    # None on devices of 0.1, which had no key: they are revoked.
    Column("public_key", String, unique=True),
    Column("standing", String, nullable=False),
    Column("reason", Text),
    Column("changed_at", Float, nullable=False),
    Column("enrolled_by", String, nullable=False),
    Column("serial", String),
    Column("vouched_by", String, nullable=False),
    Column("attributes", JSON, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("nonce", String),
    Column("credential", String, unique=True),
    Column("credential_at", Float),
)

devices = Table(
    "devices",
    metadata,
    Column("device", String, primary_key=True),
    Column("model", String, primary_key=True, index=True),
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
    Column("interval", Float),
)

enrolment_tokens = Table(
    "enrolment_tokens",
    metadata,
    Column("token", String, primary_key=True),
    Column("id", String, nullable=False, unique=True),
    Column("models", JSON, nullable=False),
    Column("uses", Integer, nullable=False),
    Column("devices", Integer, nullable=False),
    Column("expires_at", Float, nullable=False),
    Column("attributes", JSON, nullable=False),
    Column("approve", Boolean, nullable=False),
    Column("made_at", Float, nullable=False),
    Column("made_by", String, nullable=False),
    Column("revoked_at", Float),
)

registered_serials = Table(
    "registered_serials",
    metadata,
    Column("serial", String, primary_key=True),
    Column("models", JSON, nullable=False),
    Column("public_key", String, unique=True),
    Column("secret", String),
    Column("attributes", JSON, nullable=False),
    Column("registered_at", Float, nullable=False),
    Column("registered_by", String, nullable=False),
    Column("device", String),
)

device_asks = Table(
    "device_asks",
    metadata,
    Column("id", String, primary_key=True),
    Column("device", String, nullable=False, index=True),
    Column("kind", String, nullable=False),
    Column("asked_at", Float, nullable=False),
    Column("asked_by", String, nullable=False),
    Column("answered_at", Float),
    Column("allowed", Boolean),
    Column("lines", JSON, nullable=False),
)

device_groups = Table(
    "device_groups",
    metadata,
    Column("name", String, primary_key=True),
    Column("search", String, nullable=False),
    Column("made_at", Float, nullable=False),
    Column("made_by", String, nullable=False),
)
