"""Store of experiments: records, and the history of looks at them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from sqlalchemy import Engine, RowMapping, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from cloud_hub.database.engine import reading, transaction
from cloud_hub.database.news import news_of
from cloud_hub.errors import Conflict, NotFound
from cloud_hub.experiments.documents import (
    Seen,
    columns,
    read_figures,
    read_state,
    seen_document,
)
from cloud_hub.experiments.exposure_rows import store_past
from cloud_hub.experiments.record import OPEN, ExperimentEvent, ExperimentRecord
from cloud_hub.experiments.tables import experiments, looks
from cloud_hub.experiments.verdict.measures import ExposureSums
from cloud_hub.experiments.verdict.spec import ExperimentSpec
from cloud_hub.plans.tables import plans
from edge_sdk.contract.codec import from_plain

LOOKS_KEPT: Final = 400
"""Of one experiment; beyond, every other is dropped and looks are noted half as often."""


class Unended(NamedTuple):
    """An experiment that has not ended; another one whenever a look at it may find something new.

    ``serial`` is that of the model's newest plan; for ``news`` see :mod:`cloud_hub.database.news`.
    """

    id: str
    status: str
    step_started_at: float
    serial: int | None
    news: int | None


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
            return [_record(row) for row in db.execute(query).mappings()]

    def unended(self) -> list[Unended]:
        """Return what there is to look at, oldest first, and no more of it than where it stands."""
        e = experiments.c
        serial = select(func.max(plans.c.serial)).where(plans.c.model == e.model)
        columns = (e.id, e.status, e.step_started_at, serial.scalar_subquery(), news_of(e.model))
        query = select(*columns).where(e.status.in_(OPEN)).order_by(e.started_at)
        with reading(self._engine) as db:
            return [Unended(*row) for row in db.execute(query)]

    def get(self, id_: str) -> ExperimentRecord:
        """One of them; raises NotFound."""
        with reading(self._engine) as db:
            row = db.execute(select(experiments).where(experiments.c.id == id_)).mappings().first()
        if row is None:
            raise NotFound(f"experiment {id_}: not found")
        return _record(row)

    def add(self, record: ExperimentRecord, past: Mapping[str, ExposureSums]) -> None:
        """Keep a new one.

        Args:
            record: of the experiment.
            past: what each device reported before it.

        Raises:
            Conflict: somebody else started one of that name.
        """
        try:
            with transaction(self._engine) as db:
                db.execute(insert(experiments).values(**columns(vars(record))))
                store_past(db, record.id, past, record.started_at)
        except IntegrityError as error:
            raise Conflict(f"{record.id}: was started meanwhile, try again") from error

    def note(self, record: ExperimentRecord, **values: Any) -> None:
        """Change some fields of a record."""
        change = update(experiments).where(experiments.c.id == record.id)
        with transaction(self._engine) as db:
            db.execute(change.values(**columns(values)))

    def move(self, record: ExperimentRecord, **values: Any) -> bool:
        """Change fields, unless its status changed since ``record`` was read."""
        # Compare and set: two processes of the hub may look at once, and only one may decide.
        same = (experiments.c.id == record.id) & (experiments.c.status == record.status)
        with transaction(self._engine) as db:
            done = db.execute(update(experiments).where(same).values(**columns(values)))
        return bool(done.rowcount)

    def next_id(self, model: str, strategy: str) -> str:
        """A new name such as ``digits-canary-3``."""
        query = select(func.count()).where(experiments.c.model == model)
        with reading(self._engine) as db:
            # A count, not the highest number: names are never given back, as records stay.
            number = 1 + int(db.execute(query).scalar() or 0)
        return f"{model[:40]}-{strategy}-{number}"

    def look(
        self,
        record: ExperimentRecord,
        at: float,
        event: str,
        reason: str,
        seen: Seen,
    ) -> None:
        """Add an entry to the history.

        Args:
            record: of the experiment.
            at: Unix seconds.
            event: ``look``, or what was decided.
            reason: for people.
            seen: figures of the look, or what else the entry is about.
        """
        row = {"experiment": record.id, "at": at, "event": event, "reason": reason}
        place = {"stage": record.stage, "step": record.step, "figures": seen_document(seen)}
        with transaction(self._engine) as db:
            db.execute(insert(looks).values(**row, **place))
            # Decisions stay; of plain looks every other goes when there are too many, so that the
            # charts keep their whole length at half the resolution.
            mine = select(looks.c.id).where(looks.c.experiment == record.id)
            plain = mine.where(looks.c.event == "look").order_by(looks.c.id)
            ids = list(db.execute(plain).scalars())
            if len(ids) > LOOKS_KEPT:
                db.execute(delete(looks).where(looks.c.id.in_(ids[1::2])))

    def due(self, record: ExperimentRecord, now: float) -> bool:
        """Return whether the last look is long enough ago, measured by the experiment's age."""
        query = select(func.max(looks.c.at)).where(looks.c.experiment == record.id)
        with reading(self._engine) as db:
            last = db.execute(query).scalar()
        # Looks are spread over the experiment's whole age, however long it runs.
        gap = max(1.0, (now - record.started_at) / (LOOKS_KEPT / 2))
        return now - (last if last is not None else -math.inf) >= gap

    def history(self, id_: str) -> list[ExperimentEvent]:
        """Return every entry of the history, oldest first."""
        query = select(looks).where(looks.c.experiment == id_).order_by(looks.c.id)
        with reading(self._engine) as db:
            return [_event(row) for row in db.execute(query).mappings()]


def _record(row: RowMapping) -> ExperimentRecord:
    spec = from_plain(ExperimentSpec, row["spec"], "experiment")
    documents = {"figures": read_figures(row["figures"]), "state": read_state(row["state"])}
    return ExperimentRecord(**{**row, **documents, "spec": spec})


def _event(row: RowMapping) -> ExperimentEvent:
    return ExperimentEvent(
        row["at"],
        row["event"],
        row["stage"],
        row["step"],
        row["reason"],
        read_figures(row["figures"], row["event"]),
    )


def objection(store: ExperimentStore, model: str, version: str) -> str:
    """Say which experiment took a version back, if the newest one that tried it did.

    Args:
        store: of the experiments.
        model: name of the line.
        version: one of its versions.

    Returns:
        A sentence with the experiment's reason, or nothing.
    """
    for record in reversed(store.records(model)):
        tried = (arm for arm in record.spec.tried if arm.personalise is None)
        if any(arm.version == version for arm in tried):
            aborted = record.status == "aborted"
            return f"{record.id} took it back: {record.reason}" if aborted else ""
    return ""
