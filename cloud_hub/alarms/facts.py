"""The facts that conditions are judged by, read from the database."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from sqlalchemy import ColumnElement, Connection, Engine, and_, case, distinct, func, select

from cloud_hub.alarms.conditions import FleetCounts, WornRows
from cloud_hub.flags.tables import flags
from cloud_hub.fleet.tables import devices, identities
from cloud_hub.observability.figures import contact_at
from cloud_hub.plans.tables import plans
from cloud_hub.policy.schema.alarms import AlarmPolicy
from cloud_hub.runs.tables import gate_uses

DAY = 86_400.0
MONTH = 30 * DAY
STUCK = AlarmPolicy().stuck_seconds


def fleet_counts(
    engine: Engine, now: float, stuck_of: Callable[[str], float] = lambda model: STUCK
) -> list[FleetCounts]:
    """Return the counts of active devices of all models that have some.

    Args:
        engine: of the hub's database.
        now: Unix seconds.
        stuck_of: seconds that devices of a model have to follow a plan.
    """
    f = flags.c
    flagged = (
        select(f.model, func.count(distinct(f.device)))
        .where(f.last_at >= now - DAY)
        .group_by(f.model)
    )
    with engine.connect() as db:
        liars = {model: int(count) for model, count in db.execute(flagged)}
        found = {counts.model: counts for counts in _counts(db, now, STUCK, liars)}
        others = {model: stuck_of(model) for model in found if stuck_of(model) != STUCK}
        # Few policies say another time, and those say the same: one query for each time.
        for seconds in set(others.values()):
            for counts in _counts(db, now, seconds, liars):
                if others.get(counts.model) == seconds:
                    found[counts.model] = counts
    return list(found.values())


def _counts(
    db: Connection, now: float, stuck: float, liars: Mapping[str, int]
) -> Iterator[FleetCounts]:
    d, p = devices.c, plans.c
    # The newest plan that devices have had time to follow: one that changes every hour for another
    # reason, such as a pack, must not hide that nobody follows.
    newest = (
        select(p.model, func.max(p.serial).label("serial"))
        .where(p.at <= now - stuck)
        .group_by(p.model)
        .subquery()
    )
    told = d.seen_at >= p.at + stuck
    counts = (
        select(
            d.model, func.count(), _count(contact_at(now) == "lost"), _count(told),
            _count(and_(told, d.plan < p.serial)),
        )
        .select_from(devices)
        .join(identities, identities.c.device == d.device)
        .outerjoin(newest, newest.c.model == d.model)
        .outerjoin(plans, and_(p.model == d.model, p.serial == newest.c.serial))
        .where(identities.c.standing == "active")
        .group_by(d.model)
    )  # fmt: skip
    for model, all_, lost, told_, behind in db.execute(counts):
        liar = liars.get(model, 0)
        yield FleetCounts(model, int(all_), int(lost), None, int(told_), int(behind), liar)


def worn_rows(engine: Engine, now: float) -> list[WornRows]:
    """Return how often the gate decided on rows that it still judges by.

    Fresh rows are others each time, so they do not wear.

    Args:
        engine: of the hub's database.
        now: Unix seconds.
    """
    u = gate_uses.c
    query = (
        select(u.model, u.slice, u.data, func.count())
        .where(u.data != "")
        .group_by(u.model, u.slice, u.data)
        .having(func.max(u.at) >= now - MONTH)
        .order_by(func.max(u.at))
    )
    with engine.connect() as db:
        # Of rows that replaced others the newest stay: a worn set that was replaced is no matter.
        newest = {(model, part): int(uses) for model, part, _, uses in db.execute(query)}
    return [WornRows(model, part, uses) for (model, part), uses in newest.items()]


def _count(where: ColumnElement[bool]) -> ColumnElement[int]:
    return func.coalesce(func.sum(case((where, 1), else_=0)), 0)
