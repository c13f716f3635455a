"""Monitoring: what was predicted becomes counts, off the caller's path.

Invariants:

* :meth:`Monitor.record` takes no lock and does no arithmetic: it appends to a bounded ring
  (``deque.append`` is atomic). What the ring loses before a fold is counted in the report.
* :meth:`Monitor.fold` empties the ring in vectorised batches; a background thread calls it.
* Memory is bounded: ``RING`` records, ``PENDING`` predictions that wait for labels, the counts.
  Of a batch, at most ``BATCH_SAMPLE`` evenly spaced rows go into the histograms.
* Raw rows leave only in a :class:`SampleBatch`, and only with ``share`` (the owner's opt-in).
"""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from edge_sdk.contract.limits import SAMPLES_PER_MESSAGE
from edge_sdk.contract.manifest import Label
from edge_sdk.contract.messages import (
    Body,
    FeedbackReport,
    KeyVotes,
    SampleBatch,
    Window,
    WindowReport,
)
from edge_sdk.contract.plan import CONTROL, Reporting, Sharing
from edge_sdk.errors import InputError
from edge_sdk.inputs import Inputs
from edge_sdk.pending import Outcomes, Pending, Waiting, WaitingBatch
from edge_sdk.prediction import BatchPrediction, Prediction
from edge_sdk.release import Release
from edge_sdk.window import Histograms, WindowCounts

RING: Final = 16_384
PENDING: Final = 65_536
BATCH_RING: Final = 64
BATCH_SAMPLE: Final = 4_096

Record = tuple[float, Any, Prediction, int, bytes | None]
"""(time, checked input, prediction, latency in ns, key or None)."""


@dataclass(frozen=True)
class Scope:
    """What a monitor reports under: the arm it belongs to and the tag of its prediction ids."""

    tag: str
    experiment: str | None = None
    arm: str = CONTROL


