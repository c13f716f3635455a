"""Monitoring: predictions become counts, off the caller's path.

Invariants:

* :meth:`Monitor.record` takes no lock and does no arithmetic: it appends to a bounded ring
  (``deque.append`` is atomic). What the ring loses before it is emptied is counted in the report.
* The ring holds tuples of plain values, no predictions: the garbage collector skips them.
* :meth:`Monitor.fold` empties the ring in vectorised batches. :meth:`Monitor.collect` does so only
  when :data:`FOLD_AT` records wait or a window ended, because small batches cost most per row.
* Memory is bounded: ``RING`` records, ``PENDING`` predictions that wait for labels, the counts.
  Of a batch, ``BATCH_SAMPLE_LEAST`` to ``BATCH_SAMPLE`` evenly spaced rows (an eighth) go into the
  histograms.
* Raw inputs leave only in a :class:`SampleBatch` or :class:`TensorSample`, and only with ``share``
  (the owner's opt-in).
"""

from __future__ import annotations

import functools
import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from edge_sdk.contract.serving_terms import Reporting, Sharing
from edge_sdk.contract.window import SOURCES, Source
from edge_sdk.telemetry.entity_feedback import EntityFeedback
from edge_sdk.telemetry.group_counts import GroupAccumulator
from edge_sdk.telemetry.groups import Codes, Grouping
from edge_sdk.telemetry.key_counts import CallingKey
from edge_sdk.telemetry.label_check import LabelCheck
from edge_sdk.telemetry.label_join import ErrorRules, LabelJoin, Unlabelled
from edge_sdk.telemetry.reports import Reports, Scope
from edge_sdk.telemetry.ring_records import (
    AT,
    BY_ENTITY,
    ROW,
    Columns,
    Recording,
    RingColumns,
    RingRecord,
    batch_answers,
    instead_of,
    taken,
)
from edge_sdk.telemetry.shared_inputs import shared_inputs
from edge_sdk.telemetry.tensor_watch import Excerpt, TensorWatch
from edge_sdk.telemetry.window_counts import Histograms, ProfileBins, WindowCounts

if TYPE_CHECKING:
    from edge_sdk.contract.manifest import Label
    from edge_sdk.contract.messages import Body
    from edge_sdk.model.inputs import Inputs
    from edge_sdk.model.prediction import BatchPrediction, Prediction
    from edge_sdk.model.release import Release
    from edge_sdk.telemetry.ring_records import NamedBatch, SampledBatch

RING: Final = 16_384
PENDING: Final = 65_536
BATCH_RING: Final = 64

FOLD_AT: Final = 2_048
CHUNK: Final = 1_024
"""Records counted in one go; between two chunks other threads get their turn."""

Tap = Callable[[list[RingRecord]], None]
"""Gets records of the ring as they are counted."""


