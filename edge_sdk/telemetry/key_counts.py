"""Counts of an A/B by key, by bucket of the keys; see :mod:`edge_sdk.contract.key_buckets`."""

from __future__ import annotations

import threading
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edge_sdk.contract.key_buckets import BUCKETS, BucketOutcomes, BucketRequests
from edge_sdk.telemetry.latency import latency_bins

NO_BUCKET: Final = 255
"""Bucket of a prediction that was made for no key."""

Buckets = NDArray[np.uint8]
"""Bucket of each of N predictions."""


class CallingKey(threading.local):
    """Bucket of the key that the calling thread asks for.

    It is set where the key's arm is looked up and read where the prediction is recorded, which is
    the same call of the same thread: nothing in between has to hand it on.
    """

    bucket: int = NO_BUCKET


class RequestsByBucket:
    """Requests of one window; a row of :data:`BUCKETS` for each column of the report."""

    def __init__(self) -> None:
        self._counts = np.zeros((4, BUCKETS), np.int64)
        self._latency = np.zeros((2, BUCKETS))

    def add(self, buckets: Buckets, timed: NDArray[np.bool_], latencies: NDArray[Any]) -> None:
        """Add N predictions.

        Args:
            buckets: of their keys.
            timed: those whose latency is the model's.
            latencies: nanoseconds.
        """
        self._counts[0] += _count(buckets)
        timed = timed & (buckets < BUCKETS)
        chosen = buckets[timed]
        # The middle of the bin, as the hub takes it from histograms: all arms are read alike.
        logs = (latency_bins(latencies[timed]) + 0.5) / 4
        self._counts[3] += np.bincount(chosen, minlength=BUCKETS)
        self._latency[0] += np.bincount(chosen, logs, minlength=BUCKETS)
        self._latency[1] += np.bincount(chosen, logs**2, minlength=BUCKETS)

    def add_many(self, bucket: int, count: int) -> None:
        """Add the predictions of a batch, which are not timed one by one."""
        if bucket < BUCKETS:
            self._counts[0, bucket] += count

    def add_error(self, bucket: int) -> None:
        """Add a request on which the model failed."""
        if bucket < BUCKETS:
            self._counts[:2, bucket] += 1

    def add_unit(self, bucket: int) -> None:
        """Add a key that was never seen before."""
        self._counts[2, bucket] += 1

    def report(self) -> BucketRequests:
        """Return what the window's report has of it."""
        columns = [_column(row) for row in (*self._counts, *self._latency)]
        return BucketRequests(*columns)


class OutcomesByBucket:
    """Labels and rewards that came for one window."""

    def __init__(self) -> None:
        self._counts = np.zeros((5, BUCKETS), np.int64)
        self._rewards = np.zeros((2, BUCKETS))

    def add_label(self, bucket: int, own_correct: bool) -> None:
        """Count one label of the on-device model's own answer."""
        self._counts[0, bucket] += 1
        self._counts[1, bucket] += own_correct

    def add_served(self, bucket: int, correct: bool) -> None:
        """Count one label of what was served."""
        self._counts[3, bucket] += 1
        self._counts[4, bucket] += correct

    def add_reward(self, bucket: int, reward: float) -> None:
        """Count one numeric outcome."""
        self._counts[2, bucket] += 1
        self._rewards[:, bucket] += (reward, reward * reward)

    def report(self) -> BucketOutcomes:
        """Return what the report of labels has of it."""
        labelled, correct, rewards, *served = map(_column, self._counts)
        sums: list[tuple[Any, ...]] = [(), ()]
        if rewards:  # sums of 0 have their squares, which are not
            sums = [tuple(row.tolist()) for row in self._rewards]
        return BucketOutcomes(labelled, correct, rewards, *sums, *served)


def _count(buckets: Buckets) -> NDArray[np.int64]:
    return np.bincount(buckets[buckets < BUCKETS], minlength=BUCKETS)


def _column(row: NDArray[Any]) -> tuple[Any, ...]:
    """A column of a report: without numbers where all are 0."""
    return tuple(row.tolist()) if row.any() else ()