class Monitor:
    """Counts the predictions of one release on one arm.

    Args:
        release: what answers; its profile gives the histograms.
        inputs: reads feature values out of the release's checked inputs.
        scope: experiment, arm and tag.
        reporting: window length, minimum observations, votes.
        sharing: what the plan asks for; used only with ``share``.
        share: the owner of the device opted in to sharing labelled rows.
        clock: Unix seconds.
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
        clock: Callable[[], float],
        capacity: int = RING,
    ) -> None:
        self._release = release
        self._profile = release.profile()
        self._inputs = inputs
        self.scope = scope
        self._reporting = reporting
        self._sharing = sharing if share and sharing.samples else Sharing()
        self._clock = clock
        self._numbers = itertools.count(1)
        self._ring: deque[Record] = deque(maxlen=capacity)
        self._lock = threading.Lock()
        self._batches: deque[tuple[float, Sequence[Any], BatchPrediction]] = deque(
            maxlen=BATCH_RING
        )
        self._last: int | str = 0
        self._windows: dict[int, WindowCounts] = {}
        self._carried = Histograms.empty(self._profile)
        self._pending = Pending(PENDING)
        self._samples: list[tuple[tuple[Any, ...], Label | float, int]] = []
        self._shared_window, self._shared = 0, 0
        self._outcomes_due = self._start(clock()) + reporting.window_seconds

    def record(
        self, given: Any, prediction: Prediction, latency: int, key: bytes | None = None
    ) -> None:
        """Number ``prediction`` and put it into the ring; ``latency`` in nanoseconds."""
        prediction._number = next(self._numbers)
        self._ring.append((self._clock(), given, prediction, latency, key))

    def record_batch(self, columns: Sequence[Any], batch: BatchPrediction) -> None:
        """Number ``batch`` and put it into the ring.

        ``columns`` holds one sequence per feature, over the rows that :func:`sampled` chooses.
        """
        batch._number = next(self._numbers)
        self._batches.append((self._clock(), columns, batch))

    def record_error(self, kind: str) -> None:
        """Count a refused input or a failed call."""
        with self._lock:
            self._window(self._start(self._clock())).errors[kind] += 1

    def feedback(
        self, number: str, label: Label | float | None = None, reward: float | None = None
    ) -> None:
        """Join a late label or reward with prediction ``number``.

        Raises:
            InputError: the prediction is unknown or forgotten, the label is none of the classes,
                or it came already.
        """
        if label is not None:
            self._check_label(label)
        with self._lock:
            self._drain()
            waiting = self._pending.find(number)
            if reward is not None:
                self._pending.reward(waiting, float(reward))
            if label is not None:
                self._pending.label(waiting, label)
                self._keep_sample(waiting, label)

    def fold(self) -> None:
        """Empty the ring into the counts."""
        with self._lock:
            self._drain()

    def collect(self, now: float, *, final: bool = False) -> list[Body]:
        """Messages of the windows that ended by ``now`` (with ``final``, of all)."""
        with self._lock:
            self._drain()
            ended = sorted(s for s in self._windows if final or self._end(s) <= now)
            bodies: list[Body] = []
            for start in ended:
                bodies.extend(self._close(start, self._windows.pop(start)))
            if final or now >= self._outcomes_due:
                bodies.extend(self._close_outcomes())
                self._outcomes_due = self._end(self._start(now))
            return bodies

    def _start(self, at: float) -> int:
        length = self._reporting.window_seconds
        return int(at // length) * length

    def _end(self, start: int) -> int:
        return start + self._reporting.window_seconds

    def _window(self, start: int) -> WindowCounts:
        window = self._windows.get(start)
        if window is None:
            empty = Histograms.empty(self._profile)
            window = self._windows[start] = WindowCounts(empty)
        return window

    def _drain(self) -> None:
        # Taking no more than there are now ends the loops even while other threads append.
        records = [self._ring.popleft() for _ in range(len(self._ring))]
        if len(records) == self._ring.maxlen:
            self._count_lost(records)
        for start, group in itertools.groupby(records, key=lambda r: self._start(r[0])):
            self._add(start, list(group))
        if records:
            self._last = records[-1][2]._number
        for _ in range(len(self._batches)):
            self._add_batch(*self._batches.popleft())

    def _add(self, start: int, records: list[Record]) -> None:
        window = self._window(start)
        predictions = [r[2] for r in records]
        outputs = {o.name: [getattr(p, o.name) for p in predictions] for o in self._profile.outputs}
        outputs.setdefault("label", predictions)
        window.add(self._profile, self._inputs.columns([r[1] for r in records]), outputs)
        window.add_latencies(predictions, [r[3] for r in records])
        if self._reporting.votes:
            # Without a pack nobody needed the key before; the votes do, so that there will be one.
            window.add_keys([r[4] or self._inputs.key(r[1]) for r in records])
        for at, given, prediction, _, _ in records:
            row = self._inputs.values(given) if self._sharing.samples else None
            self._pending.add(str(prediction._number), Waiting(start, int(at), prediction, row))

    def _add_batch(self, at: float, columns: Sequence[Any], batch: BatchPrediction) -> None:
        start = self._start(at)
        window = self._window(start)
        rows = sampled(len(batch))
        outputs = {
            name: array[rows]
            for name, array in (
                ("label", batch.labels),
                ("confidence", batch.confidences),
                ("value", batch.values),
            )
            if array is not None
        }
        outputs.setdefault("label", np.arange(len(batch))[rows])
        window.add(self._profile, columns, outputs)
        window.predictions[batch.source] += len(batch)
        self._pending.add_batch(str(batch._number), WaitingBatch(start, int(at), batch))

    def _count_lost(self, records: list[Record]) -> None:
        """A ring that was full lost what came before it; numbers are handed out without gaps."""
        first, last = records[0][2]._number, self._last
        lost = int(first) - int(last) - 1
        if lost > 0:
            self._window(self._start(records[0][0])).lost["ring"] += lost

    def _check_label(self, label: Any) -> None:
        classes = self._release.manifest.signature.classes
        if classes and label not in classes:
            raise InputError("label", f"expected one of {list(classes)[:20]}, got {label!r:.60}")

    def _keep_sample(self, waiting: Waiting, label: Label | float) -> None:
        if waiting.row is None:
            return
        window = self._start(self._clock())
        if window != self._shared_window:
            self._shared_window, self._shared = window, 0
        if self._shared < self._sharing.per_window:
            self._shared += 1
            self._samples.append((waiting.row, label, waiting.taken))

    def _close(self, start: int, counts: WindowCounts) -> Iterator[Body]:
        if counts.empty:
            return
        manifest = self._release.manifest
        counts.histograms.add(self._carried)
        self._carried = Histograms.empty(self._profile)
        enough = counts.histograms.observations >= self._reporting.minimum_observations
        if not enough:
            self._carried, counts.histograms = counts.histograms, self._carried
        yield WindowReport(
            window=self._named(start),
            profile=self._release.profile_digest,
            predictions=dict(counts.predictions),
            features=_plain(counts.histograms.features) if enough else (),
            outputs=_plain(counts.histograms.outputs) if enough else (),
            observations=counts.histograms.observations if enough else 0,
            degraded=counts.degraded,
            errors=dict(counts.errors),
            latency={name: tuple(map(int, row)) for name, row in counts.latency.items()},
            lost=dict(counts.lost),
        )
        votes = counts.votes(self._reporting.votes)
        if votes:
            yield KeyVotes(manifest.model, manifest.version, start, votes)

    def _named(self, start: int) -> Window:
        manifest = self._release.manifest
        scope = self.scope
        end = self._end(start)
        return Window(manifest.model, manifest.version, start, end, scope.experiment, scope.arm)

    def _close_outcomes(self) -> Iterator[Body]:
        outcomes, unmatched = self._pending.take_outcomes()
        if unmatched and not outcomes:
            outcomes = {self._start(self._clock()): Outcomes()}
        for start, found in sorted(outcomes.items()):
            yield FeedbackReport(window=self._named(start), unmatched=unmatched, **vars(found))
            unmatched = 0
        manifest = self._release.manifest
        while self._samples:
            part = self._samples[:SAMPLES_PER_MESSAGE]
            del self._samples[:SAMPLES_PER_MESSAGE]
            rows, labels, taken = zip(*part, strict=True)
            yield SampleBatch(manifest.model, manifest.version, rows, labels, taken)


def sampled(count: int) -> slice:
    """The rows of a batch that monitoring looks at: all, or evenly spaced ones of a large batch."""
    return slice(0, count, max(1, -(-count // BATCH_SAMPLE)))


def _plain(histograms: Sequence[Any]) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(map(int, row)) for row in histograms)
