"""Shadow: a candidate answers the same inputs as what serves, and its answers are never served.

Invariants:

* ``predict`` does nothing for it: inputs come from the monitoring ring after the answer was given,
  into a bounded queue. What does not fit is counted as skipped.
* While it runs that is marked on disk (:mod:`edge_sdk.experiments.crash_marker`), for it may end
  the process.
* The candidate runs on one daemon thread, in batches, for at most a share of the time. A call that
  does not end within its limit is aborted and the candidate is given up; one that crashes is
  counted. Neither is noticed by whoever asks for predictions.
* Of every batch one input is timed alone, through both releases, in this thread, in turn: so
  latencies are compared under the same conditions.
"""

from __future__ import annotations

import math
import operator
import random
import threading
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from edge_sdk.contract.experiment_reports import Moments, Pairs, ShadowReport
from edge_sdk.errors import EdgeError
from edge_sdk.experiments.base import (
    CandidateWindows,
    RunningExperiment,
    check_same_inputs,
    failing,
)
from edge_sdk.telemetry.label_join import ErrorRules, error_size, is_right
from edge_sdk.telemetry.ring_records import BY_ENTITY, RingColumns, RingRecord, comparable
from edge_sdk.validation import LARGEST

if TYPE_CHECKING:
    from edge_sdk.contract.manifest import Label
    from edge_sdk.contract.messages import Body
    from edge_sdk.experiments.crash_marker import CrashMarker
    from edge_sdk.model.prediction import Prediction
    from edge_sdk.serving.predictor import Predictor

QUEUE: Final = 2_048
"""Inputs that wait for the candidate at most."""

FEEDS: Final = 32
"""Of those, inputs that are tensors (images, text): they may be large."""

FEED_BYTES: Final = 32 << 20
"""Bytes of such inputs that wait; one may be larger."""

BATCH: Final = 256
BATCH_SECONDS: Final = 0.02
"""A batch is made as large as fits into this time, so that it never keeps a core for long."""

LABELS: Final = 16_384
"""Compared predictions that wait for a label."""

LOOK_SECONDS: Final = 1.0

WARM: Final = 3
"""Batches before the first timing: what runs for the first time is slow."""


@dataclass
class ShadowCounts:
    """Counts of one window, the content of its report."""

    compared: int = 0
    disagreements: int = 0
    confidence: Moments = Moments()
    value: Moments = Moments()
    latency: Moments = Moments()
    errors: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    labelled: Counter[str] = field(default_factory=Counter)
    off: Moments = Moments()

    @property
    def empty(self) -> bool:
        """Return whether there is nothing to report."""
        return not (self.compared or self.errors or self.skipped or self.labelled or self.off.count)


def _with_own_feed(record: RingRecord) -> RingRecord:
    """Return the record with tensors that the application cannot fill again."""
    return record._replace(row={name: array.copy() for name, array in record.row.items()})