class Monitor:
    """Counts the predictions of one release on one arm.

    Attributes:
        answered: a prediction was counted.
        by_entity: knows what labels of answers by entity may be.
        grouping: the declared groups of the release.
        tensors: sums up inputs that are no table; ``None`` for tables and what is not watched.

    Args:
        release: that answers; its profile has the bins of the histograms.
        inputs: reads feature values out of the release's checked inputs.
        scope: experiment, arm and tag.
        reporting: window length, minimum observations, votes.
        sharing: rows that the plan asks for; used only with ``share``.
        share: the owner of the device opted in to sharing labelled inputs.
        enabled: without it predictions get their ids and nothing is counted.
        clock: Unix seconds.
        capacity: predictions that the ring holds.
    """

    def __init__(
        self,
        release: Release,
        inputs: Inputs,
        scope: Scope,
        reporting: Reporting,
        sharing: Sharing,
        *,
        share: bool = False,
        enabled: bool = True,
        clock: Callable[[], float],
        capacity: int = RING,
    ) -> None:
        self._inputs, self._profile = inputs, release.profile()
        self._bins = ProfileBins(self._profile)
        manifest, signature = release.manifest, release.manifest.signature
        self.tensors = TensorWatch.of(self._profile, signature) if enabled else None
        self.grouping = Grouping(manifest.groups, signature.columns)
        self.scope, self._reporting = scope, reporting
        self.shared = shared_inputs(manifest, sharing if share else Sharing())
        self._clock, self._enabled = clock, enabled
        self._numbers, self._batch_numbers = itertools.count(1), itertools.count(1)
        self._next_number = self._numbers.__next__
        # Plain tuples in the order of RingRecord.
        self._ring: deque[tuple[Any, ...]] = deque(maxlen=capacity)
        self._errors: deque[tuple[float, str, int | None]] = deque(maxlen=capacity)
        self._joined: deque[tuple[float, int | None]] = deque(maxlen=capacity)
        self._units: deque[tuple[float, int]] = deque(maxlen=capacity)
        self._lock = threading.Lock()
        self._batches: deque[SampledBatch] = deque(maxlen=BATCH_RING)
        self._named_batches: deque[NamedBatch] = deque(maxlen=BATCH_RING)
        # Of the numbers that were handed out, up to the highest that came out of the ring, those
        # that did not come out are lost.
        self._highest, self._counted, self._lost, self._last_batch = 0, 0, 0, 0
        self._key: CallingKey | None = None
        self._tap: Tap | None = None
        self._windows: dict[int, WindowCounts] = {}
        self._reports = Reports(
            release, self._profile, scope, reporting, inputs.key_of_mark, self.grouping
        )
        rows, rules = self.shared.rows, ErrorRules.of(reporting)
        self.by_entity, self._labels = EntityFeedback(), LabelCheck.of(manifest)
        self._label_join = LabelJoin(PENDING, self.grouping, rows=rows, rules=rules)
        self._current, self.answered = self._start(clock()), False

    @property
    def recording(self) -> Recording:
        """What a path needs that does the work of :meth:`record` itself."""
        put = self._ring.append if self._enabled else None
        return Recording(self._next_number, self._clock, put, self._key)

    def set_tap(self, tap: Tap | None) -> None:
        """Hand every record to ``tap`` as it is counted, or end that with ``None``.

        ``tap`` must not wait: a lock is held.
        """
        self._tap = tap

    def count_keys(self, key: CallingKey) -> None:
        """Count by bucket of the keys, too; to be called before the first prediction.

        Args:
            key: says for whom the calling thread predicts.
        """
        with self._lock:
            self._label_join.keep_buckets()
            self._key = key

    def record(
        self,
        row: Any,
        prediction: Prediction,
        own: Label | None,
        latency: int,
        groups: bytes | None = None,
        excerpt: Excerpt | None = None,
        personal: Prediction | None = None,
    ) -> None:
        """Number ``prediction`` and put it into the ring.

        Args:
            row: the input, as the release's inputs keep it.
            prediction: that was answered.
            own: the on-device model's label where it was asked.
            latency: nanoseconds.
            groups: codes that :meth:`Grouping.encode` made of the application's groups.
            excerpt: of an input that is no table, where it is looked at.
            personal: ``prediction`` corrected for a unit, which was served; gets the same number.
        """
        # next() of a count is atomic: every prediction gets a number of its own without a lock.
        prediction._number = number = self._next_number()
        served: Any = None
        if personal is not None:
            personal._number, served, own = number, *instead_of(prediction, personal, own)
        if not self._enabled:
            return
        origin, label = prediction._origin, prediction.label
        if origin.multilabel is not None:
            label = prediction.compared
            own = label if origin.source == "model" else None
        self._ring.append((
            number, self._clock(), row, label, own, prediction.value, prediction.confidence,
            origin.source, origin.degraded, latency, groups,
            None if self._key is None else self._key.bucket, excerpt, served,
        ))  # fmt: skip

    def record_batch(
        self, rows: slice, columns: Columns, batch: BatchPrediction, groups: Codes | None
    ) -> None:
        """Number ``batch`` and put a sample of its rows into the ring.

        Args:
            rows: the sample, chosen by :func:`sampled`.
            columns: one sequence of values per feature, over the sample.
            batch: all rows.
            groups: codes of all rows, [N, columns].
        """
        batch._number = self._last_batch = next(self._batch_numbers)
        if self._enabled:
            bucket, some = self._bucket(), None if groups is None else groups[rows]
            batch._remembered = functools.partial(self._remember, bucket=bucket)
            batch._groups, sample = groups, (batch.own or batch).sample(rows)
            self._batches.append((self._clock(), columns, sample, batch.counts, some, bucket))

    def _remember(self, batch: BatchPrediction, *, bucket: int | None) -> None:
        """Somebody asked for ids of ``batch``: keep its answers for late labels."""
        self._named_batches.append((self._clock(), batch, bucket))

    def _bucket(self) -> int | None:
        """Bucket of the key that this thread predicts for, where keys are counted."""
        return None if self._key is None else self._key.bucket

    def record_unit(self, bucket: int) -> None:
        """Count a key of ``bucket`` that was never seen before."""
        if self._enabled:
            self._units.append((self._clock(), bucket))

    def record_error(self, kind: str) -> None:
        """Count a refused input or a failed call."""
        self._errors.append((self._clock(), kind, self._bucket()))

    def record_joined(self, stale_at: int | None) -> None:
        """Count a prediction for an entity whose stored features get stale at ``stale_at`` (Unix
        seconds), ``None`` for an entity that has none.
        """
        self._joined.append((self._clock(), stale_at))

    @property
    def activity(self) -> tuple[str, int]:
        """Return what differs from before if anything was predicted since, counted or not."""
        # The numbers that were handed out, rather than the ring: that is empty without monitoring,
        # and emptying it is no use. A count shows its next number in its repr alone.
        return repr(self._numbers), self._last_batch

    def feedback(
        self, number: str, label: Label | float | None = None, reward: float | None = None
    ) -> None:
        """Join a late label or reward with its prediction.

        Args:
            number: of the prediction; ``"17"``, or ``"17.4"`` for row 4 of batch 17.
            label: the right answer.
            reward: a numeric outcome.

        Raises:
            InputError: the prediction is unknown or forgotten, the label is none of the classes,
                or it came already.
        """
        with self._lock:
            self._drain()
            if label is not None:
                named = self._label_join.is_by_entity(number)
                (self.by_entity.labels_of(number) if named else self._labels).check(label)
            place = self._label_join.find(number)
            if label is not None:
                self._label_join.label(place, label)
                self.shared.keep(self._start(self._clock()), place, label)
            if reward is not None:
                self._label_join.reward(place, float(reward))

    def unlabelled(self, after: int, most: int) -> dict[int, list[Unlabelled]]:
        """Return predictions that still wait for a label; see :meth:`LabelJoin.unlabelled`."""
        with self._lock:
            self._drain()
            by_window = self._label_join.unlabelled(after, most)
            return {start: self._reports.unlabelled(w) for start, w in by_window.items()}

    def fold(self) -> None:
        """Empty the ring into the counts."""
        with self._lock:
            self._drain()

    def collect(self, now: float, *, final: bool = False) -> list[Body]:
        """Return the messages of the windows that ended by ``now`` (with ``final``, of all)."""
        with self._lock:
            if self.tensors is not None:
                self.tensors.compute()  # excerpts are large, so they do not wait for a full ring
            turned = final or self._start(now) != self._current
            if turned or self._batches or len(self._ring) >= FOLD_AT:
                self._drain()
            self._current = self._start(now)
            length = self._reporting.window_seconds
            ended = sorted(s for s in self._windows if final or s + length <= now)
            bodies: list[Body] = []
            for start in ended:
                last = final and start == ended[-1]
                bodies.extend(self._reports.window(start, self._windows.pop(start), final=last))
            if turned:
                bodies.extend(self._reports.outcomes(*self._label_join.take(self._current)))
                bodies.extend(self.shared.take())
            return bodies

    def _start(self, at: float) -> int:
        return int(at // self._reporting.window_seconds) * self._reporting.window_seconds

    def _window(self, start: int) -> WindowCounts:
        window = self._windows.get(start)
        if window is None:
            empty = Histograms.empty(self._profile)
            window = self._windows[start] = WindowCounts(empty, GroupAccumulator(self._profile))
        return window

    def _drain(self) -> None:
        # Only a full ring can have dropped something.
        full = len(self._ring) == self._ring.maxlen
        # Taking no more than there are now ends the loops even while other threads append.
        remaining = len(self._ring)
        while remaining > 0:
            part = taken(self._ring, min(remaining, CHUNK))
            remaining -= len(part)
            self._count_records(part)
            if remaining > 0:
                time.sleep(0)  # a thread that waits to predict goes first
        if full:
            self._count_lost()
        for _ in range(len(self._batches)):
            self._add_batch(*self._batches.popleft())
        for _ in range(len(self._named_batches)):
            self._remember_answers(*self._named_batches.popleft())
        for at, kind, bucket in taken(self._errors, len(self._errors)):
            window = self._window(self._start(at))
            window.errors[kind] += 1
            if kind == "model" and bucket is not None:
                window.by_bucket().add_error(bucket)
        for at, stale_at in taken(self._joined, len(self._joined)):
            self._window(self._start(at)).add_joined(at, stale_at)
        for at, bucket in taken(self._units, len(self._units)):
            window = self._window(self._start(at))
            window.units += 1
            window.by_bucket().add_unit(bucket)

    def _count_records(self, records: list[tuple[Any, ...]]) -> None:
        self._counted += len(records)
        if self._tap is not None:
            self._tap(list(map(RingRecord._make, records)))
        # Nearly always all are of one window: then nothing has to be grouped.
        first, last = self._start(records[0][AT]), self._start(records[-1][AT])
        if first == last:
            self._add(first, records)
            return
        for start, group in itertools.groupby(records, key=lambda r: self._start(r[AT])):
            self._add(start, list(group))

    def _add(self, start: int, records: list[tuple[Any, ...]]) -> None:
        named = [record for record in records if record[ROW] is BY_ENTITY]
        if named:
            self._add_named(start, named)
            records = [record for record in records if record[ROW] is not BY_ENTITY]
        if records:
            self._add_rows(start, records)

    def _add_named(self, start: int, records: list[tuple[Any, ...]]) -> None:
        """Count answers by entity: there is no row that a histogram or a group could count."""
        unknown = self.grouping.unknown(len(records)) if self.grouping else None
        columns = RingColumns.of(records)
        self._add_answered(start, columns, unknown, None, by_entity=True)
        self.by_entity.keep(columns.number, columns.value)

    def _add_rows(self, start: int, records: list[tuple[Any, ...]]) -> None:
        columns = RingColumns.of(records)
        window = self._window(start)
        outputs = {name: getattr(columns, name) for name in self._bins.names}
        values = self._inputs.columns(columns.row)
        if self.tensors is None:
            window.add(self._bins, values, outputs, len(records))
        else:
            self._add_watched(window, self.tensors, columns)
        codes = self.grouping.codes(values, columns.groups) if self.grouping else None
        if codes is not None:
            window.groups.add(self._bins.outputs, codes, list(outputs.values()))
        if self._reporting.votes:
            window.add_marks(self._inputs.marks(columns.row))
        shared = list(map(self._inputs.values, columns.row)) if self.shared.rows else None
        self._add_answered(start, columns, codes, shared)

    def _add_answered(
        self,
        start: int, columns: RingColumns, codes: Codes | None,
        shared: list[tuple[Any, ...]] | None, *, by_entity: bool = False,
    ) -> None:  # fmt: skip
        """Count predictions by source and latency, and remember them for late labels."""
        self._highest = max(self._highest, *columns.number)
        self.answered = True
        window, sources = self._window(start), columns.sources()
        latencies = np.asarray(columns.latency)
        window.add_latencies(sources, latencies)
        buckets = None if self._key is None else np.array(columns.bucket, np.uint8)
        if buckets is not None:
            window.by_bucket().add(buckets, sources == SOURCES.index("model"), latencies)
        window.degraded += sum(columns.degraded)
        answers = columns.answers(start, sources, codes, shared, buckets)
        self._label_join.add(columns.number, answers, by_entity=by_entity)

    def _add_watched(
        self, window: WindowCounts, tensors: TensorWatch, columns: RingColumns
    ) -> None:
        """Add the inputs that were looked at, and the answers to them alone: one count for both."""
        chosen = [i for i, each in enumerate(columns.excerpt) if each is not None]
        outputs = {n: [getattr(columns, n)[i] for i in chosen] for n in self._bins.names}
        if chosen:
            window.add(self._bins, tensors.columns(columns.excerpt), outputs, len(chosen))

    def _add_batch(
        self, at: float, columns: Columns, rows: BatchPrediction, count: Mapping[Source, int],
        groups: Codes | None, bucket: int | None,
    ) -> None:  # fmt: skip
        self.answered = True
        if self.tensors is not None:
            columns = self.tensors.columns(list(columns))
        window = self._window(self._start(at))
        window.add_batch(self._bins, columns, rows, count, groups)
        if bucket is not None:
            window.by_bucket().add_many(bucket, sum(count.values()))

    def _remember_answers(self, at: float, batch: BatchPrediction, bucket: int | None) -> None:
        answers = batch_answers(self._start(at), int(at), batch, bucket)
        self._label_join.add_batch(int(batch._number), answers)

    def _count_lost(self) -> None:
        """Numbers are handed out without gaps, so what never came out of the ring was lost."""
        lost = self._highest - self._counted - self._lost
        if lost > 0:
            self._lost += lost
            self._window(self._start(self._clock())).lost["ring"] += lost
