"""Rows of exposure arranged as evidence: by device, failures by kind or group and period. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from cloud_hub.experiments.verdict.evidence import (
    OFF,
    ArmEvidence,
    InterleaveEvidence,
    Row,
    ShadowEvidence,
)
from cloud_hub.experiments.verdict.measures import outcomes_of
from cloud_hub.experiments.verdict.spec import CANDIDATE
from cloud_hub.statistics.keys import opposite
from edge_sdk.contract.groups import GroupColumn, cuts
from edge_sdk.contract.key_buckets import BUCKETS
from edge_sdk.contract.names import CONTROL

if TYPE_CHECKING:
    from cloud_hub.experiments.exposure_rows import (
        ArmSums,
        InterleaveTotals,
        KeySums,
        PeriodGroups,
        PeriodSums,
        ShadowTotals,
    )
    from cloud_hub.statistics.heterogeneity import Counts
    from cloud_hub.statistics.samples import Floats
    from edge_sdk.contract.experiment_reports import Moments
    from edge_sdk.contract.plan import Measure


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


def arm_of(
    name: str,
    sums: list[ArmSums],
    failures: list[PeriodSums],
    latency: Mapping[str, tuple[int, ...]],
    largest: float | None = None,
) -> ArmEvidence:
    """Return the evidence of one arm.

    Args:
        name: of the arm.
        sums: of all arms since the step began.
        failures: of all arms, by period.
        latency: histograms of the arm by device.
        largest: as much as an error of a number counts at most.
    """
    mine = {row.device: row.sums for row in sums if row.arm == name}
    return ArmEvidence(
        outcomes=outcomes_of(mine),
        failures=failures_by_kind([row for row in failures if row.arm == name], largest),
        latency=latency,
        exposed=frozenset(device for device, row in mine.items() if row.requests),
        predictions=sum(row.requests for row in mine.values()),
        largest_error=largest,
    )


def merge_shadow(
    reports: Sequence[tuple[str, ShadowTotals]], failed: frozenset[str]
) -> ShadowEvidence:
    """Merge shadow reports of all devices.

    Args:
        reports: totals with the devices that they are of; a device may come more than once.
        failed: devices on which the candidate could not be activated or was taken back.
    """
    rows: dict[str, dict[str, Row]] = defaultdict(dict)
    skipped: Counter[str] = Counter()
    for device, report in reports:
        labels = report.labelled
        mine, theirs = labels.candidate_only, labels.incumbent_only
        labelled = labels.both + mine + theirs + labels.neither
        wrong, failures = report.disagreements, sum(report.errors.values())
        # A label counts +1, -1 or 0, so its square is 1 where exactly one of the two was right.
        _add(rows["labelled"], device, (labelled, mine - theirs, mine + theirs))
        _add(rows["disagreements"], device, (report.compared, wrong, wrong))
        _add(rows["errors"], device, (report.compared + failures, failures, failures))
        for name in ("confidence", "value", "latency", "off"):
            moments: Moments = getattr(report, name)
            _add(rows[name], device, (moments.count, moments.total, moments.squares))
        skipped.update(report.skipped)
    return ShadowEvidence(skipped=dict(skipped), failed=failed, **rows)


def _add(rows: dict[str, Row], device: str, more: Row) -> None:
    have = rows.get(device, (0.0, 0.0, 0.0))
    rows[device] = (have[0] + more[0], have[1] + more[1], have[2] + more[2])


COLUMNS: Final[Mapping[Measure, tuple[str, str, str]]] = {
    "accuracy": ("labelled", "correct", "correct"),  # of 0 and 1 the squares are the values
    "served_accuracy": ("served_labelled", "served_correct", "served_correct"),
    "reward": ("rewards", "reward_sum", "reward_squares"),
    "latency": ("latency_n", "latency_sum", "latency_squares"),
    "errors": ("requests", "errors", "errors"),
}
"""How many outcomes of a measure, their sum and their sum of squares."""


def key_arm(name: str, rows: Sequence[KeySums], sums: Sequence[ArmSums]) -> ArmEvidence:
    """Return the evidence of one arm.

    Args:
        name: of the arm.
        rows: sums by bucket since the step began, of all arms.
        sums: what devices reported since the step began, buckets or not.
    """
    tables = {measure: _tables(name, rows, columns) for measure, columns in COLUMNS.items()}
    asked = tables["errors"]
    told = {row.device for row in sums if row.arm == name and row.sums.requests}
    wrong = {device: opposite(table) for device, table in tables["accuracy"].items()}
    failures = {"errors": asked, "wrong labels": wrong}
    return ArmEvidence(
        outcomes={m: {d: _row(table) for d, table in t.items()} for m, t in tables.items()},
        failures={
            kind: {(d, 0): _counts(table) for d, table in by_device.items()}
            for kind, by_device in failures.items()
        },
        exposed=frozenset(asked),
        predictions=round(sum(float(table[:, 0].sum()) for table in asked.values())),
        key_outcomes=tables,
        key_failures=failures,
        without_buckets=frozenset(told - {row.device for row in rows}),
    )


def units_of(rows: Sequence[KeySums], arms: Collection[str]) -> dict[str, Floats]:
    """Return how many keys devices saw for the first time, by arm: [buckets] each.

    A device that starts again sees its keys for the first time again, in the same buckets.

    Args:
        rows: sums by bucket.
        arms: names of the arms.
    """
    return {
        arm: sum((_column(row, "units") for row in rows if row.arm == arm), np.zeros(BUCKETS))
        for arm in arms
    }


def _tables(arm: str, rows: Sequence[KeySums], columns: tuple[str, str, str]) -> dict[str, Floats]:
    """Rows by bucket of each device that has an outcome, [buckets, 3]."""
    tables: dict[str, Floats] = {}
    for row in rows:
        if row.arm == arm and columns[0] in row.columns:
            table = np.stack([_column(row, name) for name in columns], axis=1)
            tables[row.device] = tables[row.device] + table if row.device in tables else table
    return tables


def _column(row: KeySums, name: str) -> Floats:
    return row.columns.get(name, np.zeros(BUCKETS))


def _row(table: Floats) -> Row:
    n, total, squares = table.sum(axis=0).tolist()
    return n, total, squares


def _counts(table: Floats) -> Counts:
    n, failed, _ = table.sum(axis=0).tolist()
    return failed, n


def merge_interleave(
    reports: Sequence[tuple[str, InterleaveTotals]],
    errors: Mapping[str, Row],
    failed: frozenset[str],
) -> InterleaveEvidence:
    """Merge interleaving reports of all devices.

    Args:
        reports: totals with the devices that they are of; a device may come more than once.
        errors: by device, requests to the candidate with the sum and the squares of its errors.
        failed: devices on which the candidate could not be activated or was taken back.
    """
    decided: dict[str, Row] = {}
    clicks: Counter[str] = Counter()
    first: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    for device, report in reports:
        won, lost = report.wins.get(CANDIDATE, 0), report.wins.get(CONTROL, 0)
        _add(decided, device, (won + lost, won, won))
        clicks.update(report.clicks)
        first.update(report.first)
        refused.update(report.refused)
    return InterleaveEvidence(
        decided={device: row for device, row in decided.items() if row[0]},
        ties=sum(report.ties for _, report in reports),
        sessions=sum(report.sessions for _, report in reports),
        clicks=dict(clicks),
        first=dict(first),
        refused=dict(refused),
        errors=errors,
        failed=failed,
    )
