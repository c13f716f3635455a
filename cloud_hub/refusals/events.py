"""What devices said of the releases that serve: read once, and then only what is new."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import Engine, RowMapping, func, select

from cloud_hub.plans.tables import plans
from cloud_hub.refusals.decision import LastWord, blamed
from cloud_hub.refusals.periods import Period, period_of
from cloud_hub.telemetry.tables import events

AT_ONCE: Final = 500
"""Rows that are read at once."""


@dataclass
class Watched:
    """One model: the plan that it was read under, its period, and what devices last said."""

    serial: int
    period: Period
    steps: dict[str, LastWord] = field(default_factory=dict)

    def take(self, rows: Iterable[RowMapping]) -> None:
        """Take events in the order in which they came; those of another time or release pass."""
        for row in rows:
            is_ours = row["version"] == self.period.version and row["at"] >= self.period.since
            # An experiment's own events are judged by its gate.
            refused = blamed(row["outcome"], row["step"]) if is_ours else None
            if refused is not None and row["experiment"] is None:
                self.steps[row["device"]] = LastWord(refused, row["reason"] or "")


class EventReader:
    """Reader of the events of all models.

    Args:
        engine: of the hub's database.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._last: int | None = None
        self._watched: dict[str, Watched] = {}

    def news(self) -> set[str] | None:
        """Take what came since the last call.

        Returns:
            The models of which something came; ``None`` the first time, when that is not known.
        """
        newest = self._newest()
        last, self._last = self._last, newest
        if last is None:
            return None
        by_model: defaultdict[str, list[RowMapping]] = defaultdict(list)
        if newest > last:
            for row in self._rows(events.c.id > last, events.c.id <= newest):
                by_model[row["model"]].append(row)
        for model, rows in by_model.items():
            if model in self._watched:
                self._watched[model].take(rows)
        return set(by_model)

    def watched(self, model: str, serial: int) -> Watched:
        """Return what devices said of the version that serves.

        Args:
            model: name of the model.
            serial: of its newest plan.
        """
        known = self._watched.get(model)
        if known is not None and known.serial == serial:
            return known
        period = self._period(model)
        if known is not None and known.period == period:
            known.serial = serial  # the plan changed for another reason, such as a pack
            return known
        fresh = Watched(serial, period)
        last = self._last if self._last is not None else self._newest()
        fresh.take(
            self._rows(
                events.c.model == model, events.c.version == period.version,
                events.c.at >= period.since, events.c.id <= last,
            )
        )  # fmt: skip
        self._watched[model] = fresh
        return fresh

    def _newest(self) -> int:
        with self._engine.connect() as db:
            return int(db.execute(select(func.max(events.c.id))).scalar() or 0)

    def _rows(self, *where: object) -> Iterator[RowMapping]:
        e = events.c
        query = select(
            e.device, e.model, e.version, e.outcome, e.experiment, e.step, e.reason, e.at
        )
        query = query.where(*where).order_by(e.id)  # type: ignore[arg-type]
        with self._engine.connect() as db:
            yield from db.execution_options(yield_per=AT_ONCE).execute(query).mappings()

    def _period(self, model: str) -> Period:
        query = select(plans.c.plan, plans.c.at).where(plans.c.model == model)
        with self._engine.connect() as db:
            rows = db.execute(query.order_by(plans.c.serial.desc()).limit(1_000))
            return period_of((json.loads(row.plan)["serving"]["version"], row.at) for row in rows)
