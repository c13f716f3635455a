"""Sums of adapted rankings as devices reported them, by device, version, day and policy.

They are added up in the transaction that stores the message; what a device sends of a day is one
row a policy, however many windows it reports.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final

from sqlalchemy import Column, Connection, Engine, Float, Index, String, Table, func, select

from cloud_hub.database.engine import Whole, insert_or_add, metadata, reading
from cloud_hub.fleet.tables import identities
from edge_sdk.contract.personal.ranking_report import RankingReport

DAY: Final = 86_400
SUMS: Final = (
    "weight", "weight_squares", "reward", "reward_squares", "cross", "robust", "robust_squares",
)  # fmt: skip
COUNTS: Final = ("lists", "shown", "clipped", "stopped", "unsupported")

ranking_sums = Table(
    "ranking_sums",
    metadata,
    Column("device", String, primary_key=True),
    Column("model", String, primary_key=True),
    Column("version", String, primary_key=True),
    Column("day", Whole, primary_key=True),
    Column("policy", String, primary_key=True),
    *(Column(name, Whole, nullable=False) for name in COUNTS),
    *(Column(name, Float, nullable=False) for name in SUMS),
    Index("ranking_sums_by_day", "model", "day"),
)


def store_rankings(db: Connection, device: str, body: RankingReport) -> None:
    """Add the sums of one message.

    Args:
        db: transaction of the upload.
        device: its name.
        body: checked sums.
    """
    window = body.window
    named = {
        "device": device, "model": window.model, "version": window.version,
        "day": window.start - window.start % DAY,
    }  # fmt: skip
    counts = {
        "lists": body.lists, "shown": body.shown, "clipped": body.clipped,
        "stopped": int(body.stopped),
    }  # fmt: skip
    rows = [
        {**named, "policy": policy, **counts, **asdict(sums)}
        for policy, sums in body.policies.items()
    ]
    insert_or_add(db, ranking_sums, rows, (*COUNTS, *SUMS))


def ranking_rows(
    engine: Engine, model: str, version: str, since: float
) -> Sequence[dict[str, Any]]:
    """Return the sums of devices that are trusted today, by device and policy.

    Args:
        engine: of the database.
        model: name of the line.
        version: that ranked.
        since: Unix seconds; of the days that begin then or later.
    """
    t, i = ranking_sums.c, identities.c
    sums = [func.sum(t[name]).label(name) for name in (*COUNTS, *SUMS)]
    query = (
        select(t.device, t.policy, *sums)
        .join(identities, i.device == t.device)
        .where(t.model == model, t.version == version, t.day >= since, i.standing == "active")
        .group_by(t.device, t.policy)
        .order_by(t.device, t.policy)
    )
    with reading(engine) as db:
        return [dict(row) for row in db.execute(query).mappings()]


def versions_ranked(engine: Engine, model: str) -> list[str]:
    """Return the versions of a model that devices reported rankings of, latest day first."""
    t = ranking_sums.c
    query = (
        select(t.version).where(t.model == model).group_by(t.version)
        .order_by(func.max(t.day).desc(), t.version.desc())
    )  # fmt: skip
    with reading(engine) as db:
        return list(db.execute(query).scalars())
