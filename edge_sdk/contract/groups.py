"""Groups of rows by a declared column, such as ``sex``, or ``age`` with cut points.

A release names every group that it can have, so a report can name no other: any other value is
counted as :data:`OTHER`, a missing one as :data:`LACKING`. So no value of a row travels that the
release does not hold already.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from edge_sdk.contract.errors import require
from edge_sdk.contract.histograms import NO_HISTOGRAMS
from edge_sdk.contract.limits import GROUP_COLUMNS, GROUPS

OTHER: Final = "other"
LACKING: Final = "missing"


@dataclass(frozen=True)
class GroupColumn:
    """Column that defines groups, by its ``values`` or, for a number, by ``edges``.

    ``edges`` (30, 60) make ``..30``, ``30..60`` and ``60..``, each with its lower end. The column
    need not be one of the model's; then the application says to which group a row belongs.
    """

    name: str
    values: tuple[str, ...] = ()
    edges: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        require(bool(self.name), "name: expected one")
        require(bool(self.values) != bool(self.edges), "expected either values or edges")
        require(all(a < b for a, b in pairwise(self.edges)), "edges: expected ascending numbers")
        named = self.values or cuts(self.edges)
        require(len(set(named)) == len(named), f"{self.name}: expected groups of different names")
        require(len(named) <= GROUPS, f"{self.name}: expected at most {GROUPS} groups")

    @property
    def groups(self) -> tuple[str, ...]:
        """The names of all groups; :data:`OTHER` and :data:`LACKING` are among them."""
        # dict.fromkeys drops a repeated name: a declared value may be called "other" itself.
        return tuple(dict.fromkeys((*self.values, *cuts(self.edges), OTHER, LACKING)))


def cuts(edges: tuple[float, ...]) -> tuple[str, ...]:
    """Return the names of the ranges between edges, the lowest first; none without edges."""
    ends = ["", *(f"{edge:g}" for edge in edges), ""]
    return tuple(f"{low}..{high}" for low, high in pairwise(ends)) if edges else ()


@dataclass(frozen=True)
class GroupCounts:
    """Predictions of one group: ``outputs`` are histograms (a text, see
    :mod:`edge_sdk.contract.histograms`) in the layout of the profile's outputs, each of which adds
    up to ``observations``.
    """

    observations: int
    outputs: str = NO_HISTOGRAMS

    def __post_init__(self) -> None:
        require(self.observations >= 1, "observations: expected at least 1")


@dataclass(frozen=True)
class GroupProfile:
    """Distribution of the model's answers to held-out ``rows`` of one group.

    ``outputs`` are counts in the layout of the profile's outputs.
    """

    column: str
    group: str
    rows: int
    outputs: tuple[tuple[int, ...], ...] = ()


def check_groups(groups: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse more columns or groups than a release can declare.

    Raises:
        ContractError: there are more.
    """
    require(len(groups) <= GROUP_COLUMNS, f"groups: expected at most {GROUP_COLUMNS} columns")
    most = max(map(len, groups.values()), default=0)
    require(most <= GROUPS + 2, f"groups: expected at most {GROUPS + 2} of a column, got {most}")
