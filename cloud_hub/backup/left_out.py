"""What a backup leaves out: rows of batch predictions, which are computed again where it is
restored.

They may be larger than all the rest, they go out of date in hours, and source, model and schedule,
which make them, are in the backup.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import func, select, update

from cloud_hub.backup.portable_rows import tables_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection, Table

GENERATIONS = "batch_generations"


@dataclass(frozen=True)
class OmittedPredictions:
    """Whole generations of batch predictions, and their rows."""

    generations: int = 0
    rows: int = 0

    def text(self) -> str:
        """Describe it for a person; empty if it is nothing."""
        if not self.generations:
            return ""
        return (
            f"{self.generations} {'generation' if self.generations == 1 else 'generations'} of "
            f"batch predictions ({self.rows:,} rows)"
        )


def left_out(db: Connection) -> OmittedPredictions:
    """Return what is left out of a backup of these tables."""
    made = next((table for table in tables_of(db) if table.name == GENERATIONS), None)
    return OmittedPredictions() if made is None else _whole(db, made)


def forget_predictions(
    db: Connection, tables: Mapping[str, Table], now: float, reason: str
) -> OmittedPredictions:
    """Let the hub compute batch predictions again, and return which: a backup has none of their
    rows.

    Args:
        db: an open transaction.
        tables: by name.
        now: Unix seconds.
        reason: for whoever looks.
    """
    made = tables.get(GENERATIONS)
    if made is None:
        return OmittedPredictions()
    found = _whole(db, made)
    dropped = {"status": "dropped", "reason": reason, "updated_at": now}
    db.execute(update(made).where(made.c.status == "whole").values(**dropped))
    return found


def _whole(db: Connection, made: Table) -> OmittedPredictions:
    rows = func.coalesce(func.sum(made.c.rows), 0)
    count, total = db.execute(select(func.count(), rows).where(made.c.status == "whole")).one()
    return OmittedPredictions(int(count), int(total))
