"""Predictions in the monitoring ring, and the columns that they become when they are counted."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from edge_sdk.contract.window import SOURCES, Source
from edge_sdk.telemetry.label_join import AnswerColumns

if TYPE_CHECKING:
    from edge_sdk.contract.manifest import Label
    from edge_sdk.model.prediction import BatchPrediction, Prediction
    from edge_sdk.telemetry.groups import Codes
    from edge_sdk.telemetry.key_counts import Buckets, CallingKey
    from edge_sdk.telemetry.tensor_watch import Excerpt

    SampledBatch = tuple[
        float, "Columns", BatchPrediction, Mapping[Source, int], Codes | None, int | None
    ]
    NamedBatch = tuple[float, BatchPrediction, int | None]

Record = TypeVar("Record", bound=tuple[Any, ...])

BATCH_SAMPLE_LEAST: Final = 256
BATCH_SAMPLE: Final = 4_096
_SOURCE: Final = {source: i for i, source in enumerate(SOURCES)}

Columns = NDArray[Any] | Sequence[Any]
"""One sequence of values per feature."""


class RingRecord(NamedTuple):
    """One prediction in the ring.

    The ring itself holds plain tuples in this order: making them of this class would cost each
    prediction the call of its constructor.

    Attributes:
        number: of the prediction, from 1.
        at: when it was made, Unix seconds.
        row: the input, as :class:`~edge_sdk.model.inputs.Inputs` keeps it; ``None`` for one that is
            not kept, :data:`BY_ENTITY` where the name of an entity was answered.
        label: that was answered, before any correction for a unit.
        own: the on-device model's label; ``None`` where it was not asked. Where a number of its
            own was corrected for a unit that number.
        value: a regressor's number.
        confidence: of the label, 0 to 1.
        source: of the answer.
        degraded: the cloud was wanted and not reachable.
        latency: nanoseconds.
        groups: codes of the groups that the application named, see
            :meth:`~edge_sdk.telemetry.groups.Grouping.encode`.
        bucket: of the key that it was made for; ``None`` where keys are not counted.
        excerpt: of an input that is no table, where it is looked at.
        personal: label or number that was served instead, where it was corrected for a unit.
            Everything else is about the release's answer: histograms, groups and shadows judge
            the release, and only late labels what was served.
    """

    number: int
    at: float
    row: Any
    label: Label | None
    own: Label | float | None
    value: Any
    confidence: float | None
    source: Source
    degraded: bool
    latency: int
    groups: bytes | None
    bucket: int | None = None
    excerpt: Excerpt | None = None
    personal: Label | float | None = None


def instead_of(base: Prediction, personal: Prediction, own: Any) -> tuple[Any, Any]:
    """Return what a record has as ``personal`` and ``own``.

    Args:
        base: the release's answer.
        personal: the same corrected for a unit, which was served.
        own: the on-device model's label.
    """
    if personal.label is not None:
        return personal.label, own
    return personal.value, base.value if base.source == "model" else None


BY_ENTITY: Final = ("by entity",)
"""Stands for the input of an answer to the name of an entity."""

AT: Final = RingRecord._fields.index("at")
ROW: Final = RingRecord._fields.index("row")


class Recording(NamedTuple):
    """Parts of ``Monitor.record``, for paths that save themselves its call.

    Attributes:
        number: gives a prediction its number.
        clock: Unix seconds.
        put: takes a tuple in the order of :class:`RingRecord`; ``None`` if nothing is counted.
        key: says for whom the calling thread predicts; ``None`` where keys are not counted.
    """

    number: Callable[[], int]
    clock: Callable[[], float]
    put: Callable[[tuple[Any, ...]], None] | None
    key: CallingKey | None


def taken(ring: deque[Record], count: int) -> list[Record]:
    """Take the first ``count`` records, which are there, out of a ring."""
    # In C: half the time of a comprehension.
    return list(itertools.starmap(ring.popleft, itertools.repeat((), count)))


class RingColumns(NamedTuple):
    """Ring records by column: the fields of :class:`RingRecord`, a sequence of each."""

    number: Sequence[int]
    at: Sequence[float]
    row: Sequence[Any]
    label: Sequence[Label | None]
    own: Sequence[Label | float | None]
    value: Sequence[Any]
    confidence: Sequence[float | None]
    source: Sequence[Source]
    degraded: Sequence[bool]
    latency: Sequence[int]
    groups: Sequence[bytes | None]
    bucket: Sequence[int | None]
    excerpt: Sequence[Excerpt | None]
    personal: Sequence[Label | float | None]

    @classmethod
    def of(cls, records: Sequence[tuple[Any, ...]]) -> RingColumns:
        """Turn records, one at least, into columns."""
        return cls(*zip(*records, strict=True))

    def sources(self) -> NDArray[np.uint8]:
        """Return the sources as indices into :data:`SOURCES`."""
        return np.fromiter(map(_SOURCE.__getitem__, self.source), np.uint8, len(self.source))

    def answers(
        self,
        start: int,
        sources: NDArray[np.uint8],
        groups: Codes | None,
        shared: Sequence[tuple[Any, ...]] | None,
        buckets: Buckets | None = None,
    ) -> AnswerColumns:
        """Return the answers that late labels are compared with.

        Args:
            start: of their window, Unix seconds.
            sources: indices into :data:`SOURCES`, [N].
            groups: codes of declared groups, [N, columns].
            shared: feature values of each, where they may be shared.
            buckets: of their keys, [N], where those are counted.
        """
        count = len(self.number)
        answers, own = np.empty(count, object), np.empty(count, object)
        answers[:] = comparable(self.label, self.value)
        for i, served in enumerate(self.personal):
            if served is not None:
                answers[i] = served
        own[:] = self.own
        rows = None if shared is None else _one_by_one(shared)
        taken = np.array(self.at).astype(np.int64)
        starts = np.full(count, start)
        return AnswerColumns(starts, taken, sources, answers, own, rows, groups, buckets)


def comparable(labels: Sequence[Any], values: Sequence[Any]) -> Sequence[Any]:
    """Return the answers that labels can be compared with: labels, or a regressor's numbers."""
    if None not in labels:
        return labels
    return [value if isinstance(value, float) else None for value in values]


