"""Sink of devices' messages: what they say of an experiment is added to its exposures.

Runs in the transaction that stores the message, so that a message counts exactly once. What a
message says of buckets of keys goes into a row of its own, of kind :data:`KEYS`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import numpy as np
from sqlalchemy import Connection, and_, select, update

from cloud_hub.database.engine import insert_if_new
from cloud_hub.experiments.tables import experiments, exposures
from cloud_hub.experiments.verdict.measures import SUMS, ExposureSums, energy_of
from cloud_hub.statistics.label_coverage import HOUR, age_bin
from edge_sdk.contract.codec import to_plain
from edge_sdk.contract.experiment_reports import InterleaveReport, ShadowReport
from edge_sdk.contract.key_buckets import BucketOutcomes, BucketRequests
from edge_sdk.contract.messages import Body, FeedbackReport, Windowed, WindowReport
from edge_sdk.contract.personal.ranking_report import RankingReport
from edge_sdk.contract.window import LATENCY_BINS, Window

KEYS: Final = "keys"
"""Kind of the rows whose detail is sums by bucket of keys, by column; each has all buckets."""

DAY: Final = 86_400
"""Seconds."""

MIDDLES: Final = (np.arange(LATENCY_BINS) + 0.5) / 4
"""Log2 of microseconds in the middle of each latency bin."""

NOT_ADDITIVE: Final = frozenset({"window", "incumbent", "seed", "format"})
"""Fields of shadow and interleaving reports that say what a report is of."""


@dataclass(frozen=True)
class Exposure:
    """Addition of one message to an experiment; ``detail``, plain JSON, is what no column holds."""

    kind: str
    sums: ExposureSums
    detail: Mapping[str, object] = field(default_factory=dict)


def step_start(db: Connection, id_: str) -> float:
    """Return when the present step of an experiment began, Unix seconds; 0 if there is none.

    Args:
        db: an open transaction.
        id_: of the experiment.
    """
    query = select(experiments.c.step_started_at).where(experiments.c.id == id_)
    return float(db.execute(query).scalar() or 0.0)


def record_exposure(db: Connection, device: str, body: Body, *, step: float) -> None:
    """Add the counts of ``body`` to the exposures of its experiment, if it belongs to one.

    Args:
        db: transaction that stores the message.
        device: sender of the message.
        body: the message.
        step: when the present step of its experiment began, Unix seconds.
    """
    if not isinstance(body, Windowed) or body.window.experiment is None:
        return
    if isinstance(body, RankingReport):
        return  # its rewards are in the feedback, and what else it says is of no arm
    exposure = exposure_of(body, time.time())
    _add(db, device, body.window, _period(body.window, int(step)), exposure)
    if isinstance(body, WindowReport | FeedbackReport) and body.buckets is not None:
        # A row for each step and none for a day: rows are large, and a resume begins a step.
        start = int(step) if body.window.start >= int(step) else 0
        exposure = Exposure(KEYS, ExposureSums(), _columns(body.buckets))
        _add(db, device, body.window, start, exposure)


def _add(db: Connection, device: str, window: Window, start: int, exposure: Exposure) -> None:
    now = time.time()
    key = {
        "experiment": window.experiment,
        "start": start,
        "device": device,
        "arm": window.arm,
        "kind": exposure.kind,
    }
    fresh = {**asdict(exposure.sums), "detail": exposure.detail, "received_at": now}
    where = and_(*(exposures.c[name] == value for name, value in key.items()))
    # The first message of a day makes the row; the others find it there and add to it.
    if insert_if_new(db, exposures, {**key, **fresh}):
        return
    # Of two uploads at once the second waits here, and adds to what the first has written.
    row = db.execute(select(exposures).where(where).with_for_update()).mappings().one()
    # Only columns to which the message adds: a message fills a few of many, and every one costs.
    sums = {name: row[name] + more for name in SUMS if (more := getattr(exposure.sums, name))}
    detail = added(row["detail"], exposure.detail)
    merged = {**sums, "detail": detail, "received_at": max(row["received_at"], now)}
    db.execute(update(exposures).where(where).values(**merged))


def _period(window: Window, step: int) -> int:
    """Start of the day of ``window``, or of the present step if that is later.

    A step that begins within a day has a row of its own: windows from before it must not count.
    """
    day = window.start - window.start % DAY
    return max(day, step) if window.start >= step else day


def added(total: Any, more: Any) -> Any:
    """Return the sum of two details: numbers, and lists and mappings of them, name by name."""
    if isinstance(total, Mapping):
        both = {name: added(total[name], more[name]) for name in total if name in more}
        return {**total, **more, **both}
    if isinstance(total, list):
        return [added(a, b) for a, b in zip(total, more, strict=True)]
    return total + more


def exposure_of(body: Windowed, now: float) -> Exposure:
    """Return what one message adds to an experiment.

    Args:
        body: of the message.
        now: when the hub got it, Unix seconds.
    """
    if isinstance(body, WindowReport):
        return _of_window(body)
    if isinstance(body, FeedbackReport):
        return _of_feedback(body, now)
    if isinstance(body, ShadowReport):
        sums = ExposureSums(predictions=body.compared, errors=sum(body.errors.values()))
        return Exposure("shadow", sums, _additive(body))
    assert isinstance(body, InterleaveReport)
    # The candidate's requests and failures are in its own window reports.
    return Exposure("interleave", ExposureSums(), _additive(body))


def _of_window(report: WindowReport) -> Exposure:
    """Latency is that of the model on the device: packs and the cloud are the same on all arms."""
    # In log2 of microseconds the middle of a bin is unbiased enough: bins are a quarter octave.
    counts = np.asarray(report.latency.get("model", (0,) * LATENCY_BINS), dtype=np.float64)
    sums = ExposureSums(
        predictions=sum(report.predictions.values()),
        errors=report.errors.get("model", 0),
        units=report.units,
        latency_n=int(counts.sum()),
        latency_sum=float(counts @ MIDDLES),
        latency_squares=float(counts @ MIDDLES**2),
    )
    detail: dict[str, object] = {}
    if counts.any():
        detail["latency"] = [int(c) for c in counts]
    # A pack's answers are not the model's, and their labels are not counted as its own.
    answers = report.predictions.get("model", 0) + report.predictions.get("cloud", 0)
    detail["answers"] = {_hour(report.window): answers}
    return Exposure("window", sums + energy_of(report), detail)


def _hour(window: Window) -> str:
    """End of the hour in which a window ended, in hours: whole days would settle too late."""
    return str(-(-window.end // HOUR))


def _of_feedback(report: FeedbackReport, now: float) -> Exposure:
    """Labels count for the on-device model's own answers, also where the cloud stepped in.

    Apart from these they count for what was served.

    Their age is the hub's: a label counts as late while the device that has it is offline.
    """
    sums = ExposureSums(
        labelled=report.own_labelled,
        correct=report.own_correct,
        served_labelled=report.labelled,
        served_correct=report.correct,
        measured=report.measured,
        error_sum=report.error_sum,
        error_squares=report.error_squares,
        error_fourths=report.error_fourths,
        rewards=report.rewards,
        reward_sum=report.reward_sum,
        reward_squares=report.reward_squares,
    )
    detail: dict[str, object] = {"unmatched": report.unmatched} if report.unmatched else {}
    if report.own_labelled:
        age = str(age_bin(now - report.window.end))
        came = {age: report.own_labelled, "right": report.own_correct}
        detail["labels"] = {_hour(report.window): came}
    if report.labelled:
        came = {"served": report.labelled, "served right": report.correct}
        detail["served"] = {_hour(report.window): came}
    if report.groups:
        detail["groups"] = to_plain(report.groups)
    return Exposure("feedback", sums, detail)


def _columns(buckets: BucketRequests | BucketOutcomes) -> Mapping[str, object]:
    """The columns that have numbers; ``added`` takes one that is missing as zeros."""
    return {name: column for name, column in to_plain(buckets).items() if column}


def _additive(body: ShadowReport | InterleaveReport) -> Mapping[str, object]:
    """The fields of a report that add up; :func:`added` would add texts, too, end to end."""
    plain = to_plain(body)
    return {name: value for name, value in plain.items() if name not in NOT_ADDITIVE}
