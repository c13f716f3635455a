"""Last step of the fast path: the values of one answer become a prediction, which is recorded.

Making and recording are one function each: on small models a call between them, or one of a
constructor, is a twentieth of the whole. :meth:`Monitor.record` is the same for all other paths.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isfinite, nan
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

from edge_sdk.model.prediction import NO_OUTPUTS, Prediction

if TYPE_CHECKING:
    from edge_sdk.contract.manifest import Label
    from edge_sdk.model.prediction import Origin
    from edge_sdk.telemetry.monitor import Monitor

Conclude = Callable[[Any, bytes, int, Any], Prediction]
"""Gets the values of an answer, the row, when the call started (nanoseconds), and the codes of the
row's groups or ``None`` (on a path for units the unit and these); returns the recorded prediction.
"""


def classified(
    origin: Origin, classes: Sequence[Label], monitor: Monitor, *, by_model: bool
) -> Conclude:
    """Return the conclusion for scores [classes] of a classifier.

    Args:
        origin: of the predictions.
        classes: in the order of the scores.
        monitor: records them.
        by_model: the on-device model answered, so that the label is its own.
    """
    if len(classes) == 2:
        return _one_of_two(origin, classes, monitor, by_model=by_model)
    number_of, clock, put, key = monitor.recording
    source, degraded = origin.source, origin.degraded

    def conclude(
        scores: tuple[float, ...], row: bytes, started: int, groups: bytes | None
    ) -> Prediction:
        largest = max(scores)
        prediction = Prediction()
        prediction._origin = origin
        prediction._number = number = number_of()
        prediction._scores = scores
        prediction.label = label = classes[scores.index(largest)]
        # One addition chain finds any NaN or infinity; max() alone can pass over a NaN.
        prediction.confidence = confidence = largest if isfinite(sum(scores)) else nan
        prediction.value = None
        prediction.outputs = NO_OUTPUTS
        if put is not None:
            put((
                number, clock(), row, label, label if by_model else None, None, confidence,
                source, degraded, perf_counter_ns() - started, groups,
                None if key is None else key.bucket, None, None,
            ))  # fmt: skip
        return prediction

    return conclude


def _one_of_two(
    origin: Origin, classes: Sequence[Label], monitor: Monitor, *, by_model: bool
) -> Conclude:
    """The same for two classes, without the calls of functions that search many."""
    number_of, clock, put, key = monitor.recording
    source, degraded = origin.source, origin.degraded
    one, other = classes

    def conclude(
        scores: tuple[float, ...], row: bytes, started: int, groups: bytes | None
    ) -> Prediction:
        first, second = scores
        # As max() and index() do: the first of equals, and the first beside a NaN.
        if second > first:
            label, confidence = other, second
        else:
            label, confidence = one, first
        total = first + second
        if total - total != 0.0:  # a NaN, or an infinity
            confidence = nan
        prediction = Prediction()
        prediction._origin = origin
        prediction._number = number = number_of()
        prediction._scores = scores
        prediction.label = label
        prediction.confidence = confidence
        prediction.value = None
        prediction.outputs = NO_OUTPUTS
        if put is not None:
            put((
                number, clock(), row, label, label if by_model else None, None, confidence,
                source, degraded, perf_counter_ns() - started, groups,
                None if key is None else key.bucket, None, None,
            ))  # fmt: skip
        return prediction

    return conclude


def settled(
    make: Callable[[Any], Prediction],
    monitor: Monitor,
    settle: Callable[[bytes, Prediction], Prediction] | None,
) -> Conclude:
    """Return the conclusion for values that ``make`` makes a prediction of.

    Args:
        make: prediction of the on-device model's values.
        monitor: records it.
        settle: returns the model's own answer if it is confident, else the cloud's; ``None`` if
            nobody is asked.
    """
    record = monitor.record

    def conclude(values: Any, row: bytes, started: int, groups: bytes | None) -> Prediction:
        prediction = make(values)
        own = prediction.label  # before the cloud: telemetry compares the model's own labels
        if settle is not None:
            prediction = settle(row, prediction)
        record(row, prediction, own, perf_counter_ns() - started, groups)
        return prediction

    return conclude


def stored(make: Callable[[Any], Prediction], monitor: Monitor) -> Conclude:
    """Return the conclusion for a pack's values; no label is the model's own there."""
    record = monitor.record

    def conclude(values: Any, row: bytes, started: int, groups: bytes | None) -> Prediction:
        prediction = make(values)
        record(row, prediction, None, perf_counter_ns() - started, groups)
        return prediction

    return conclude
