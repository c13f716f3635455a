"""Marks of versions that were trained on a rare day."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Engine, delete, insert, select, update

from cloud_hub.calendar.occurrence import Occurrence
from cloud_hub.database.documents import Document
from cloud_hub.database.engine import reading, transaction
from cloud_hub.errors import NotFound
from cloud_hub.rush.tables import rush_versions

Outcome = Literal["went_back", "kept", "unused"]
"""What became of it: it served and another took its place again; it serves on; or it did not serve
when the day was over.
"""


@dataclass(frozen=True)
class RushMark:
    """A version that was trained on a rare day, ``begin`` to ``end`` (Unix seconds).

    ``before`` is the version that served before the day's first, or, once it went back, the one
    that took its place; ``run`` made it. ``outcome`` is ``None`` until the day is over, ``reason``
    says why, ``checks`` are those of the comparison on normal data.
    """

    model: str
    version: str
    day: str
    date: str
    begin: float
    end: float
    before: str
    run: int
    marked_at: float
    outcome: Outcome | None
    decided_at: float | None
    reason: str
    checks: tuple[Document, ...]

    @property
    def title(self) -> str:
        """The day with its date, for people."""
        return f"{self.day} of {self.date}"


class RushStore:
    """Marks of all models."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def marks(self, model: str, *, undecided: bool = False) -> list[RushMark]:
        """Return the marks of a model, oldest first, or those that are ``undecided``."""
        query = select(rush_versions).where(rush_versions.c.model == model)
        if undecided:
            query = query.where(rush_versions.c.outcome.is_(None))
        with reading(self._engine) as db:
            rows = db.execute(query.order_by(rush_versions.c.marked_at)).mappings()
            return [RushMark(**{**row, "checks": tuple(row["checks"])}) for row in rows]

    def models(self) -> list[str]:
        """Return the models with marks that are undecided, in order."""
        r = rush_versions.c
        query = select(r.model).where(r.outcome.is_(None)).distinct().order_by(r.model)
        with reading(self._engine) as db:
            return list(db.execute(query).scalars())

    def get(self, model: str, version: str) -> RushMark:
        """Return the mark of a version; raises NotFound."""
        for mark in self.marks(model):
            if mark.version == version:
                return mark
        raise NotFound(f"{model} {version}: was not trained on a rare day")

    def mark(
        self, model: str, version: str, day: Occurrence, *, serving: str, run: int, now: float
    ) -> None:
        """Mark a version, before it is published; a second time changes nothing.

        The mark of a version of the same name that another run made, and never published, is
        replaced.

        Args:
            model: name of the model.
            version: that a run made.
            day: on which it was trained.
            serving: version that serves; if that is of the same day, its own ``before`` counts.
            run: number of the run.
            now: Unix seconds.
        """
        marks = {mark.version: mark for mark in self.marks(model)}
        if version in marks and marks[version].run == run:
            return
        first = marks.get(serving)
        of_a_rush = first is not None and first.outcome is None
        before = first.before if first is not None and of_a_rush else serving
        row = {"day": day.day, "date": day.date, "begin": day.begin, "end": day.end}
        with transaction(self._engine) as db:
            db.execute(_of(delete(rush_versions), model, version))
            db.execute(
                insert(rush_versions).values(
                    model=model, version=version, **row, before=before, run=run, marked_at=now,
                    reason="", checks=[],
                )
            )  # fmt: skip

    def decide(
        self, mark: RushMark, outcome: Outcome, reason: str, *, checks: Any = (), now: float
    ) -> bool:
        """Note what became of a version; return False if that was noted already.

        Args:
            mark: of the version; its ``before`` is stored anew.
            outcome: of it.
            reason: for people.
            checks: of the comparison on normal data, as plain JSON.
            now: Unix seconds.
        """
        change = _of(update(rush_versions), mark.model, mark.version)
        decided = {"outcome": outcome, "reason": reason, "checks": list(checks), "decided_at": now}
        with transaction(self._engine) as db:
            # A person and the loop may decide at once: the first one does.
            done = db.execute(
                change.where(rush_versions.c.outcome.is_(None)).values(
                    **decided, before=mark.before
                )
            )
        return bool(done.rowcount)

    def drop(self, mark: RushMark) -> None:
        """Forget the mark of a version that was never published."""
        with transaction(self._engine) as db:
            db.execute(_of(delete(rush_versions), mark.model, mark.version))


def _of(statement: Any, model: str, version: str) -> Any:
    r = rush_versions.c
    return statement.where(r.model == model, r.version == version)
