"""News of models: a number for each that grows whenever devices say something of it.

Whoever works on what devices said compares the number with that of the last time, and reads nothing
where it is the same. It is written in the transaction that stores what was said, and read before
that is read: what is missed by one look is news to the next, and never the other way round.

Sightings are no news: that a device was heard of changes the time of its row and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Integer,
    ScalarSelect,
    String,
    Table,
    func,
    select,
)

from cloud_hub.database.bulk import insert_adding
from cloud_hub.database.engine import Whole, metadata

FLEET: Final = -1
"""Part of the rows that what is no upload is counted in."""

model_news = Table(
    "model_news",
    metadata,
    Column("model", String, primary_key=True),
    # Writers have parts of their own, so that none waits for another.
    Column("part", Integer, primary_key=True, autoincrement=False),
    Column("number", Whole, nullable=False),
)


def tell(db: Connection, models: Iterable[str], part: int = FLEET) -> None:
    """Count one more piece of news of each model.

    Args:
        db: transaction that stores what is new.
        models: their names.
        part: of the writer.
    """
    rows = [(model, part, 1) for model in sorted(set(models))]
    insert_adding(db, model_news, ("model", "part", "number"), rows, adds=("number",))


def news_of(model: ColumnElement[str]) -> ScalarSelect[int]:
    """Return the number of a model as part of a query; NULL where there was no news of it.

    Args:
        model: column with its name.
    """
    query = select(func.sum(model_news.c.number)).where(model_news.c.model == model)
    return query.scalar_subquery()
