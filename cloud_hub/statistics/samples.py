"""What is compared, and what comes of it: outcomes of an arm by device; a difference of arms.

A device sends how many outcomes, their sum and the sum of their squares; no method needs more.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Rows = Mapping[str, tuple[float, float, float]]
"""How many, sum and sum of squares, by device."""


class DeviceRows(Mapping[str, tuple[float, float, float]]):
    """Rows by device as arrays, for fleets of which a dictionary would take minutes to judge.

    Args:
        names: of the whole fleet, ascending; shared by all tables of one evidence.
        index: places in ``names`` of the devices with a row, ascending, [K].
        columns: how many, sum, sum of squares, [K, 3].
    """

    def __init__(self, names: Sequence[str], index: NDArray[np.intp], columns: Floats) -> None:
        self.names, self.index, self.columns = names, index, columns

    def __getitem__(self, name: str) -> tuple[float, float, float]:
        at = self._place(name)
        if at is None:
            raise KeyError(name)
        n, total, squares = self.columns[at].tolist()
        return n, total, squares

    def __iter__(self) -> Iterator[str]:
        return map(self.names.__getitem__, self.index.tolist())

    def __len__(self) -> int:
        return len(self.index)

    def without(self, name: str) -> DeviceRows:
        """Return the rows of all other devices."""
        at = self._place(name)
        if at is None:
            return self
        return DeviceRows(self.names, np.delete(self.index, at), np.delete(self.columns, at, 0))

    def scaled(self, factors: Floats) -> DeviceRows:
        """Return the rows times a factor of each device of the fleet, [names]."""
        return DeviceRows(self.names, self.index, self.columns * factors[self.index, None])

    def _place(self, name: str) -> int | None:
        whole = bisect_left(self.names, name)
        if whole == len(self.names) or self.names[whole] != name:
            return None
        at = int(np.searchsorted(self.index, whole))
        return at if at < len(self.index) and self.index[at] == whole else None


def sums_of(rows: Rows) -> Floats:
    """Return how many, sum and sum of squares over all devices, [3]."""
    if isinstance(rows, DeviceRows):
        return np.asarray(rows.columns.sum(axis=0))
    return np.asarray(np.array([*rows.values(), (0.0, 0.0, 0.0)]).sum(axis=0))


def devices_in(rows: Rows) -> int:
    """Return how many devices have an outcome."""
    if isinstance(rows, DeviceRows):
        return int(np.count_nonzero(rows.columns[:, 0] > 0))
    return sum(row[0] > 0 for row in rows.values())


@dataclass(frozen=True)
class Sample:
    """One arm: arrays [..., D] of how many, sum and sum of squares by device.

    Devices are in the same order on both arms; one without outcomes has zeros. Axes before the
    last are looks or simulated runs.
    """

    n: Floats
    total: Floats
    squares: Floats

    @classmethod
    def of_successes(cls, successes: Floats, n: Floats) -> Sample:
        """Sample of a 0/1 outcome, whose squares are its sums."""
        return cls(n, successes, successes)


@dataclass(frozen=True)
class Contrast:
    """mean(candidate) - mean(control) with its variance; arrays of the looks' shape.

    ``n`` is how many independent requests an arm would have to have, on both, for as much
    information: the sample size after the design effect. ``freedom`` is of the variance.
    ``attainable`` is what ``n`` comes to with any number of requests of the same devices, as far as
    they have shown how much they differ; infinite where they have not.
    """

    estimate: Floats
    variance: Floats
    n: Floats
    freedom: Floats
    attainable: Floats = field(default_factory=lambda: np.array(np.inf))


def pair_up(control: Rows, candidate: Rows, *others: Rows) -> tuple[Sample, ...]:
    """Arrange both arms in one order of their devices; one that is missing has zeros.

    Args:
        control: (n, sum, sum of squares) by device.
        candidate: the same of the other arm.
        *others: more tables of the same devices.
    """
    if isinstance(control, DeviceRows) and isinstance(candidate, DeviceRows):
        index = np.union1d(control.index, candidate.index)
        return tuple(_at(rows, control.names, index) for rows in (control, candidate, *others))
    devices = sorted({*control, *candidate})
    return tuple(in_order(rows, devices) for rows in (control, candidate, *others))


def _at(rows: Rows, names: Sequence[str], index: NDArray[np.intp]) -> Sample:
    """Sample of the devices at some places of the fleet."""
    if not isinstance(rows, DeviceRows):
        return in_order(rows, [names[i] for i in index.tolist()])
    columns = np.zeros((len(index), 3))
    there = np.isin(rows.index, index, assume_unique=True)
    columns[np.searchsorted(index, rows.index[there])] = rows.columns[there]
    return Sample(*columns.T)


def in_order(rows: Rows, devices: Sequence[str]) -> Sample:
    """Arrange rows in an order of devices; one that is missing has zeros.

    Args:
        rows: (n, sum, sum of squares) by device.
        devices: the order.
    """
    found = [rows.get(device, (0.0, 0.0, 0.0)) for device in devices]
    return Sample(*np.array(found, dtype=np.float64).reshape(-1, 3).T)
