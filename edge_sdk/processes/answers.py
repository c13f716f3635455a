"""Predictions as plain values, for frames."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from edge_sdk.model.prediction import BatchPrediction, Origin, Prediction, RankedItems


def prediction_to_plain(prediction: Prediction) -> list[Any]:
    """Return what :func:`prediction_from_plain` takes."""
    ranked = prediction.ranked
    return [
        _origin_to_plain(prediction._origin),
        prediction._number,
        prediction.label,
        prediction.confidence,
        prediction.probabilities,
        prediction.value if ranked is None else None,
        ranked,
        dict(prediction.outputs),
    ]


def prediction_from_plain(plain: Any) -> Prediction:
    """Return the prediction."""
    origin, number, label, confidence, scores, value, ranked, outputs = plain
    if ranked is not None:
        value = RankedItems(tuple(ranked[0]), tuple(ranked[1]))
    made_by = _origin_from_plain(origin)
    return Prediction.of(made_by, number, label, confidence, scores, value, outputs)


def batch_to_plain(batch: BatchPrediction) -> list[Any]:
    """Return what :func:`batch_from_plain` takes."""
    stored = batch._stored and [_origin_to_plain(batch._stored[0]), batch._stored[1]]
    personal = batch.personalised
    return [
        _origin_to_plain(batch._origin), batch._number, list(batch._classes), batch.outputs,
        dict(batch._roles), stored, personal,
    ]  # fmt: skip


def batch_from_plain(plain: Any, remember: Callable[[str], None]) -> BatchPrediction:
    """Return the batch.

    Args:
        plain: as it came.
        remember: called with the name of the batch once somebody asks for ids of its rows.
    """
    origin, number, classes, outputs, roles, stored, personal = plain
    known = stored and (_origin_from_plain(stored[0]), stored[1])
    batch = BatchPrediction(_origin_from_plain(origin), tuple(classes), outputs, roles, known)
    batch._number, batch.personalised = number, personal
    batch._remembered = lambda each: remember(batch_name(each))
    return batch


def batch_name(batch: BatchPrediction) -> str:
    """Return the first part of the ids of the rows of ``batch``."""
    return f"{batch._origin.tag}-{batch._number}"


def _origin_to_plain(origin: Origin) -> list[Any]:
    return [
        origin.tag, origin.version, origin.source, origin.dtype, origin.degraded,
        origin.multilabel, origin.computed_at, origin.personalised,
    ]  # fmt: skip


def _origin_from_plain(plain: list[Any]) -> Origin:
    tag, version, source, dtype, degraded, multilabel, computed_at, personal = plain
    if multilabel is None:
        return _shared(tag, version, source, dtype, degraded, computed_at, personal)
    sets = (tuple(multilabel[0]), multilabel[1])
    return Origin(tag, version, source, dtype, degraded, sets, computed_at, personalised=personal)


@functools.lru_cache(256)
def _shared(
    tag: str, version: str, source: Any, dtype: str, degraded: bool, computed_at: float | None,
    personal: bool,
) -> Origin:  # fmt: skip
    return Origin(tag, version, source, dtype, degraded, None, computed_at, personalised=personal)
