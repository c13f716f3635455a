"""What a device's message says of an experiment, as one row of sums."""

from __future__ import annotations

import time
from typing import Any, Final

import numpy as np
from sqlalchemy import Connection, insert

from cloud_hub.experiments.tables import exposures
from edge_sdk.contract.codec import to_plain
from edge_sdk.contract.messages import Body, FeedbackReport, Windowed, WindowReport
from edge_sdk.contract.trials import InterleaveReport, ShadowReport
from edge_sdk.contract.window import LATENCY_BINS

MIDDLES: Final = (np.arange(LATENCY_BINS) + 0.5) / 4
"""Log2 of microseconds in the middle of each latency bin."""


def record_exposure(db: Connection, device: str, body: Body) -> None:
    """Keep what ``body`` says of an experiment, if it belongs to one."""
    if not isinstance(body, Windowed) or body.window.experiment is None:
        return
    row = {
        "experiment": body.window.experiment,
        "arm": body.window.arm,
        "device": device,
        "start": body.window.start,
        "received_at": time.time(),
    }
    db.execute(insert(exposures).values(**row, **sums_of(body)))


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
