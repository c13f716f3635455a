"""Counts by group, and the rule by which they may be reported.

Invariant: every reported number is of at least ``minimum`` predictions, also as the difference to
what is reported of all rows. So all groups of a column are reported at once: when each that has any
has enough, or after :data:`PATIENCE` times as many; then small ones are reported as *other*, and
the smallest of the others with them where those are still too few.
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
"""A group with a twentieth of the rows is reported by name, wherever the others wait for it."""


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
        """Add N predictions.

        Args:
            bins: of the profile's outputs.
            codes: groups of the predictions, [N, columns].
            outputs: N values for each output.
        """
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
        """Take out what may be reported of a column, by group; nothing if that is too little.

        Args:
            column: its index.
            other: code of the group into which small ones go.
            minimum: predictions that a group must have.
            patience: predictions of the column from which on small groups become ``other``.
        """
        groups = self._groups.get(column, {})
        total = sum(group.observations for group in groups.values())
        small = [code for code, g in groups.items() if g.observations < minimum and code != other]
        few_others = other in groups and groups[other].observations < minimum
        if total < minimum or ((small or few_others) and total < patience):
            return {}
        for code in small:
            self._merge_into(groups, code, other)
        if other in groups and groups[other].observations < minimum:
            rest = [code for code in groups if code != other]
            self._merge_into(groups, min(rest, key=lambda c: (groups[c].observations, c)), other)
        del self._groups[column]
        return {code: _encoded(group) for code, group in sorted(groups.items())}

    def _merge_into(self, groups: dict[int, _Group], code: int, other: int) -> None:
        group = groups.pop(code)
        if other in groups:
            groups[other].add(group)
        else:
            groups[other] = group


class GroupReports:
    """Group counts of one release on one arm: carried from window to window until reportable.

    A label of a group that was never reported by name counts for *other*.
    """

    def __init__(self, grouping: Grouping, profile: ReferenceProfile, minimum: int) -> None:
        self._grouping = grouping
        self._minimum = minimum
        self._carried = GroupAccumulator(profile)
        self._reported = {(groups.column.name, OTHER) for groups in grouping.columns}

    def window(self, counts: GroupAccumulator, *, final: bool) -> dict[str, dict[str, GroupCounts]]:
        """Return the counts to report after a window, by column and group; the rest is carried.

        Args:
            counts: of the window.
            final: no window follows, so nothing waits for more.
        """
        self._carried.merge(counts)
        patience = self._minimum * (1 if final else PATIENCE)
        reports = {}
        for i, groups in enumerate(self._grouping.columns):
            other = groups.names.index(OTHER)
            by_code = self._carried.take(i, other, self._minimum, patience)
            if by_code:
                reports[groups.column.name] = {groups.names[c]: n for c, n in by_code.items()}
        self._reported |= {(column, group) for column, names in reports.items() for group in names}
        return reports

    def reportable(self, column: str, group: str) -> tuple[str, str]:
        """Return the column and the name under which a label of a group may be reported."""
        return column, group if (column, group) in self._reported else OTHER


def _objects(values: Sequence[Any] | NDArray[Any]) -> NDArray[Any]:
    if isinstance(values, np.ndarray):
        return values
    array = np.empty(len(values), object)
    array[:] = values
    return array


def _encoded(group: _Group) -> GroupCounts:
    return GroupCounts(group.observations, encode_histograms(group.outputs))
