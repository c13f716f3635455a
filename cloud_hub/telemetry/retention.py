"""How long what devices reported is kept, and in which detail.

Reports are kept whole for some days; then the windows of one hour become their sum over all
devices. Sums are what questions ask for, so answers do not change but in two ways: windows are an
hour long (longer ones stay as they are), and nobody can ask for single devices any more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from sqlalchemy import Connection, Engine, delete, insert, select, update

from cloud_hub.telemetry.histograms import Histograms, histograms_of
from cloud_hub.telemetry.policy import Retention
from cloud_hub.telemetry.tables import ROLLED, feedback, messages, reports, totals, votes
from edge_sdk.contract.packing import pack
from edge_sdk.resources import worst

HOUR: Final = 3_600
DAY: Final = 86_400.0
MESSAGE_DAYS: Final = 30.0
GROUPS: Final = 50
"""Hours rolled up in one go, so that the loop's other parts get their turn."""

SCOPE: Final = ("model", "version", "experiment", "arm")


def clean(engine: Engine, model: str, now: float, retention: Retention) -> int:
    """Roll up and delete what is due; how many hours were rolled up (:data:`GROUPS` at most)."""
    with engine.begin() as db:
        for table, column, days in (
            (reports, reports.c.end, retention.sum_days),
            (feedback, feedback.c.start, retention.sum_days),
            (votes, votes.c.period, retention.vote_days),
        ):
            db.execute(delete(table).where(table.c.model == model, column < now - days * DAY))
    cutoff = (now - retention.report_days * DAY) // HOUR * HOUR
    due = _due(engine, model, cutoff)[:GROUPS]
    for group in due:
        with engine.begin() as db:
            _roll_up(db, group)
    return len(due)


def forget_names(engine: Engine, now: float) -> None:
    """Forget the names of old messages; a device that sent one again now would count twice."""
    with engine.begin() as db:
        db.execute(delete(messages).where(messages.c.at < now - MESSAGE_DAYS * DAY))


def _due(engine: Engine, model: str, cutoff: float) -> list[dict[str, Any]]:
    """Scopes and hours with whole reports that ended before ``cutoff``, oldest first."""
    r = reports.c
    hour = (r.start // HOUR * HOUR).label("hour")
    query = (
        select(r.model, r.version, r.experiment, r.arm, hour)
        .where(r.model == model, r.end <= cutoff, r.end - r.start < HOUR)
        .group_by(r.model, r.version, r.experiment, r.arm, hour)
        .order_by(hour)
    )
    with engine.connect() as db:
        return [dict(row) for row in db.execute(query).mappings()]


def _roll_up(db: Connection, group: Mapping[str, Any]) -> None:
    """Replace the reports of one scope and hour by their sum."""
    hour = group["hour"]
    for table, merge in ((reports, _merged_reports), (feedback, _merged_feedback)):
        t = table.c
        here = (t.start >= hour) & (t.start < hour + HOUR)
        for name in SCOPE:
            here &= t[name].is_(None) if group[name] is None else t[name] == group[name]
        if table is reports:
            here &= t.end - t.start < HOUR
        rows = [dict(row) for row in db.execute(select(table).where(here)).mappings()]
        if table is reports:
            _add_totals(db, rows)
        if rows:
            db.execute(delete(table).where(here))
            named = {name: group[name] for name in SCOPE} | {"device": ROLLED, "start": hour}
            db.execute(insert(table).values(**named, **merge(rows, hour)))


def _add_totals(db: Connection, rows: Sequence[Any]) -> None:
    """Keep how many predictions each device made."""
    made: Counter[tuple[str, str]] = Counter()
    for row in rows:
        if row["device"] != ROLLED:
            made[row["model"], row["device"]] += row["predictions"]
    for (model, device), count in made.items():
        here = (totals.c.model == model) & (totals.c.device == device)
        change = update(totals).where(here).values(predictions=totals.c.predictions + count)
        if not db.execute(change).rowcount:
            db.execute(insert(totals).values(model=model, device=device, predictions=count))


def _merged_reports(rows: Sequence[Any], hour: int) -> dict[str, Any]:
    return {
        "end": hour + HOUR,
        **{n: sum(row[n] for row in rows) for n in ("observations", "predictions", "failures")},
        "body": merged_bodies([row["body"] for row in rows]),
    }


def merged_bodies(bodies: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The sum of window reports as plain JSON; resources are the worst.

    Histograms of outputs stand after those of features: nobody reads the two apart.
    """
    told = [histograms_of(body) for body in bodies if body.get("observations")]
    merged: dict[str, Any] = {"features": pack(_summed_rows(told)), "outputs": pack([])}
    for name in ("predictions", "errors", "lost"):
        merged[name] = dict(sum((Counter(body.get(name, {})) for body in bodies), Counter()))
    for name in ("observations", "degraded", "defaulted", "units"):
        merged[name] = sum(body.get(name, 0) for body in bodies)
    sources = {source for body in bodies for source in body.get("latency", {})}
    merged["latency"] = {
        source: _summed([b["latency"][source] for b in bodies if source in b.get("latency", {})])
        for source in sources
    }
    merged["resources"] = worst([body.get("resources", {}) for body in bodies])
    return merged


def _summed(rows: Sequence[Any]) -> list[int]:
    total: list[int] = np.sum(np.asarray(rows, dtype=np.int64), axis=0).tolist()
    return total


def _summed_rows(reports: Sequence[Histograms]) -> list[list[int]]:
    return [_summed(column) for column in zip(*reports, strict=True)]


def _merged_feedback(rows: Sequence[Any], hour: int) -> dict[str, Any]:
    counts = ("labelled", "correct", "own_labelled", "own_correct")
    sums = {name: sum(row[name] for row in rows) for name in counts}
    others = ("rewards", "reward_sum", "reward_squares", "unmatched")
    body = {name: sum(row["body"].get(name, 0) for row in rows) for name in others}
    sources: dict[str, list[int]] = {}
    for row in rows:
        for source, pair in row["body"].get("by_source", {}).items():
            known = sources.get(source, [0, 0])
            sources[source] = [known[0] + pair[0], known[1] + pair[1]]
    return {**sums, "body": {**sums, **body, "by_source": sources}}
