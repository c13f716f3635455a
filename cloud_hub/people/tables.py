"""People, what they ask with, and what they began in a browser. No table holds a secret: tokens and
sessions are hashed.
"""

from __future__ import annotations

from sqlalchemy import JSON, Column, Float, Integer, String, Table, Text

from cloud_hub.database.engine import metadata

people = Table(
    "people",
    metadata,
    Column("name", String, primary_key=True),
    Column("kind", String, nullable=False),
    Column("role", String, nullable=False),
    # None for all models.
    Column("models", JSON(none_as_null=True)),
    # Issuer and subject of who signs in by OpenID Connect; no other provider can claim the name.
    Column("subject", String, unique=True),
    Column("made_at", Float, nullable=False),
    Column("made_by", String, nullable=False),
    Column("disabled_at", Float),
    Column("reason", Text),
)

access_tokens = Table(
    "access_tokens",
    metadata,
    Column("id", String, primary_key=True),
    Column("digest", String, nullable=False, unique=True),
    Column("person", String, nullable=False, index=True),
    Column("name", String, nullable=False),
    Column("role", String, nullable=False),
    Column("models", JSON(none_as_null=True)),
    Column("made_at", Float, nullable=False),
    Column("made_by", String, nullable=False),
    Column("expires_at", Float, nullable=False),
    Column("used_at", Float),
    Column("revoked_at", Float),
)

person_sessions = Table(
    "person_sessions",
    metadata,
    Column("digest", String, primary_key=True),
    Column("person", String, nullable=False, index=True),
    # The access token that it was begun with: the session ends with it.
    Column("token", String),
    # Hash of the administrator's file, where that began it: another content ends the session.
    Column("root", String),
    Column("begun_at", Float, nullable=False),
    Column("seen_at", Float, nullable=False),
    Column("expires_at", Float, nullable=False),
)

sign_in_attempts = Table(
    "sign_in_attempts",
    metadata,
    Column("digest", String, primary_key=True),
    Column("nonce", String, nullable=False),
    Column("verifier", String, nullable=False),
    Column("next", String, nullable=False),
    Column("expires_at", Float, nullable=False),
)

approvals = Table(
    "approvals",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("model", String, nullable=False, index=True),
    Column("version", String, nullable=False),
    Column("serial", Integer, nullable=False),
    Column("reason", Text, nullable=False),
    Column("override", Text),
    Column("experiment", String),
    Column("arm", String),
    Column("requested_by", String, nullable=False),
    Column("requested_at", Float, nullable=False),
    Column("expires_at", Float, nullable=False),
    Column("state", String, nullable=False),
    Column("decided_by", String),
    Column("decided_at", Float),
)