class Shadow(RunningExperiment):
    """Compares ``candidate`` with what ``incumbent`` served.

    Args:
        arm: name of the candidate's arm.
        incumbent: serves; its monitor's ring is where inputs come from.
        twin: the incumbent's release once more, without monitor, pack and cloud, for timing.
        candidate: without monitor, pack and cloud.
        sampled: share of the requests that are given to it.
        budget: share of the time that it may run.
        limit: seconds after which a batch is taken to hang.
        marker: tells the next process that the candidate was running when this one ended.
        clock: Unix seconds.

    Raises:
        ReleaseError: the candidate takes other inputs.
    """

    def __init__(
        self,
        arm: str,
        incumbent: Predictor,
        twin: Predictor,
        candidate: Predictor,
        *,
        sampled: float = 1.0,
        budget: float,
        limit: float,
        marker: CrashMarker | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        check_same_inputs(incumbent.release, candidate.release)
        self.candidates: Mapping[str, Predictor] = {arm: candidate}
        self._arm = arm
        self._incumbent, self._twin, self._candidate = incumbent, twin, candidate
        self._sampled, self._budget, self._limit = sampled, budget, limit
        self._marker, self._digest = marker, candidate.release.digest
        self._random = random.Random()
        self._queue: deque[RingRecord] = deque()
        self._paused = False
        self._lock = threading.Lock()
        self._counts = ShadowCounts()
        self._windows = CandidateWindows(candidate, clock())
        self._answers = ComparedAnswers(LABELS)
        self._labels: OrderedDict[int, Label | float] = OrderedDict()
        self._size, self._batches, self._answered = 1, 0, False
        self._busy_since: float | None = None
        self._watched: float | None = None
        self._waited, self._looked = 0.0, 0.0
        self._wake, self._stopped = threading.Event(), threading.Event()
        incumbent.monitor.set_tap(self._offer)
        incumbent.taps = (*incumbent.taps, self._offer_feed)
        threading.Thread(target=self._run, name="edge-shadow", daemon=True).start()

    def servings(self) -> Iterator[Predictor]:
        return iter(())

    def answered(self, arm: str) -> bool:
        return self._answered

    def failure(self, now: float, errors: int) -> tuple[str, str] | None:
        since, self._looked, before = self._busy_since, now, self._looked
        if since is None or since != self._watched:
            self._watched, self._waited = since, 0.0
        else:  # a machine that slept in between counts for no more than a moment
            self._waited += min(now - before, LOOK_SECONDS)
        if self._waited > self._limit:
            self._candidate.model.abort()
            self._count("errors", "hung", 1)
            return self._arm, f"it did not answer within {self._limit:g} seconds"
        return failing(self.candidates, errors)

    def labelled(self, tag: str, number: str, label: Label | float) -> None:
        """Join a label with both answers, or keep it until the candidate's is there.

        Args:
            tag: of the predictor that answered.
            number: of the prediction.
            label: the right answer.
        """
        if tag != self._incumbent.tag or not number.isdecimal():
            return
        with self._lock:
            answers = self._answers.take(int(number))
            if answers is not None:
                self._pair(answers, label)
                return
            self._labels[int(number)] = label
            if len(self._labels) > LABELS:
                self._labels.popitem(last=False)

    def collect(self, now: float, *, final: bool = False) -> list[Body]:
        self._incumbent.monitor.fold()  # so that what was asked a moment ago is offered now
        with self._lock:  # the thread that compares adds to the same counts
            if not final and not self._windows.ended(now):
                return []
            window = self._windows.turn(now)
            counts, self._counts = self._counts, ShadowCounts()
        if counts.empty:
            return []
        version = self._incumbent.release.manifest.version
        fields = {**vars(counts), "labelled": Pairs(**counts.labelled)}
        return [ShadowReport(window, version, **fields)]

    def pause(self, *, paused: bool) -> None:
        self._paused = paused

    def close(self) -> None:
        self._incumbent.monitor.set_tap(None)
        taps = self._incumbent.taps
        self._incumbent.taps = tuple(tap for tap in taps if tap != self._offer_feed)
        self._stopped.set()
        self._wake.set()

    def _offer(self, records: Sequence[RingRecord]) -> None:
        """Records of the monitoring ring, under its lock."""
        given = (r for r in records if r.row is not None and r.row is not BY_ENTITY)
        self._enqueue(list(given), QUEUE)

    def _offer_feed(self, feed: Any, p: Prediction) -> None:
        """A feed that monitoring does not keep, in the caller's thread."""
        answer = (p.compared, None, p.value, p.confidence, p.source, p.degraded)
        record = RingRecord(int(p._number), 0.0, feed, *answer, 0, None)
        size = sum(array.nbytes for array in feed.values())
        room = min(FEEDS, max(1, FEED_BYTES // max(1, size)))
        self._enqueue([record], room, _with_own_feed)

    def _enqueue(
        self,
        records: list[RingRecord],
        room: int,
        kept: Callable[[RingRecord], RingRecord] = lambda record: record,
    ) -> None:
        if self._sampled < 1:
            records = [record for record in records if self._random.random() < self._sampled]
        if self._paused and records:
            self._count("skipped", "battery", len(records))
        if self._paused:
            return
        free = max(0, room - len(self._queue))
        self._queue.extend(map(kept, records[:free]))
        if len(records) > free:
            self._count("skipped", "queue", len(records) - free)
        self._wake.set()

    def _count(self, what: str, kind: str, number: int) -> None:
        with self._lock:
            getattr(self._counts, what)[kind] += number

    def _run(self) -> None:
        while not self._stopped.is_set():
            self._wake.wait()
            self._wake.clear()
            while self._queue and not self._stopped.is_set():
                took = self._compare_some()
                # Idle for so long that the time spent is the allowed share of all.
                self._stopped.wait(took * (1 / self._budget - 1))

    def _compare_some(self) -> float:
        """Compare a batch; return the seconds that it took."""
        self._busy_since = started = time.monotonic()
        some = self._take(min(self._size, len(self._queue)))
        if not some:
            self._busy_since = None
            return 0.0
        try:
            with self._marked():
                took = self._run_batch(some, started)
        finally:
            self._busy_since = None
        # At most doubled: the first batches run cold, and their time says little.
        fits = int(len(some) * BATCH_SECONDS / max(took, 1e-6))
        self._size = max(1, min(BATCH, fits, 2 * self._size))
        return time.monotonic() - started

    def _marked(self) -> AbstractContextManager[None]:
        if self._marker is None:
            return nullcontext()
        return self._marker.running(self._digest, first=not self._answered)

    def _run_batch(self, some: Sequence[RingRecord], started: float) -> float:
        """Compare and time; the seconds since ``started`` that the comparison took."""
        try:
            self._compare(some)
            took = time.monotonic() - started
            self._time(some[-1].row)
        except EdgeError:
            took = time.monotonic() - started
            self._one_by_one(some)
        return took

    def _take(self, count: int) -> list[RingRecord]:
        """The next ``count`` inputs, those that something else than the model answered left out."""
        some = [self._queue.popleft() for _ in range(count)]
        models = [record for record in some if record.source == "model"]
        if len(models) < count:
            self._count("skipped", "source", count - len(models))
        return models

    def _one_by_one(self, some: Sequence[RingRecord]) -> None:
        """Something in the batch made the candidate fail: find out what."""
        for record in some:
            if self._stopped.is_set():
                return
            try:
                self._compare([record])
            except EdgeError:
                self._candidate.errors += 1
                self._count("errors", "model", 1)

    def _compare(self, some: Sequence[RingRecord]) -> None:
        """Answer ``some`` and count how answers differ; by column, which holds the GIL least."""
        columns = RingColumns.of(some)
        numbers, served, values = columns.number, columns.label, columns.value
        labels, own_confidences, own_values = self._candidate.again(columns.row)
        self._answered = True
        differing = sum(map(operator.ne, labels, served))
        surer, more = _moments(own_confidences, columns.confidence), _moments(own_values, values)
        with self._lock:
            counts = self._counts
            counts.compared += len(some)
            counts.disagreements += differing
            counts.confidence += surer
            counts.value += more
            self._answers.put(numbers, comparable(served, values), comparable(labels, own_values))
            for number in self._labels.keys() & set(numbers):
                answers = self._answers.take(number)
                if answers is not None:
                    self._pair(answers, self._labels.pop(number))

    def _pair(self, answers: tuple[Any, Any], label: Label | float) -> None:
        rules = ErrorRules.of(self._incumbent.terms.reporting)
        if not isinstance(label, str) and all(isinstance(answer, float) for answer in answers):
            before, now = (error_size(answer, label, rules.largest) for answer in answers)
            if before is not None and now is not None:
                self._counts.off += _moments([now], [before])
        served, candidate = (is_right(answer, label, rules.right_within) for answer in answers)
        if served is None or candidate is None:
            return
        # McNemar's table: concordant pairs say nothing of the difference, discordant ones do.
        both = "both" if served else "candidate_only"
        self._counts.labelled[both if candidate else "incumbent_only" if served else "neither"] += 1

    def _time(self, row: Any) -> None:
        """Time one input through both, in random order."""
        self._batches += 1
        if self._batches <= WARM:
            return
        # In random order: whoever comes second finds the input in the processor's cache.
        order = [self._twin, self._candidate]
        self._random.shuffle(order)
        times = {id(serving): _nanoseconds(serving, row) for serving in order}
        ratio = times[id(self._candidate)] / times[id(self._twin)]
        with self._lock:
            self._counts.latency += _moments([math.log2(ratio)], [0.0])


def _nanoseconds(serving: Predictor, kept: Any) -> int:
    """Time of one prediction; the call before it warms the caches."""
    if isinstance(kept, bytes):  # a dense row, as the prepared way keeps it
        row = np.frombuffer(kept, serving.release.manifest.signature.inputs[0].dtype)
        ask: Callable[[], Any] = lambda: serving.predict(row)  # noqa: E731
    else:
        ask = lambda: serving.again([kept])  # noqa: E731
    ask()
    started = time.perf_counter_ns()
    ask()
    return max(1, time.perf_counter_ns() - started)


def _moments(candidate: Sequence[Any], incumbent: Sequence[Any]) -> Moments:
    """Moments of the differences, where both are numbers."""
    if not isinstance(candidate[0], float) or not isinstance(incumbent[0], float):
        return Moments()
    x = np.array(candidate, np.float64) - np.array(incumbent, np.float64)
    x = x[np.abs(x) <= LARGEST]  # neither infinite nor NaN, nor are sums of squares
    return Moments(len(x), float(x.sum()), float((x * x).sum()))


class ComparedAnswers:
    """Answers of both to the last ``capacity`` predictions, for labels that come late."""

    def __init__(self, capacity: int) -> None:
        self._numbers = np.zeros(capacity, np.int64)
        self._served, self._candidate = np.empty((2, capacity), object)

    def put(self, numbers: Sequence[int], served: Sequence[Any], candidate: Sequence[Any]) -> None:
        """Remember answers; each replaces an old one.

        Args:
            numbers: of the predictions.
            served: answers of the incumbent.
            candidate: answers of the candidate.
        """
        named = np.array(numbers, np.int64)
        places = named % len(self._numbers)
        self._numbers[places] = named
        self._served[places], self._candidate[places] = served, candidate

    def take(self, number: int) -> tuple[Any, Any] | None:
        """Return both answers, once; ``None`` if there are none."""
        place = number % len(self._numbers)
        if int(self._numbers[place]) != number or number <= 0:
            return None
        self._numbers[place] = 0
        return self._served[place], self._candidate[place]
