"""Checks of where rows are from: one device's share, gaps in time. Pure."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from cloud_hub.data.dataset import Dataset
from cloud_hub.data.row_hashes import row_hashes
from cloud_hub.data.validation.found import Found, Skipped
from cloud_hub.data.validation.subject import ValidatedRows

FEWEST = 50
"""Rows without which nothing is said of devices and gaps."""

FAIR = 2.0
"""Times its fair share that one of few devices may give."""

LARGER = 3.0
"""Times as long as the gaps that recur, nights for example, a gap is to be one."""

RECURRING = 3
"""So many gaps of a length recur."""


def device_share(subject: ValidatedRows) -> Iterator[Found]:
    """Find a device that gives more rows than its cap."""
    devices = subject.data.devices
    if devices is None:
        raise Skipped("nobody says of which device a row is")
    if len(devices) < FEWEST:
        raise Skipped(f"there are fewer than {FEWEST} rows")
    names, counts = np.unique(devices.astype(np.str_), return_counts=True)
    cap = device_cap(len(names), subject.policy.max_device_share)
    for place in np.flatnonzero(counts / len(devices) > cap):
        share = counts[place] / len(devices)
        yield Found(
            None,
            f"the device {str(names[place])!r:.60} gives {share:.1%} of the rows, its cap is "
            f"{cap:.1%}",
            float(share),
            cap,
        )


def device_cap(devices: int, most: float) -> float:
    """Return the share that one of so many devices may have, where ``most`` is the policy's."""
    return max(most, min(1.0, FAIR / max(1, devices)))


def capped(data: Dataset, most: float) -> Dataset:
    """Return the rows without those that devices gave above their cap.

    Which ones are left out is settled by the hash of their features, so twice the same.

    Args:
        data: rows that may name devices.
        most: share of all rows that one device may have.
    """
    devices = data.devices
    if devices is None or len(data) < FEWEST:
        return data
    names, codes, counts = np.unique(
        devices.astype(np.str_), return_inverse=True, return_counts=True
    )
    cap = device_cap(len(names), most)
    allowed = _allowed(counts, cap)
    if (counts <= allowed).all():
        return data
    order = np.lexsort((row_hashes(data.features), codes))
    begins = np.concatenate([[0], np.cumsum(counts)[:-1]])
    place_within = np.empty(len(data), dtype=np.int64)
    place_within[order] = np.arange(len(data)) - np.repeat(begins, counts)
    return data.take(place_within < allowed[codes])


def _allowed(counts: NDArray[np.int64], cap: float) -> NDArray[np.int64]:
    """Return how many rows of each device stay, so that none has more than ``cap`` of what stays.

    The largest number m with min(count, m) <= cap * sum(min(count, m)) for every device.
    """
    low, high = 1, int(counts.max())
    while low < high:
        middle = (low + high + 1) // 2
        kept = np.minimum(counts, middle)
        if kept.max() <= cap * kept.sum():
            low = middle
        else:
            high = middle - 1
    return np.minimum(counts, low)


def time_gap(subject: ValidatedRows) -> Iterator[Found]:
    """Find a long stretch of the time from the first to the last row that has none."""
    times = subject.data.times
    if times is None:
        raise Skipped("the rows have no time")
    known = np.sort(times[np.isfinite(times)])
    if len(known) < FEWEST or known[-1] <= known[0]:
        raise Skipped("there are too few rows or times")
    gaps = np.diff(known)
    order = np.argsort(gaps)
    longest = float(gaps[order[-1]])
    usual = float(gaps[order[-1 - RECURRING]])
    share, most = longest / float(known[-1] - known[0]), subject.policy.max_time_gap
    if share > most and longest > LARGER * usual:
        begin = float(known[order[-1]])
        yield Found(
            subject.data.time,
            f"no row is from {_utc(begin)} to {_utc(begin + longest)}, {share:.0%} of the time of "
            "all rows",
            share,
            most,
        )


def _utc(at: float) -> str:
    return str(np.datetime64(int(at), "s")) + "Z"
