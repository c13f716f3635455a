"""Counts by group of rows, as a window report carries them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edge_sdk.contract.errors import require
from edge_sdk.contract.histogram_codec import pack, unpack
from edge_sdk.contract.limits import GROUP_COLUMNS, GROUPS


@dataclass(frozen=True)
class GroupCounts:
    """Predictions of one group: ``outputs`` are histograms in the layout of the profile's outputs,
    each of which adds up to ``observations``.
    """

    observations: int
    outputs: tuple[tuple[int, ...], ...] = ()

    def to_wire(self, plain: dict[str, Any]) -> dict[str, Any]:
        """Histograms travel as one text."""
        return {**plain, "outputs": pack(self.outputs)}

    @staticmethod
    def from_wire(plain: dict[str, Any]) -> dict[str, Any]:
        """Of that text the counts."""
        packed = plain.get("outputs")
        if not isinstance(packed, str):
            return plain
        return {**plain, "outputs": [list(counts) for counts in unpack(packed)]}

    def __post_init__(self) -> None:
        require(self.observations >= 1, "observations: expected at least 1")
        whole = all(sum(row) == self.observations and min(row) >= 0 for row in self.outputs)
        require(whole, f"outputs: expected each to add up to {self.observations} observations")


def check_groups(groups: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse more columns or groups than a release can declare.

    Raises:
        ContractError: there are more.
    """
    require(len(groups) <= GROUP_COLUMNS, f"groups: expected at most {GROUP_COLUMNS} columns")
    most = max(map(len, groups.values()), default=0)
    require(most <= GROUPS + 2, f"groups: expected at most {GROUPS + 2} of a column, got {most}")
