"""Experiments, the looks at them, and what devices reported of them.

``exposures`` adds up what devices report of an experiment, in the transaction that stores the
message: one row for each device, arm and day, and a new one where a step begins. So a look reads as
much on the tenth day of a step as on the first, times ten; not every message again.

``experiment_members`` holds the attributes by which a device belongs to an experiment with cohorts:
those of when it began, or of the device's first message for it. What a device says of itself later
moves it to no other cohort.
"""

from __future__ import annotations

from sqlalchemy import JSON, Column, Float, Integer, String, Table, Text, text

from cloud_hub.database.engine import Whole, metadata

experiments = Table(
    "experiments",
    metadata,
    Column("id", String, primary_key=True),
    Column("model", String, nullable=False, index=True),
    Column("strategy", String, nullable=False),
    Column("candidate", String, nullable=False),
    Column("control", String, nullable=False),
    Column("status", String, nullable=False),
    Column("stage", Integer, nullable=False),
    Column("step", Integer, nullable=False),
    Column("step_started_at", Float, nullable=False),
    Column("started_at", Float, nullable=False),
    Column("ended_at", Float),
    Column("reason", Text, nullable=False, default=""),
    Column("figures", JSON, nullable=False),
    Column("spec", JSON, nullable=False),
    Column("state", JSON, nullable=False),
)

looks = Table(
    "experiment_looks",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("experiment", String, nullable=False, index=True),
    Column("at", Float, nullable=False),
    Column("event", String, nullable=False),
    Column("stage", Integer, nullable=False),
    Column("step", Integer, nullable=False),
    Column("reason", Text, nullable=False),
    Column("figures", JSON, nullable=False),
)

exposures = Table(
    "exposures",
    metadata,
    Column("experiment", String, primary_key=True),
    Column("start", Whole, primary_key=True),
    Column("device", String, primary_key=True),
    Column("arm", String, primary_key=True),
    Column("kind", String, primary_key=True),
    Column("received_at", Float, nullable=False),
    Column("predictions", Whole, nullable=False, default=0),
    Column("errors", Whole, nullable=False, default=0),
    Column("units", Whole, nullable=False, default=0),
    Column("labelled", Whole, nullable=False, default=0),
    Column("correct", Whole, nullable=False, default=0),
    Column("served_labelled", Whole, nullable=False, server_default=text("0")),
    Column("served_correct", Whole, nullable=False, server_default=text("0")),
    Column("measured", Whole, nullable=False, server_default=text("0")),
    Column("error_sum", Float, nullable=False, server_default=text("0")),
    Column("error_squares", Float, nullable=False, server_default=text("0")),
    Column("error_fourths", Float, nullable=False, server_default=text("0")),
    Column("rewards", Whole, nullable=False, default=0),
    Column("reward_sum", Float, nullable=False, default=0.0),
    Column("reward_squares", Float, nullable=False, default=0.0),
    Column("latency_n", Whole, nullable=False, default=0),
    Column("latency_sum", Float, nullable=False, default=0.0),
    Column("latency_squares", Float, nullable=False, default=0.0),
    Column("energy_windows", Whole, nullable=False, default=0),
    Column("energy_n", Float, nullable=False, default=0.0),
    Column("energy_sum", Float, nullable=False, default=0.0),
    Column("energy_n_squares", Float, nullable=False, default=0.0),
    Column("energy_cross", Float, nullable=False, default=0.0),
    Column("energy_squares", Float, nullable=False, default=0.0),
    Column("detail", JSON, nullable=False, default=dict),
)

members = Table(
    "experiment_members",
    metadata,
    Column("experiment", String, primary_key=True),
    Column("device", String, primary_key=True),
    Column("attributes", JSON, nullable=False),
)
