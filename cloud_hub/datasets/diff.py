"""Differences between two versions of a dataset, from their records and statistics. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from cloud_hub.data.statistics import ColumnStatistics, DatasetStatistics
from cloud_hub.datasets.records import DatasetRecord


@dataclass(frozen=True)
class ColumnChange:
    """One column of two versions.

    Attributes:
        name: of the column.
        change: ``added``, ``removed``, ``kind`` (other values) or ``values``.
        before: how it was, in words; empty if it was not there.
        after: how it is.
    """

    name: str
    change: str
    before: str
    after: str


@dataclass(frozen=True)
class DatasetDiff:
    """What is another in a version.

    Attributes:
        model: line of versions.
        before: ``NAME@N``.
        after: ``NAME@N``.
        same: whether the content is the same.
        rows: number of rows before, and after.
        columns: those that differ.
    """

    model: str
    before: str
    after: str
    same: bool
    rows: tuple[int, int]
    columns: tuple[ColumnChange, ...]


def differences(
    old: DatasetRecord,
    old_statistics: DatasetStatistics | None,
    new: DatasetRecord,
    new_statistics: DatasetStatistics | None,
) -> DatasetDiff:
    """Compare two versions.

    Args:
        old: the one before.
        old_statistics: of its rows, where they are known.
        new: the one after.
        new_statistics: of its rows.
    """
    same = old.fingerprint == new.fingerprint
    left = {each.name: each for each in (old_statistics.columns if old_statistics else ())}
    right = {each.name: each for each in (new_statistics.columns if new_statistics else ())}
    changes = []
    for name in (*left, *(name for name in right if name not in left)):
        change = _change(left.get(name), right.get(name))
        if change is not None and not same:
            changes.append(change)
    return DatasetDiff(old.model, old.ref, new.ref, same, (old.rows, new.rows), tuple(changes))


def _change(old: ColumnStatistics | None, new: ColumnStatistics | None) -> ColumnChange | None:
    if old is None:
        assert new is not None
        return ColumnChange(new.name, "added", "", described(new))
    if new is None:
        return ColumnChange(old.name, "removed", described(old), "")
    before, after = described(old), described(new)
    if before == after:
        return None
    return ColumnChange(old.name, "kind" if old.kind != new.kind else "values", before, after)


def described(column: ColumnStatistics) -> str:
    """Return a column in a few words."""
    lacking = f", {column.missing / column.rows:.1%} missing" if column.missing else ""
    if column.by_value:
        pairs = zip(column.values[:3], column.counts, strict=False)
        shares = [f"{value} {count / max(1, column.present):.0%}" for value, count in pairs]
        return f"{column.kind} of {column.distinct} ({', '.join(shares)}){lacking}"
    if column.minimum is None or column.maximum is None or column.mean is None:
        return f"{column.kind}{lacking}"
    if column.kind == "time":
        return f"time from {column.minimum:.0f} to {column.maximum:.0f}{lacking}"
    return (
        f"{column.kind} {column.minimum:.4g} to {column.maximum:.4g}, mean {column.mean:.4g}, "
        f"deviation {column.deviation or 0:.4g}{lacking}"
    )
