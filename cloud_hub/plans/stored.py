"""Plans as they are stored, for those who follow what devices were told over time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection, select

from cloud_hub.plans.tables import plans


class StoredPlan(NamedTuple):
    """A plan of a model: when it was made (Unix seconds), and its JSON, not parsed yet."""

    serial: int
    at: float
    text: str


def plans_after(db: Connection, model: str, serial: int) -> Sequence[StoredPlan]:
    """Return a model's plans after ``serial`` in order: plans never change, so each is read once.

    Args:
        db: an open transaction.
        model: name of the model.
        serial: of the newest plan that was read before; 0 for none.
    """
    query = (
        select(plans.c.serial, plans.c.at, plans.c.plan)
        .where(plans.c.model == model, plans.c.serial > serial)
        .order_by(plans.c.serial)
    )
    return [StoredPlan(*row) for row in db.execute(query)]
