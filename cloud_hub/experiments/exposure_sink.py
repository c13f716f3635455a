"""What devices' messages say of an experiment, added up."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from sqlalchemy import Connection, and_, select, update

from cloud_hub.database.engine import insert_if_new
from cloud_hub.experiments.tables import experiments, exposures
from cloud_hub.experiments.verdict.measures import energy_of
from edge_sdk.contract.codec import to_plain
from edge_sdk.contract.experiment_reports import InterleaveReport, ShadowReport
from edge_sdk.contract.messages import Body, FeedbackReport, Windowed, WindowReport
from edge_sdk.contract.window import LATENCY_BINS, Window

DAY: Final = 86_400
"""Seconds."""

MIDDLES: Final = (np.arange(LATENCY_BINS) + 0.5) / 4
"""Log2 of microseconds in the middle of each latency bin."""


def record_exposure(db: Connection, device: str, body: Body) -> None:
    """Add what ``body`` says of an experiment, if it belongs to one, to what is known of it."""
    if not isinstance(body, Windowed) or body.window.experiment is None:
        return
    more = sums_of(body)
    key = {
        "experiment": body.window.experiment,
        "start": _period(db, body.window),
        "device": device,
        "arm": body.window.arm,
        "kind": more.pop("kind"),
    }
    more["received_at"] = time.time()
    here = and_(*(exposures.c[name] == value for name, value in key.items()))
    if insert_if_new(db, exposures, {**key, **more}):
        return
    # Of two uploads at once the second waits here, and adds to what the first has written.
    known = db.execute(select(exposures).where(here).with_for_update()).mappings().one()
    summed = {name: added(known[name], value) for name, value in more.items()}
    summed["received_at"] = max(known["received_at"], more["received_at"])
    db.execute(update(exposures).where(here).values(**summed))


def _period(db: Connection, window: Window) -> int:
    """Where the day of ``window`` began, or the present step if that is later."""
    query = select(experiments.c.step_started_at).where(experiments.c.id == window.experiment)
    step = int(db.execute(query).scalar() or 0)
    day = window.start - window.start % DAY
    return max(day, step) if window.start >= step else day


def added(known: Any, more: Any) -> Any:
    """The sum of two details: numbers, and lists and mappings of them, name by name."""
    if isinstance(known, Mapping):
        both = {name: added(known[name], more[name]) for name in known if name in more}
        return {**known, **more, **both}
    if isinstance(known, list):
        return [added(a, b) for a, b in zip(known, more, strict=True)]
    return known + more


def sums_of(body: Windowed) -> dict[str, Any]:
    """The columns that a message fills."""
    if isinstance(body, WindowReport):
        return _of_window(body)
    if isinstance(body, FeedbackReport):
        return _of_feedback(body)
    if isinstance(body, ShadowReport):
        failed = sum(body.errors.values())
        kept = {"predictions": body.compared, "errors": failed}
        return {"kind": "shadow", **kept, "detail": _without_window(body)}
    # What the candidate was asked, and where it failed, is in its own window reports.
    return {"kind": "interleave", "detail": _without_window(body)}


def _of_window(report: WindowReport) -> dict[str, Any]:
    """Latency is that of the model on the device: packs and the cloud are the same on all arms."""
    counts = np.asarray(report.latency.get("model", (0,) * LATENCY_BINS), dtype=np.float64)
    return {
        "kind": "window",
        "predictions": sum(report.predictions.values()),
        "errors": report.errors.get("model", 0),
        "units": report.units,
        "latency_n": int(counts.sum()),
        "latency_sum": float(counts @ MIDDLES),
        "latency_squares": float(counts @ MIDDLES**2),
        **energy_of(report),
        "detail": {"latency": [int(c) for c in counts]} if counts.any() else {},
    }


def _of_feedback(report: FeedbackReport) -> dict[str, Any]:
    """Labels count for the on-device model's own answers, also where the cloud stepped in."""
    return {
        "kind": "feedback",
        "labelled": report.own_labelled,
        "correct": report.own_correct,
        "rewards": report.rewards,
        "reward_sum": report.reward_sum,
        "reward_squares": report.reward_squares,
        "detail": {"unmatched": report.unmatched} if report.unmatched else {},
    }


def _without_window(body: ShadowReport | InterleaveReport) -> dict[str, Any]:
    plain: dict[str, Any] = to_plain(body)
    del plain["window"]
    return plain
