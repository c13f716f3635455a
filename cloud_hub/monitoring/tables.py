"""Tables of monitoring: figures by signal and window, alarms, states between windows, baselines."""

from __future__ import annotations

from sqlalchemy import JSON, Boolean, Column, Float, Index, String, Table, Text

from cloud_hub.database.engine import Whole, metadata

figures = Table(
    "monitor_figures",
    metadata,
    Column("id", Whole, primary_key=True, autoincrement=True),
    Column("model", String, nullable=False),
    Column("version", String, nullable=False),
    Column("signal", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("start", Whole, nullable=False),
    Column("end", Whole, nullable=False),
    Column("alarming", Boolean, nullable=False),
    Column("effect", Float, nullable=False),
    Column("figures", JSON, nullable=False),
    Column("expected", Text),
    Index("figures_by_time", "model", "version", "start"),
    Index("figures_by_signal", "model", "signal", "start"),
    Index("figures_by_age", "start"),
)

alarms = Table(
    "monitor_alarms",
    metadata,
    Column("id", Whole, primary_key=True, autoincrement=True),
    Column("model", String, nullable=False, index=True),
    Column("version", String, nullable=False),
    Column("signal", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("raised_at", Float, nullable=False),
    Column("start", Whole, nullable=False),
    Column("seen_at", Float, nullable=False),
    Column("evidence", JSON, nullable=False),
    Column("acknowledged_at", Float),
    Column("acknowledged_by", String),
    Column("expected", Text),
)

states = Table(
    "monitor_states",
    metadata,
    Column("model", String, primary_key=True),
    Column("version", String, primary_key=True),
    Column("watched_to", Whole, nullable=False),
    Column("streaks", JSON, nullable=False),
    Column("concept", JSON, nullable=False),
)

baselines = Table(
    "monitor_baselines",
    metadata,
    Column("model", String, primary_key=True),
    Column("version", String, primary_key=True),
    Column("name", String, primary_key=True),
    Column("device", String, primary_key=True),
    Column("counts", JSON, nullable=False),
)
