"""Rows of exposure arranged for guardrails: failures by kind or group, device and period. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cloud_hub.experiments.exposure_rows import PeriodGroups, PeriodSums
from cloud_hub.experiments.verdict.evidence import OFF
from edge_sdk.contract.groups import GroupColumn, cuts

if TYPE_CHECKING:
    from cloud_hub.statistics.heterogeneity import Counts


@dataclass(frozen=True)
class GroupRows:
    """Labels by group of all arms, and the columns that the release that serves declares."""

    rows: tuple[PeriodGroups, ...] = ()
    declared: tuple[GroupColumn, ...] = ()


def failures_by_kind(
    rows: Sequence[PeriodSums], largest: float | None
) -> dict[str, dict[tuple[str, int], Counts]]:
    """Return (failed, of how many) of one arm by kind of failure, device and period.

    Args:
        rows: of the arm.
        largest: as much as an error of a number counts at most; ``None``: none is a failure.
    """
    kinds: dict[str, dict[tuple[str, int], Counts]] = {"errors": {}, "wrong labels": {}}
    for row in rows:
        key, sums = (row.device, row.start), row.sums
        kinds["errors"][key] = (sums.errors, sums.requests)
        kinds["wrong labels"][key] = (sums.wrong, sums.labelled)
        if largest is not None and sums.measured:
            # Cut again: labels of before the bound was lowered were cut at the old one.
            off = min(sums.error_sum / largest, sums.measured)
            kinds.setdefault(OFF, {})[key] = (off, sums.measured)
    return kinds


def by_group(
    rows: Iterable[PeriodGroups], declared: Iterable[GroupColumn]
) -> dict[str, dict[tuple[str, int], Counts]]:
    """Return (wrong, labelled) of one arm by declared group (``sex=f``), device and period.

    Every declared group is there, so that how many there are does not depend on what was reported.
    *other* holds the rows of all groups that a device does not report by name yet, and *missing*
    those that have none: neither is a group that could be wronged.

    Args:
        rows: of the arm.
        declared: columns with groups of the release that serves.
    """
    groups: dict[str, dict[tuple[str, int], Counts]] = {
        f"{column.name}={group}": {}
        for column in declared
        for group in column.values or cuts(column.edges)
    }
    for row in rows:
        for column_name, labels in row.groups.items():
            for group, (labelled, correct) in labels.items():
                counts = groups.get(f"{column_name}={group}")
                if counts is not None and labelled:
                    counts[row.device, row.start] = (labelled - correct, labelled)
    return groups
