"""Sink of devices' messages: what they say of an experiment is added to its exposures.

Runs in the transaction that stores the message, so that a message counts exactly once. What a
message says of buckets of keys goes into a row of its own, of kind :data:`KEYS`.
"""

from __future__ import annotations

import json
import operator
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np
from sqlalchemy import Connection, select

from cloud_hub.database.bulk import insert_adding, insert_new, rows_by_key
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


class ExposureKey(NamedTuple):
    """Key of a row."""

    experiment: str
    start: int
    device: str
    arm: str
    kind: str


COLUMNS: Final = (*ExposureKey._fields, *SUMS, "detail", "received_at")
BLANK: Final = (*ExposureSums().columns(), "{}", 0.0)
"""A row to which nothing was added yet, without its key."""


@dataclass(frozen=True)
class Exposure:
    """Addition of one message to an experiment; ``detail``, plain JSON, is what no column holds."""

    kind: str
    sums: ExposureSums
    detail: Mapping[str, object] = field(default_factory=dict)


class ExposureAdditions:
    """What the messages of one transaction add to the exposures of their experiments.

    A row is read once and written once, however many messages add to it.

    Args:
        db: the transaction.
    """

    def __init__(self, db: Connection) -> None:
        self._db = db
        self._steps: dict[str, float] = {}
        self._additions: dict[ExposureKey, list[Exposure]] = defaultdict(list)

    def add(self, device: str, body: Body) -> None:
        """Add the counts of a message, if it belongs to an experiment.

        Args:
            device: sender of the message.
            body: the message.
        """
        if not isinstance(body, Windowed) or body.window.experiment is None:
            return
        if isinstance(body, RankingReport):
            return  # its rewards are in the feedback, and what else it says is of no arm
        window, step = body.window, int(self._step_start(body.window.experiment))
        exposure = exposure_of(body, time.time())
        self._add(device, window, _period(window, step), exposure)
        if isinstance(body, WindowReport | FeedbackReport) and body.buckets is not None:
            # A row for each step and none for a day: rows are large, and a resume begins a step.
            start = step if window.start >= step else 0
            exposure = Exposure(KEYS, ExposureSums(), _columns(body.buckets))
            self._add(device, window, start, exposure)

    def write(self) -> None:
        """Add all of it to the rows of ``exposures``; those that are missing are made."""
        keys, now = sorted(self._additions), time.time()
        # Made before they are locked, both in one order: of two transactions that add to the same
        # rows the second waits here, and adds to what the first has written.
        insert_new(self._db, exposures, COLUMNS, [(*key, *BLANK) for key in keys])
        of = ExposureKey._fields
        before = {
            row[: len(of)]: row[len(of) :]
            for row in rows_by_key(self._db, exposures, of, COLUMNS, keys, lock=True)
        }
        rows = [(*key, *_summed(before[key], self._additions[key], now)) for key in keys]
        insert_adding(self._db, exposures, COLUMNS, rows, adds=(), replaces=COLUMNS[len(of) :])
        self._additions.clear()

    def _add(self, device: str, window: Window, start: int, exposure: Exposure) -> None:
        assert window.experiment is not None
        key = ExposureKey(window.experiment, start, device, window.arm, exposure.kind)
        self._additions[key].append(exposure)

    def _step_start(self, id_: str) -> float:
        """Return when the present step of an experiment began, Unix seconds; 0 if none did."""
        if id_ not in self._steps:
            query = select(experiments.c.step_started_at).where(experiments.c.id == id_)
            self._steps[id_] = float(self._db.execute(query).scalar() or 0.0)
        return self._steps[id_]


def _summed(before: tuple[Any, ...], more: Sequence[Exposure], now: float) -> tuple[Any, ...]:
    """Return the columns of a row beside its key, with what messages add, one after the other."""
    *numbers, text, received = before
    sums, detail = ExposureSums(*numbers), json.loads(text)
    for exposure in more:
        sums, detail = sums + exposure.sums, added(detail, exposure.detail)
    return *sums.columns(), json.dumps(detail), max(received, now)


def _period(window: Window, step: int) -> int:
    """Start of the day of ``window``, or of the present step if that is later.

    A step that begins within a day has a row of its own: windows from before it must not count.
    """
    day = window.start - window.start % DAY
    return max(day, step) if window.start >= step else day


def added(total: Any, more: Any) -> Any:
    """Return the sum of two details: numbers, and lists and mappings of them, name by name."""
    if isinstance(total, dict):
        both = {name: added(total[name], more[name]) for name in total if name in more}
        return {**total, **more, **both}
    if isinstance(total, list):
        if total and isinstance(total[0], int | float) and len(total) == len(more):
            return list(map(operator.add, total, more))
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
