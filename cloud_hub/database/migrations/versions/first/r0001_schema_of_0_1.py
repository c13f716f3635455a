"""The schema of edge-hub 0.1.0: the tables that hubs had when migrations began.

Databases of that time hold no revision. What is there already is passed over, so that this revision
adopts such a database, complete or not, as well as it makes a new one.

Revision ID: 0001
Revises:
"""

from __future__ import annotations

from typing import Any

from alembic import op
from sqlalchemy import JSON, Boolean, Column, Float, Index, Integer, MetaData, String, Table, Text

revision = "0001"
down_revision = None

schema = MetaData()


def _table(name: str, *parts: Any) -> None:
    Table(name, schema, *parts)


def _number() -> Column[int]:
    return Column("id", Integer, primary_key=True, autoincrement=True)


def _key(**columns: Any) -> list[Column[Any]]:
    return [Column(name, kind, primary_key=True) for name, kind in columns.items()]


def _required(**columns: Any) -> list[Column[Any]]:
    return [Column(name, kind, nullable=False) for name, kind in columns.items()]


def _optional(**columns: Any) -> list[Column[Any]]:
    return [Column(name, kind) for name, kind in columns.items()]


_table(
    "audit",
    _number(),
    *_required(at=Float, actor=String, action=String),
    *_optional(model=String),
    *_required(detail=JSON),
    Index("ix_audit_model", "model"),
)
_table(
    "datasets",
    _number(),
    *_required(model=String, kind=String, blob=String, rows=Integer, added_at=Float),
    Index("ix_datasets_model", "model"),
)
_table("device_totals", *_key(model=String, device=String), *_required(predictions=Integer))
_table(
    "devices",
    *_key(device=String),
    *_required(model=String),
    Column("token", String, nullable=False, unique=True),
    *_required(enrolled_at=Float, seen_at=Float, attributes=JSON),
    *_optional(version=String),
    *_required(plan=Integer),
    *_optional(pack=String),
    *_required(phase=String, failed=JSON, waiting=Integer, sharing=Boolean, software=JSON),
    Index("ix_devices_model", "model"),
)
_table(
    "enrolment_tokens",
    *_key(token=String),
    *_required(model=String, uses=Integer, expires_at=Float),
)
_table(
    "events",
    _number(),
    *_required(device=String, model=String, version=String, outcome=String),
    *_optional(experiment=String, step=String, reason=Text),
    *_required(at=Integer),
    Index("ix_events_model", "model"),
)
_table(
    "experiment_looks",
    _number(),
    *_required(
        experiment=String,
        at=Float,
        event=String,
        stage=Integer,
        step=Integer,
        reason=Text,
        figures=JSON,
    ),
    Index("ix_experiment_looks_experiment", "experiment"),
)
_table(
    "experiments",
    *_key(id=String),
    *_required(
        model=String,
        strategy=String,
        candidate=String,
        control=String,
        status=String,
        stage=Integer,
        step=Integer,
        step_started_at=Float,
        started_at=Float,
    ),
    *_optional(ended_at=Float),
    *_required(reason=Text, figures=JSON, spec=JSON, state=JSON),
    Index("ix_experiments_model", "model"),
)
_table(
    "exposures",
    *_key(experiment=String, start=Integer, device=String, arm=String, kind=String),
    *_required(
        received_at=Float,
        predictions=Integer,
        errors=Integer,
        units=Integer,
        labelled=Integer,
        correct=Integer,
        rewards=Integer,
        reward_sum=Float,
        reward_squares=Float,
        latency_n=Integer,
        latency_sum=Float,
        latency_squares=Float,
        energy_windows=Integer,
        energy_n=Float,
        energy_sum=Float,
        energy_n_squares=Float,
        energy_cross=Float,
        energy_squares=Float,
        detail=JSON,
    ),
)
_table(
    "feedback",
    _number(),
    *_required(device=String, model=String, version=String),
    *_optional(experiment=String),
    *_required(
        arm=String,
        start=Integer,
        labelled=Integer,
        correct=Integer,
        own_labelled=Integer,
        own_correct=Integer,
        body=JSON,
    ),
    Index("feedback_by_window", "model", "version", "start"),
)
_table(
    "firings",
    _number(),
    *_required(
        model=String,
        trigger=String,
        kind=String,
        version=String,
        at=Float,
        actor=String,
        evidence=JSON,
    ),
    *_optional(mode=String),
    *_required(since=Float, handled=Boolean),
    Index("ix_firings_model", "model"),
)
_table(
    "group_answers",
    *_key(model=String, version=String, by=String, name=String, answer=String),
    *_required(predictions=Integer),
)
_table(
    "group_sums",
    *_key(model=String, version=String, by=String, name=String, start=Integer),
    *_required(observations=Integer, labelled=Integer, correct=Integer),
)
_table(
    "messages",
    *_key(device=String, boot=String, sequence=Integer),
    *_required(kind=String, at=Float),
)
_table("models", *_key(model=String), *_required(policy=Text))
_table(
    "monitor_alarms",
    _number(),
    *_required(
        model=String,
        version=String,
        signal=String,
        kind=String,
        raised_at=Float,
        start=Integer,
        seen_at=Float,
        evidence=JSON,
    ),
    *_optional(acknowledged_at=Float, acknowledged_by=String),
    Index("ix_monitor_alarms_model", "model"),
)
_table(
    "monitor_baselines",
    *_key(model=String, version=String, name=String, device=String),
    *_required(counts=JSON),
)
_table(
    "monitor_figures",
    _number(),
    *_required(
        model=String,
        version=String,
        signal=String,
        kind=String,
        start=Integer,
        end=Integer,
        alarming=Boolean,
        effect=Float,
        figures=JSON,
    ),
    Index("figures_by_age", "start"),
    Index("figures_by_signal", "model", "signal", "start"),
    Index("figures_by_time", "model", "version", "start"),
)
_table(
    "monitor_states",
    *_key(model=String, version=String),
    *_required(watched_to=Integer, streaks=JSON, concept=JSON),
)
_table(
    "plans",
    *_key(model=String, serial=Integer),
    *_required(plan=Text, at=Float, actor=String, reason=Text),
)
_table(
    "reports",
    _number(),
    *_required(device=String, model=String, version=String),
    *_optional(experiment=String),
    *_required(
        arm=String,
        start=Integer,
        end=Integer,
        observations=Integer,
        predictions=Integer,
        failures=Integer,
        body=JSON,
    ),
    Index("reports_by_end", "end"),
    Index("reports_by_window", "model", "version", "start"),
)
_table(
    "runs",
    _number(),
    *_required(
        model=String,
        mode=String,
        mode_reason=Text,
        parent=String,
        causes=JSON,
        status=String,
        since=Float,
    ),
    *_optional(until=Float),
    *_required(created_at=Float, updated_at=Float, attempts=Integer, rows=Integer, peak_mb=Integer),
    *_optional(version=String, experiment=String),
    *_required(gate=JSON, reason=Text),
    Index("ix_runs_model", "model"),
)
_table(
    "samples",
    _number(),
    *_required(device=String, model=String, version=String, taken=Integer, row=JSON, label=JSON),
    Index("samples_by_time", "model", "taken"),
)
_table("schema_version", *_key(version=Integer))
_table(
    "trigger_evaluations",
    _number(),
    *_required(
        model=String,
        trigger=String,
        version=String,
        policy=String,
        first_at=Float,
        last_at=Float,
        times=Integer,
        outcome=String,
        reason=Text,
        evidence=JSON,
    ),
    Index("evaluations_by_trigger", "model", "trigger", "id"),
)
_table(
    "trigger_states",
    *_key(model=String, trigger=String),
    *_required(state=JSON),
    *_optional(hook=String),
)
_table(
    "versions",
    *_key(model=String, version=String),
    *_required(manifest=String),
    *_optional(parent=String),
    *_required(mode=String, metrics=JSON, rows=Integer, status=String),
    *_optional(training_state=String),
    *_required(published_at=Float, actor=String),
    *_optional(override=Text),
)
_table("votes", *_key(model=String, period=Integer, device=String, key=String))


def upgrade() -> None:
    """Make the tables that are missing."""
    schema.create_all(op.get_bind())
