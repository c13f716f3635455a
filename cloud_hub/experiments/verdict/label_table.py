"""Labels of an experiment by window, arm and device: arrays that grow row by row. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cloud_hub.experiments.verdict.evidence import Row
from cloud_hub.statistics.label_coverage import AGES, WindowLabels
from cloud_hub.statistics.samples import Floats

Seat = tuple[str, str]
"""An arm and a device."""

OF_ALL_AGES: Final = ("right", "served", "served right")
"""Counts of labels that are not told apart by age."""


@dataclass(frozen=True)
class LabelTable:
    """Windows of an experiment by hour; ``seat`` says of which of the ``seats`` (arm, device) each
    is, ``start`` (Unix seconds) from when the row is that it was recorded in; both [N]. ``served``
    are labels of what was served, and how many of them were right, [N, 2].
    """

    seats: tuple[Seat, ...]
    seat: NDArray[np.int64]
    start: NDArray[np.int64]
    windows: WindowLabels
    served: Floats

    def only(self, chosen: NDArray[np.bool_]) -> LabelTable:
        """Return some of the rows; ``chosen`` is [N]."""
        return LabelTable(
            self.seats, self.seat[chosen], self.start[chosen], self.windows.only(chosen),
            self.served[chosen],
        )  # fmt: skip

    def since(self, start: int, seats: Collection[Seat]) -> LabelTable:
        """Return the rows of some seats, since a step began.

        Args:
            start: of the step, Unix seconds.
            seats: of its cohort.
        """
        there = np.array([seat in seats for seat in self.seats], dtype=np.bool_)
        return self.only((self.start >= start) & there[self.seat])

    def by_arm(self, values: Floats, n: Floats) -> dict[str, dict[str, Row]]:
        """Return rows of a 0/1 outcome by arm and device, of devices that have any.

        Args:
            values: how many were 1, [N].
            n: how many there were, [N].
        """
        total, ones = (np.bincount(self.seat, each, len(self.seats)) for each in (n, values))
        # A label may be known before the report that counts its answer has come.
        total = np.maximum(total, ones)
        found: dict[str, dict[str, Row]] = defaultdict(dict)
        for (arm, device), all_, one in zip(self.seats, total.tolist(), ones.tolist(), strict=True):
            if all_:
                found[arm][device] = (all_, one, one)
        return found


@dataclass(frozen=True)
class LabelledHour:
    """Windows that ended in one hour.

    ``columns`` are the end of the hour (Unix seconds), answers, and labels of no certain age, as in
    :data:`OF_ALL_AGES`; ``ages`` are bins of age with the labels of each.
    """

    columns: tuple[float, ...]
    ages: tuple[tuple[int, float], ...]


def hour_of(
    ended: int, *, answers: float = 0.0, came: Mapping[str, float] = MappingProxyType({})
) -> LabelledHour:
    """Return the windows that ended in one hour.

    Args:
        ended: end of the hour, Unix seconds.
        answers: number of them.
        came: labels by bin of age, and the ``right`` ones of all; and those of what was ``served``,
            with the ones that were ``served right``.
    """
    of_all = (came.get(name, 0.0) for name in OF_ALL_AGES)
    ages = tuple((int(age), n) for age, n in came.items() if age not in OF_ALL_AGES)
    return LabelledHour((ended, answers, *of_all), ages)


class LabelTableBuilder:
    """A table that is made row by row."""

    def __init__(self) -> None:
        self._seats: dict[Seat, int] = {}
        self._rows: list[tuple[float, ...]] = []
        self._ages: list[tuple[int, int, float]] = []

    def add(self, seat: Seat, start: int, hours: Iterable[LabelledHour]) -> None:
        """Add windows of a device.

        Args:
            seat: arm and device.
            start: of the row that they were recorded in, Unix seconds.
            hours: in which they ended.
        """
        for hour in hours:
            number = self._seats.setdefault(seat, len(self._seats))
            if hour.ages:
                at = len(self._rows)
                self._ages += [(at, age, n) for age, n in hour.ages]
            self._rows.append((number, start, *hour.columns))

    def build(self) -> LabelTable:
        """Return what was added."""
        rows = np.array(self._rows, dtype=np.float64).reshape(-1, 7)
        labelled = np.zeros((len(rows), AGES))
        ages = np.array(self._ages, dtype=np.float64).reshape(-1, 3)
        labelled[ages[:, 0].astype(np.int64), ages[:, 1].astype(np.int64)] = ages[:, 2]
        seat, start = rows[:, 0].astype(np.int64), rows[:, 1].astype(np.int64)
        windows = WindowLabels(rows[:, 2], rows[:, 3], labelled, rows[:, 4])
        return LabelTable((*self._seats,), seat, start, windows, rows[:, 5:])
