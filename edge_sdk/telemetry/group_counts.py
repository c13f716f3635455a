"""Counts by group, and when they may be told.

Invariant: what is told speaks of at least ``minimum`` predictions, also by difference to what is
told of all rows. So all groups of a column are told at once: when each that has any has enough, or
after :data:`PATIENCE` times as many; then small ones are told as *other*, and the smallest of the
others with them where those are still too few.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from edge_sdk.contract.groups import OTHER, GroupCounts
from edge_sdk.telemetry.histogram_codec import encode_histograms
from edge_sdk.telemetry.histograms import Bins, HistogramCounts

if TYPE_CHECKING:
    from edge_sdk.contract.profile import ReferenceProfile
    from edge_sdk.telemetry.groups import Codes, Grouping

PATIENCE: Final = 20
"""A group with a twentieth of the rows is told by its name, wherever the others wait for it."""


@dataclass
class _Group:
    outputs: HistogramCounts
    observations: int = 0

    def add(self, other: _Group) -> None:
        self.outputs.add(other.outputs)
        self.observations += other.observations


class GroupAccumulator:
    """Predictions by group: how many, and the histograms of their outputs."""

    def __init__(self, profile: ReferenceProfile) -> None:
        self._outputs = profile.outputs
        self._groups: dict[int, dict[int, _Group]] = {}

    def add(self, bins: Bins, codes: Codes, outputs: Sequence[Any]) -> None:
        """Add N predictions with their groups; ``outputs`` holds N values for each."""
        arrays = [_objects(values) for values in outputs]
        for column in range(codes.shape[1]):
            mine = codes[:, column]
            for code in np.flatnonzero(np.bincount(mine)).tolist():
                chosen = mine == code
                group = self._group(column, code)
                group.observations += int(chosen.sum())
                bins.add([array[chosen] for array in arrays], group.outputs)

    def merge(self, other: GroupAccumulator) -> None:
        """Add all that ``other`` counted."""
        for column, groups in other._groups.items():
            for code, group in groups.items():
                self._group(column, code).add(group)

    def _group(self, column: int, code: int) -> _Group:
        groups = self._groups.setdefault(column, {})
        if code not in groups:
            groups[code] = _Group(HistogramCounts.zeros(self._outputs))
        return groups[code]

    def take(self, column: int, other: int, minimum: int, patience: int) -> dict[int, GroupCounts]:
        """What may be told of a column, by group, and is then gone from here; else nothing.

        ``other`` is where small groups go, once there are ``patience`` predictions.
        """
        groups = self._groups.get(column, {})
        total = sum(group.observations for group in groups.values())
        small = [code for code, g in groups.items() if g.observations < minimum and code != other]
        few_others = other in groups and groups[other].observations < minimum
        if total < minimum or ((small or few_others) and total < patience):
            return {}
        for code in small:
            self._fold(groups, code, other)
        if other in groups and groups[other].observations < minimum:
            rest = [code for code in groups if code != other]
            self._fold(groups, min(rest, key=lambda c: (groups[c].observations, c)), other)
        del self._groups[column]
        return {code: _told(group) for code, group in sorted(groups.items())}

    def _fold(self, groups: dict[int, _Group], code: int, other: int) -> None:
        group = groups.pop(code)
        if other in groups:
            groups[other].add(group)
        else:
            groups[other] = group


class GroupReports:
    """What one release on one arm tells of its groups, and which ones it has told of by name.

    A label of a group that was never told counts for *other*.
    """

    def __init__(self, grouping: Grouping, profile: ReferenceProfile, minimum: int) -> None:
        self._grouping = grouping
        self._minimum = minimum
        self._carried = GroupAccumulator(profile)
        self._known = {(groups.column.name, OTHER) for groups in grouping.columns}

    def window(self, tally: GroupAccumulator, *, final: bool) -> dict[str, dict[str, GroupCounts]]:
        """What may be told after a window, by column and group; the rest is kept.

        ``final``: nothing will come after it, so nothing waits for more.
        """
        self._carried.merge(tally)
        patience = self._minimum * (1 if final else PATIENCE)
        found = {}
        for i, groups in enumerate(self._grouping.columns):
            other = groups.names.index(OTHER)
            told = self._carried.take(i, other, self._minimum, patience)
            if told:
                found[groups.column.name] = {groups.names[c]: n for c, n in told.items()}
        self._known |= {(column, group) for column, told in found.items() for group in told}
        return found

    def known(self, column: str, group: str) -> tuple[str, str]:
        """Under which name a label of a group may be told."""
        return column, group if (column, group) in self._known else OTHER


def _objects(values: Sequence[Any] | NDArray[Any]) -> NDArray[Any]:
    if isinstance(values, np.ndarray):
        return values
    found = np.empty(len(values), object)
    found[:] = values
    return found


def _told(group: _Group) -> GroupCounts:
    return GroupCounts(group.observations, encode_histograms(group.outputs))
