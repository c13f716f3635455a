"""Experiments as they are kept: records, and the history of looks at them."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Engine, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from cloud_hub.database.engine import reading, transaction
from cloud_hub.errors import Conflict, NotFound
from cloud_hub.experiments.tables import experiments, looks
from cloud_hub.experiments.verdict.spec import ArmSpec, ExperimentSpec
from edge_sdk.contract.codec import from_plain, to_plain
from edge_sdk.contract.plan import Experiment

LOOKS_KEPT: Final = 400
"""Of one experiment; beyond, every other is dropped and looks are noted half as often."""

OPEN: Final = ("running", "paused", "waiting")
"""States of an experiment that the plan still names."""


@dataclass(frozen=True)
class ExperimentRecord:
    """One experiment.

    ``status``: ``running``; ``paused`` (by a person, a guardrail, or without data); ``waiting``
    for a person's approval; then ``promoted``, ``aborted`` (taken back), ``stopped`` (by hand) or
    ``concluded`` (with its finding). ``state`` is what the hub remembers from look to look.
    """

    id: str
    model: str
    strategy: str
    candidate: str
    control: str
    status: str
    stage: int
    step: int
    step_started_at: float
    started_at: float
    ended_at: float | None
    reason: str
    figures: dict[str, Any]
    spec: dict[str, Any]
    state: dict[str, Any]

    @property
    def declared(self) -> ExperimentSpec:
        """What was asked for."""
        return from_plain(ExperimentSpec, self.spec, "experiment")

    @property
    def dropped(self) -> dict[str, dict[str, Any]]:
        """Arms of an A/B/n test that were taken back, with what :func:`against` kept."""
        return dict(self.state.get("dropped", {}))

    @property
    def running(self) -> tuple[ArmSpec, ...]:
        """The candidates that were not dropped."""
        return tuple(arm for arm in self.declared.tried if arm.name not in self.dropped)

    @property
    def open(self) -> bool:
        """Whether it has not ended."""
        return self.status in OPEN


def fresh_record(
    spec: ExperimentSpec, trial: Experiment, control: str, serial: int
) -> ExperimentRecord:
    """An experiment that begins now; ``serial`` is of the plan that names it."""
    now = time.time()
    return ExperimentRecord(
        trial.id, spec.model, spec.strategy, spec.tried[0].version, control, "running", 0, 0, now,
        now, None, "started", {}, to_plain(spec), {"serial": serial, "failures_since": 0.0},
    )  # fmt: skip


def against(arm: str, actor: str, reason: str, figures: Mapping[str, Any]) -> dict[str, Any]:
    """What is remembered of an arm that was dropped: when, by whom, why, and what it had shown."""
    return {
        "at": time.time(),
        "actor": actor,
        "reason": reason,
        "arm": figures.get("arms", {}).get(arm, {}),
        "devices": figures.get("devices", {}).get(arm, {}),
        "guardrails": [g for g in figures.get("guardrails", []) if g["arm"] == arm and g["trips"]],
        "outcomes": [row for row in figures.get("outcomes", []) if row["arm"] == arm],
    }


class ExperimentStore:
    """Records and looks of all experiments."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def records(self, model: str | None = None) -> list[ExperimentRecord]:
        """All of them, oldest first."""
        query = select(experiments).order_by(experiments.c.started_at)
        if model is not None:
            query = query.where(experiments.c.model == model)
        with reading(self._engine) as db:
            return [ExperimentRecord(**row) for row in db.execute(query).mappings()]

    def get(self, id_: str) -> ExperimentRecord:
        """One of them; raises NotFound."""
        with reading(self._engine) as db:
            row = db.execute(select(experiments).where(experiments.c.id == id_)).mappings().first()
        if row is None:
            raise NotFound(f"experiment {id_}: not found")
        return ExperimentRecord(**row)

    def add(self, record: ExperimentRecord) -> None:
        """Keep a new one; raises Conflict if somebody else started one of that name."""
        try:
            with transaction(self._engine) as db:
                db.execute(insert(experiments).values(**vars(record)))
        except IntegrityError as error:
            raise Conflict(f"{record.id}: was started meanwhile, try again") from error

    def note(self, record: ExperimentRecord, **values: Any) -> None:
        """Change some fields of a record."""
        change = update(experiments).where(experiments.c.id == record.id)
        with transaction(self._engine) as db:
            db.execute(change.values(**values))

    def move(self, record: ExperimentRecord, **values: Any) -> bool:
        """Change fields, unless its status changed since ``record`` was read."""
        same = (experiments.c.id == record.id) & (experiments.c.status == record.status)
        with transaction(self._engine) as db:
            done = db.execute(update(experiments).where(same).values(**values))
        return bool(done.rowcount)

    def next_id(self, model: str, strategy: str) -> str:
        """A new name such as ``digits-canary-3``."""
        query = select(func.count()).where(experiments.c.model == model)
        with reading(self._engine) as db:
            number = 1 + int(db.execute(query).scalar() or 0)
        return f"{model[:40]}-{strategy}-{number}"

    def look(
        self,
        record: ExperimentRecord,
        at: float,
        event: str,
        reason: str,
        figures: Mapping[str, Any],
    ) -> None:
        """Keep what was seen at ``at``; ``event`` is ``look``, or what was decided."""
        row = {"experiment": record.id, "at": at, "event": event, "reason": reason}
        place = {"stage": record.stage, "step": record.step, "figures": dict(figures)}
        with transaction(self._engine) as db:
            db.execute(insert(looks).values(**row, **place))
            kept = select(looks.c.id).where(looks.c.experiment == record.id)
            plain = kept.where(looks.c.event == "look").order_by(looks.c.id)
            ids = list(db.execute(plain).scalars())
            if len(ids) > LOOKS_KEPT:
                db.execute(delete(looks).where(looks.c.id.in_(ids[1::2])))

    def due(self, record: ExperimentRecord, now: float) -> bool:
        """Whether the last look is long enough ago, measured by the experiment's age."""
        query = select(func.max(looks.c.at)).where(looks.c.experiment == record.id)
        with reading(self._engine) as db:
            last = db.execute(query).scalar()
        gap = max(1.0, (now - record.started_at) / (LOOKS_KEPT / 2))
        return now - (last if last is not None else -math.inf) >= gap

    def history(self, id_: str) -> list[dict[str, Any]]:
        """Every look that is kept, oldest first."""
        query = select(looks).where(looks.c.experiment == id_).order_by(looks.c.id)
        with reading(self._engine) as db:
            return [dict(row) for row in db.execute(query).mappings()]
