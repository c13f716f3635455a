"""Rows of messages: what each kind of body becomes in the tables.

Window reports and late labels come in thousands, and are inserted together. What else there is is
stored one by one, because what may be stored of it depends on what was stored before.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection, insert

from cloud_hub.database.bulk import insert_new, insert_rows
from cloud_hub.telemetry import tables
from cloud_hub.telemetry.ranking_rows import store_rankings
from cloud_hub.telemetry.sharing_limits import size_of
from edge_sdk.contract.codec import to_plain
from edge_sdk.contract.messages import (
    FeedbackReport,
    KeyVotes,
    SampleBatch,
    TensorSample,
    UpdateEvent,
    WindowReport,
)
from edge_sdk.contract.personal.ranking_report import RankingReport

if TYPE_CHECKING:
    from edge_sdk.contract.window import Window

_WINDOW: Final = ("device", "model", "version", "experiment", "arm", "start")

REPORT_COLUMNS: Final = (
    *_WINDOW, "end", "observations", "predictions", "failures", "body", "summed",
)  # fmt: skip
_SAMPLE: Final = ("device", "model", "version", "taken", "row", "label")
_VOTE: Final = ("model", "period", "device", "key")
FEEDBACK_COLUMNS: Final = (
    *_WINDOW, "labelled", "correct", "own_labelled", "own_correct", "measured", "error_sum",
    "error_squares", "error_fourths", "body", "summed",
)  # fmt: skip


def report_row(device: str, report: WindowReport) -> tuple[Any, ...]:
    """Return the row of a window report, in the order of :data:`REPORT_COLUMNS`."""
    return (
        *_window_values(device, report.window),
        report.window.end,
        report.observations,
        sum(report.predictions.values()),
        report.errors.get("model", 0),
        json.dumps(to_plain(report)),
        1,
    )


def feedback_row(device: str, report: FeedbackReport) -> tuple[Any, ...]:
    """Return the row of late labels, in the order of :data:`FEEDBACK_COLUMNS`."""
    return (
        *_window_values(device, report.window),
        report.labelled,
        report.correct,
        report.own_labelled,
        report.own_correct,
        report.measured,
        float(report.error_sum),
        float(report.error_squares),
        float(report.error_fourths),
        json.dumps(to_plain(report)),
        1,
    )


def _window_values(device: str, window: Window) -> tuple[Any, ...]:
    return (
        device, window.model, window.version, window.experiment, window.arm, window.start,
    )  # fmt: skip


def _store_samples(db: Connection, device: str, batch: SampleBatch) -> None:
    named = device, batch.model, batch.version
    rows = [
        (*named, taken, json.dumps(row), json.dumps(label))
        for row, label, taken in zip(batch.rows, batch.labels, batch.taken, strict=True)
    ]
    insert_rows(db, tables.samples, _SAMPLE, rows)


def _store_tensors(db: Connection, device: str, sample: TensorSample) -> None:
    row = {
        "device": device, "model": sample.model, "version": sample.version, "taken": sample.taken,
        "label": sample.label, "shapes": to_plain(sample.shapes), "bytes": size_of(sample),
        "data": sample.data,
    }  # fmt: skip
    db.execute(insert(tables.tensor_samples).values(**row))


def _store_votes(db: Connection, device: str, body: KeyVotes) -> None:
    """One vote a key, device and period, however often it is sent."""
    named = body.model, body.period, device
    insert_new(db, tables.votes, _VOTE, [(*named, key) for key in dict.fromkeys(body.keys)])


def _store_event(db: Connection, device: str, event: UpdateEvent) -> None:
    db.execute(
        insert(tables.events).values(
            device=device,
            model=event.model,
            version=event.version,
            outcome=event.outcome,
            experiment=event.experiment,
            step=event.step,
            reason=event.reason,
            at=event.at,
        )
    )


STORES: Final[dict[type, Callable[[Connection, str, Any], None]]] = {
    SampleBatch: _store_samples,
    TensorSample: _store_tensors,
    KeyVotes: _store_votes,
    UpdateEvent: _store_event,
    RankingReport: store_rankings,
}
