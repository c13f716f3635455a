"""Where alerts go, and what was tried. The only tables with secrets: those that sign webhooks, and
the passwords within Apprise's URLs; no answer of the hub shows them again.
"""

from __future__ import annotations

from sqlalchemy import JSON, Boolean, Column, Float, Index, Integer, String, Table, Text

from cloud_hub.database.engine import Whole, metadata

destinations = Table(
    "alert_destinations",
    metadata,
    Column("name", String, primary_key=True),
    Column("kind", String, nullable=False),
    Column("url", Text, nullable=False),
    # Newest first: [{"secret": "whsec_…", "until": Unix seconds or None}]
    Column("secrets", JSON, nullable=False),
    Column("rules", JSON, nullable=False),
    Column("made_at", Float, nullable=False),
    Column("made_by", String, nullable=False),
    Column("cursor", Whole, nullable=False),
    Column("urgent", Whole, nullable=False),
    Column("sent_at", Float, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("try_at", Float, nullable=False),
    Column("failing_since", Float),
    Column("disabled", Text),
    Column("silent_until", Float, nullable=False),
)

deliveries = Table(
    "alert_deliveries",
    metadata,
    Column("id", Whole, primary_key=True, autoincrement=True),
    Column("destination", String, nullable=False),
    Column("at", Float, nullable=False),
    Column("event", Whole, nullable=False),
    Column("events", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("delivered", Boolean, nullable=False),
    Column("status", Integer),
    Column("reason", Text, nullable=False),
    Index("alert_deliveries_by_destination", "destination", "id"),
)
