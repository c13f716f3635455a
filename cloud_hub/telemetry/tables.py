"""Tables of messages and of their content. A message and its content are stored in one
transaction; ``messages`` has its name, so that it counts once.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import JSON, Column, Float, Index, Integer, String, Table, Text, text

from cloud_hub.database.engine import Whole, metadata

ROLLED: Final = "*"
"""Device of rows that are the sum over all devices; see ``retention``."""

messages = Table(
    "messages",
    metadata,
    Column("device", String, primary_key=True),
    Column("boot", String, primary_key=True),
    Column("sequence", Whole, primary_key=True),
    Column("kind", String, nullable=False),
    Column("at", Float, nullable=False),
)

reports = Table(
    "reports",
    metadata,
    Column("id", Whole, primary_key=True, autoincrement=True),
    Column("device", String, nullable=False),
    Column("model", String, nullable=False),
    Column("version", String, nullable=False),
    Column("experiment", String),
    Column("arm", String, nullable=False),
    Column("start", Whole, nullable=False),
    Column("end", Whole, nullable=False),
    Column("observations", Whole, nullable=False),
    Column("predictions", Whole, nullable=False),
    Column("failures", Whole, nullable=False),
    Column("body", JSON, nullable=False),
    # 1: ``window_sums`` has it. 0: an older hub wrote it.
    Column("summed", Integer, nullable=False, server_default=text("0")),
    # With the device: one that reports a second time within a window is counted once.
    Index("reports_by_window", "model", "version", "start", "device"),
    Index("reports_by_end", "end"),
    Index(
        "reports_of_older_hubs", "model", "start",
        sqlite_where=text("summed = 0"), postgresql_where=text("summed = 0"),
    ),
)  # fmt: skip

feedback = Table(
    "feedback",
    metadata,
    Column("id", Whole, primary_key=True, autoincrement=True),
    Column("device", String, nullable=False),
    Column("model", String, nullable=False),
    Column("version", String, nullable=False),
    Column("experiment", String),
    Column("arm", String, nullable=False),
    Column("start", Whole, nullable=False),
    Column("labelled", Whole, nullable=False),
    Column("correct", Whole, nullable=False),
    Column("own_labelled", Whole, nullable=False),
    Column("own_correct", Whole, nullable=False),
    Column("measured", Whole, nullable=False, server_default=text("0")),
    Column("error_sum", Float, nullable=False, server_default=text("0")),
    Column("error_squares", Float, nullable=False, server_default=text("0")),
    Column("error_fourths", Float, nullable=False, server_default=text("0")),
    Column("body", JSON, nullable=False),
    Column("summed", Integer, nullable=False, server_default=text("0")),
    Index("feedback_by_window", "model", "version", "start"),
    Index(
        "feedback_of_older_hubs", "model", "start",
        sqlite_where=text("summed = 0"), postgresql_where=text("summed = 0"),
    ),
)  # fmt: skip

window_sums = Table(
    "window_sums",
    metadata,
    Column("model", String, primary_key=True),
    Column("version", String, primary_key=True),
    # Empty for none: a key has no NULL.
    Column("experiment", String, primary_key=True),
    Column("arm", String, primary_key=True),
    Column("start", Whole, primary_key=True),
    Column("end", Whole, primary_key=True),
    # Each writer has rows of its own: of two that added to one, one would wait for the other.
    Column("part", Whole, primary_key=True),
    Column("devices", Whole, nullable=False),
    Column("observations", Whole, nullable=False),
    Column("labelled", Whole, nullable=False),
    Column("correct", Whole, nullable=False),
    Column("own_labelled", Whole, nullable=False),
    Column("own_correct", Whole, nullable=False),
    Column("measured", Whole, nullable=False),
    Column("error_sum", Float, nullable=False),
    Column("error_squares", Float, nullable=False),
    Column("body", JSON, nullable=False),
    Index("window_sums_by_start", "model", "start"),
)

group_sums = Table(
    "group_sums",
    metadata,
    Column("model", String, primary_key=True),
    Column("version", String, primary_key=True),
    Column("by", String, primary_key=True),
    Column("name", String, primary_key=True),
    Column("start", Whole, primary_key=True),
    Column("observations", Whole, nullable=False),
    Column("labelled", Whole, nullable=False),
    Column("correct", Whole, nullable=False),
)

group_answers = Table(
    "group_answers",
    metadata,
    Column("model", String, primary_key=True),
    Column("version", String, primary_key=True),
    Column("by", String, primary_key=True),
    Column("name", String, primary_key=True),
    Column("answer", String, primary_key=True),
    Column("predictions", Whole, nullable=False),
)

totals = Table(
    "device_totals",
    metadata,
    Column("model", String, primary_key=True),
    Column("device", String, primary_key=True),
    Column("predictions", Whole, nullable=False),
)

ledgers = Table(
    "device_days",
    metadata,
    Column("device", String, primary_key=True),
    Column("model", String, primary_key=True),
    Column("day", Whole, primary_key=True),
    Column("requests", Whole, nullable=False),
    Column("labels", Whole, nullable=False),
    Column("rewards", Whole, nullable=False),
    Column("compared", Whole, nullable=False),
    Column("sessions", Whole, nullable=False),
    Index("device_days_by_day", "day"),
)

samples = Table(
    "samples",
    metadata,
    Column("id", Whole, primary_key=True, autoincrement=True),
    Column("device", String, nullable=False),
    Column("model", String, nullable=False),
    Column("version", String, nullable=False),
    Column("taken", Whole, nullable=False),
    Column("row", JSON, nullable=False),
    Column("label", JSON, nullable=False),
    Index("samples_by_time", "model", "taken"),
    Index("samples_by_device", "model", "device", "taken"),
)

tensor_samples = Table(
    "tensor_samples",
    metadata,
    Column("id", Whole, primary_key=True, autoincrement=True),
    Column("device", String, nullable=False),
    Column("model", String, nullable=False),
    Column("version", String, nullable=False),
    Column("taken", Whole, nullable=False),
    Column("label", JSON, nullable=False),
    Column("shapes", JSON, nullable=False),
    Column("bytes", Integer, nullable=False),
    # As it came: base64 of a zstd frame.
    Column("data", Text, nullable=False),
    Index("tensor_samples_by_time", "model", "taken"),
    Index("tensor_samples_by_device", "model", "device", "taken"),
)

votes = Table(
    "votes",
    metadata,
    Column("model", String, primary_key=True),
    Column("period", Whole, primary_key=True),
    Column("device", String, primary_key=True),
    Column("key", String, primary_key=True),
)

events = Table(
    "events",
    metadata,
    Column("id", Whole, primary_key=True, autoincrement=True),
    Column("device", String, nullable=False),
    Column("model", String, nullable=False, index=True),
    Column("version", String, nullable=False),
    Column("outcome", String, nullable=False),
    Column("experiment", String),
    Column("step", String),
    Column("reason", Text),
    Column("at", Whole, nullable=False),
)

personal_reports = Table(
    "personal_reports",
    metadata,
    Column("device", String, primary_key=True),
    Column("model", String, primary_key=True),
    Column("generation", Whole, primary_key=True),
    Column("version", String, nullable=False),
    Column("cohort", String, nullable=False),
    Column("epsilon", Float),
    Column("at", Whole, nullable=False),
    Column("received_at", Float, nullable=False),
    Column("body", JSON, nullable=False),
    Index("personal_reports_by_generation", "model", "generation"),
)
