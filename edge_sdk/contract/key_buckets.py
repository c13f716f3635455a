"""Buckets of an A/B by key: what a device counts of its keys without naming one.

Requests of one key are alike, so an arm with a hundred thousand requests of forty keys has hardly
more than forty outcomes. Every key falls by a hash into one of :data:`BUCKETS`, on whichever device
it is asked for; reports have sums by bucket, and the hub compares buckets. The hash is independent
of the one that gives the key its arm.

A bucket says as much of a key as seven bits do, and many keys share it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from edge_sdk.contract.errors import require

BUCKETS: Final = 128
"""Where keys ask alike, 128 find as much as a bucket for every key would. Where some have most of
the traffic they find less, as no such key can be told apart and bounded: 44% of differences of
which 32 buckets find 37%, and single keys 93% (``benchmarks/statistics/keys.py``, log-normal
traffic with a standard deviation of 1.5). In JSON a column of them takes 256 bytes and more."""

MARK_BYTES: Final = 8
"""Of a key's mark, by which a device knows that it has seen it; the bucket is another byte."""

ROUNDING: Final = 1e-9
"""Relative error of sums of squares."""


def mark_of(salt: str, unit: str) -> tuple[bytes, int]:
    """Return the mark of a key, which stays on the device, and its bucket.

    Args:
        salt: of the experiment, so that no bucket means anything beyond it.
        unit: the key.
    """
    # Not SHA-256, of which the slots are made: bucket and arm must have nothing in common.
    digest = hashlib.blake2b(
        f"{salt}\0{unit}".encode(), digest_size=MARK_BYTES + 1, person=b"key bucket"
    ).digest()
    return digest[:MARK_BYTES], digest[MARK_BYTES] % BUCKETS


@dataclass(frozen=True)
class BucketRequests:
    """Requests of one window by bucket: each column has :data:`BUCKETS` numbers, or none for zeros.

    ``requests`` are those that failed included, ``errors`` those on which the model failed,
    ``units`` keys that this process saw for the first time. Latency is that of the model on the
    device: how many requests, their sum and sum of squares in log2 of microseconds, each at the
    middle of its bin.
    """

    requests: tuple[int, ...] = ()
    errors: tuple[int, ...] = ()
    units: tuple[int, ...] = ()
    latency_n: tuple[int, ...] = ()
    latency_sum: tuple[float, ...] = ()
    latency_squares: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        for name in ("requests", "errors", "units", "latency_n"):
            _check_counts(name, getattr(self, name))
        for what, of in (("errors", "requests"), ("latency_n", "requests")):
            _check_part(what, getattr(self, what), getattr(self, of))
        _check_moments("latency", self.latency_n, self.latency_sum, self.latency_squares)


@dataclass(frozen=True)
class BucketOutcomes:
    """Late labels and rewards of one window by bucket, in columns as :class:`BucketRequests` has.

    ``labelled`` and ``correct`` are of the on-device model's own answers, ``served_labelled`` and
    ``served_correct`` of what was served.
    """

    labelled: tuple[int, ...] = ()
    correct: tuple[int, ...] = ()
    rewards: tuple[int, ...] = ()
    reward_sum: tuple[float, ...] = ()
    reward_squares: tuple[float, ...] = ()
    served_labelled: tuple[int, ...] = ()
    served_correct: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for name in ("labelled", "correct", "rewards", "served_labelled", "served_correct"):
            _check_counts(name, getattr(self, name))
        _check_part("correct", self.correct, self.labelled)
        _check_part("served_correct", self.served_correct, self.served_labelled)
        _check_moments("reward", self.rewards, self.reward_sum, self.reward_squares)


def _check_counts(name: str, column: tuple[int, ...]) -> None:
    _check_length(name, column)
    require(min(column, default=0) >= 0, f"buckets: {name}: expected at least 0")


def _check_length(name: str, column: tuple[float, ...]) -> None:
    fits = len(column) in (0, BUCKETS)
    require(fits, f"buckets: {name}: expected {BUCKETS} numbers, got {len(column)}")


def _check_part(name: str, part: tuple[int, ...], whole: tuple[int, ...]) -> None:
    within = not part or (bool(whole) and all(a <= b for a, b in zip(part, whole, strict=True)))
    require(within, f"buckets: {name}: expected no more than there are in each bucket")


def _check_moments(
    name: str, count: tuple[int, ...], sums: tuple[float, ...], squares: tuple[float, ...]
) -> None:
    """Refuse sums that no numbers have."""
    _check_length(f"{name}_sum", sums)
    _check_length(f"{name}_squares", squares)
    require(bool(sums) == bool(squares), f"buckets: {name}: expected sums with their squares")
    counts = count or (0,) * len(sums)
    possible = all(
        q >= 0 and s * s <= n * q * (1 + ROUNDING)
        for n, s, q in zip(counts, sums or (0.0,) * len(counts), squares or (0.0,) * len(counts),
                           strict=True)
    )  # fmt: skip
    require(possible, f"buckets: {name}: expected sums that so many numbers can have")
