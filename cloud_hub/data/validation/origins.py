"""Checks of where rows are from: one device's share, gaps in time. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

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

SHOWN = 5
"""Devices that are named."""

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


@dataclass(frozen=True)
class CappedRows:
    """Rows without those above a cap; ``left_out`` is how many, by who gave them, most first."""

    data: Dataset
    left_out: Mapping[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.data)

    def words(self) -> str:
        """Return what was left out, in words; empty if nothing was."""
        each = [f"{count:,} of {who}" for who, count in self.left_out.items()]
        more = f" and of {len(each) - SHOWN} more" if len(each) > SHOWN else ""
        return f"above their cap, left out: {', '.join(each[:SHOWN])}{more}" if each else ""


def capped(data: Dataset, most: float, vouchers: Mapping[str, str] | None = None) -> CappedRows:
    """Return the rows without those that devices gave above their cap.

    Then, where there are enough vouchers for the policy's share to be more than a fair one, without
    those that the devices of one voucher gave above it: whoever holds a token of many uses can be
    many devices.

    Which ones are left out is settled by the hash of their features, so twice the same.

    Args:
        data: rows that may name devices.
        most: share of all rows that one device may have.
        vouchers: who vouched for each device, by its name; itself where nobody is named.
    """
    devices = data.devices
    if devices is None or len(data) < FEWEST:
        return CappedRows(data)
    names = devices.astype(np.str_)
    kept, left_out = _within(data, names, most)
    known, left = vouchers or {}, data.take(kept)
    givers = np.array([known.get(name, name) for name in names[kept].tolist()])
    if _enough(len(np.unique(givers)), most):
        again, more = _within(left, givers, most)
        kept[kept], left_out = again, left_out + more
    if not left_out:
        return CappedRows(data)
    return CappedRows(data.take(kept), dict(left_out.most_common()))


def weights(
    counts: Mapping[str, int], most: float, vouchers: Mapping[str, str]
) -> Mapping[str, float]:
    """Return the part of what each device counted that counts, 0 to 1: as :func:`capped` has it.

    Args:
        counts: of observations, by device.
        most: share of all that one device, or one voucher, may have.
        vouchers: who vouched for each device, by its name; itself where nobody is named.
    """
    devices = list(counts)
    rows = np.array([counts[device] for device in devices], dtype=np.int64)
    kept = _allowed(rows, most)
    part = kept / np.maximum(rows, 1)
    names, codes = np.unique([vouchers.get(d, d) for d in devices], return_inverse=True)
    if _enough(len(names), most):
        given = np.bincount(codes, kept, len(names)).astype(np.int64)
        part = part * (_allowed(given, most) / np.maximum(given, 1))[codes]
    return dict(zip(devices, part.tolist(), strict=True))


def _enough(vouchers: int, most: float) -> bool:
    """Whether vouchers are so many that one of them need not have more than the policy's share."""
    return vouchers * most >= FAIR


def _within(
    data: Dataset, givers: NDArray[np.str_], most: float
) -> tuple[NDArray[np.bool_], Counter[str]]:
    """Mark the rows [N] within the cap of who gave them, and count those above it by giver."""
    names, codes, counts = np.unique(givers, return_inverse=True, return_counts=True)
    allowed = _allowed(counts, most)
    over = counts - allowed
    if not over.any():
        return np.ones(len(data), dtype=np.bool_), Counter()
    order = np.lexsort((row_hashes(data.features), codes))
    begins = np.concatenate([[0], np.cumsum(counts)[:-1]])
    place_within = np.empty(len(data), dtype=np.int64)
    place_within[order] = np.arange(len(data)) - np.repeat(begins, counts)
    left_out = Counter({str(names[i]): int(over[i]) for i in np.flatnonzero(over)})
    return place_within < allowed[codes], left_out


def _allowed(counts: NDArray[np.int64], most: float) -> NDArray[np.int64]:
    """Return how many rows of each giver stay, so that none has more than its cap of what stays.

    The largest number m with min(count, m) <= cap * sum(min(count, m)) for every giver.
    """
    cap = device_cap(len(counts), most)
    low, high = 1, int(counts.max(initial=1))
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