def _one_by_one(rows: Sequence[tuple[Any, ...]]) -> NDArray[Any]:
    """An array of tuples; all at once they would become a table."""
    array = np.empty(len(rows), object)
    for i, row in enumerate(rows):
        array[i] = row
    return array


def sampled(count: int) -> slice:
    """Return the rows of a batch that go into histograms: an eighth, evenly spaced, bounded."""
    wanted = min(max(count // 8, BATCH_SAMPLE_LEAST), BATCH_SAMPLE)
    return slice(0, count, max(1, -(-count // wanted)))


def batch_answers(
    start: int, taken: int, batch: BatchPrediction, bucket: int | None = None
) -> AnswerColumns:
    """Return the answers of a batch; its rows are not kept, so they are never shared.

    Args:
        start: of their window, Unix seconds.
        taken: when they were made, Unix seconds.
        batch: of N rows.
        bucket: of the key that all are for, where keys are counted.
    """
    count = len(batch)
    answers = np.empty(count, object)
    nothing = np.broadcast_to(np.array(None), count)
    labels = batch.compared
    if labels is not None:
        answers[:] = labels.tolist()
    elif batch.values is not None and batch.values.size == count:
        answers[:] = batch.values.ravel().tolist()
    own: NDArray[np.object_] = nothing if labels is None else answers
    if batch.own is not None:  # corrected for a unit
        own = batch_answers(start, taken, batch.own).answers
    source = np.full(count, _SOURCE[batch.source], np.uint8)
    if batch.from_pack is not None:
        source[batch.from_pack] = _SOURCE["pack"]
        own = np.where(batch.from_pack, nothing, own)
    # Broadcast: one number for all rows, whatever their count.
    times = (np.broadcast_to(np.int64(start), count), np.broadcast_to(np.int64(taken), count))
    buckets = None if bucket is None else np.full(count, bucket, np.uint8)
    return AnswerColumns(*times, source, answers, own, groups=batch._groups, buckets=buckets)
