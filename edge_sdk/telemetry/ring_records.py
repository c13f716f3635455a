"""What is kept of predictions until they are folded, and what late labels are compared with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_sdk.contract.window import SOURCES, Source
from edge_sdk.telemetry.label_join import AnswerColumns

if TYPE_CHECKING:
    from edge_sdk.contract.manifest import Label
    from edge_sdk.model.prediction import BatchPrediction
    from edge_sdk.telemetry.groups import Codes

BATCH_SAMPLE_LEAST: Final = 256
BATCH_SAMPLE: Final = 4_096
_SOURCE: Final = {source: i for i, source in enumerate(SOURCES)}

Columns = NDArray[Any] | Sequence[Any]
"""One sequence of values per feature."""


def comparable(labels: Sequence[Any], values: Sequence[Any]) -> Sequence[Any]:
    """What late labels are compared with: labels, or a regressor's numbers."""
    if None not in labels:
        return labels
    return [value if isinstance(value, float) else None for value in values]


class RingRecords(NamedTuple):
    """Predictions by column, until they are folded; ``latency`` in nanoseconds, ``groups`` what
    was said of them.
    """

    number: Sequence[int]
    at: Sequence[float]
    given: Sequence[Any]
    label: Sequence[Label | None]
    own: Sequence[Label | None]
    value: Sequence[Any]
    confidence: Sequence[float | None]
    source: Sequence[Source]
    degraded: Sequence[bool]
    latency: Sequence[int]
    groups: Sequence[bytes | None]

    def sources(self) -> NDArray[np.uint8]:
        """As indices into :data:`SOURCES`."""
        return np.fromiter(map(_SOURCE.__getitem__, self.source), np.uint8, len(self.source))

    def answered(
        self,
        start: int,
        sources: NDArray[np.uint8],
        groups: Codes | None,
        shared: Sequence[tuple[Any, ...]] | None,
    ) -> AnswerColumns:
        """For the table of late labels, those of the window at ``start``.

        ``shared`` are their feature values, where they may be shared.
        """
        count = len(self.number)
        answers, own = np.empty(count, object), np.empty(count, object)
        answers[:] = comparable(self.label, self.value)
        own[:] = self.own
        rows = None if shared is None else _one_by_one(shared)
        taken = np.array(self.at).astype(np.int64)
        return AnswerColumns(np.full(count, start), taken, sources, answers, own, rows, groups)


def _one_by_one(rows: Sequence[tuple[Any, ...]]) -> NDArray[Any]:
    """An array of tuples; all at once they would become a table."""
    found = np.empty(len(rows), object)
    for i, row in enumerate(rows):
        found[i] = row
    return found


def sampled(count: int) -> slice:
    """The rows of a batch that monitoring looks at: an eighth, evenly spaced, within bounds."""
    wanted = min(max(count // 8, BATCH_SAMPLE_LEAST), BATCH_SAMPLE)
    return slice(0, count, max(1, -(-count // wanted)))


def batch_answered(start: int, taken: int, batch: BatchPrediction) -> AnswerColumns:
    """A batch for the table of late labels; its rows are not kept, so they are never shared."""
    count = len(batch)
    answers = np.empty(count, object)
    nothing = np.broadcast_to(np.array(None), count)
    if batch.labels is not None:
        answers[:] = batch.labels.tolist()
    elif batch.values is not None and batch.values.size == count:
        answers[:] = batch.values.ravel().tolist()
    own = nothing if batch.labels is None else answers
    source = np.full(count, SOURCES.index(batch.source), np.uint8)
    times = (np.broadcast_to(np.int64(start), count), np.broadcast_to(np.int64(taken), count))
    return AnswerColumns(*times, source, answers, own, groups=batch._groups)
