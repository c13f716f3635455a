"""Checks of distributions: against the version before, against the fleet, new values. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloud_hub.data.columns import TEXTS, kind_of
from cloud_hub.data.statistics import (
    VALUES,
    ColumnStatistics,
    finite,
    same_bins,
    value_counts,
)
from cloud_hub.data.validation.distances import stability_index
from cloud_hub.data.validation.found import FEW, SIGMAS, Found, Skipped
from cloud_hub.data.validation.subject import FleetColumn, ValidatedRows
from cloud_hub.deferred.libraries import pa
from edge_sdk.model.values import category

NO_BEFORE = "there is no version before"


def drift(subject: ValidatedRows) -> Iterator[Found]:
    """Find features whose distribution is another than before."""
    if subject.before is None:
        raise Skipped(NO_BEFORE)
    most = subject.policy.max_drift
    for was, now in subject.compared():
        if now.kind == "time" or len(was.counts) < 2 or (was.numbered and now.numbered):
            continue
        counts = same_bins(was, subject.array(now.name)).tolist()
        index, chance = stability_index(was.counts, counts, ordered=not was.by_value)
        if index > most + chance:
            yield Found(
                now.name,
                f"{now.name}: its values moved against {subject.before.name} (stability index "
                f"{index:.2f}, at most {most:g})",
                index,
                most,
            )


def new_categories(subject: ValidatedRows) -> Iterator[Found]:
    """Find texts that were never seen before."""
    if subject.before is None:
        raise Skipped(NO_BEFORE)
    most = subject.policy.max_new_categories
    for was, now in subject.compared():
        if was.kind not in TEXTS or now.kind not in TEXTS or was.distinct > VALUES:
            continue  # where not all values of before are known, none is new
        known = set(was.values)
        new = {v: c for v, c in value_counts(subject.array(now.name)).items() if v not in known}
        rows = sum(new.values())
        share = rows / now.present
        if rows > FEW and share > most + _unseen(was, now):
            yield Found(
                now.name,
                f"{now.name}: {share:.1%} of the values were never seen before, such as "
                f"{next(iter(new))!r:.60}",
                share,
                most,
            )


def _unseen(was: ColumnStatistics, now: ColumnStatistics) -> float:
    """Return the share of values that are new by chance: what was seen once stands for as much that
    was not seen yet (Good and Turing), and names of people are never seen twice.
    """
    once = sum(count == 1 for count in was.counts) / was.present
    error = math.sqrt((once + 1 / was.present) * (1 / was.present + 1 / now.present))
    return min(1.0, once + SIGMAS * error)


def fleet(subject: ValidatedRows) -> Iterator[Found]:
    """Find features of which the rows do not show what the fleet sees."""
    names = set(subject.data.names)
    columns = {n: c for n, c in subject.fleet.items() if n in names and any(c.counts)}
    if not columns:
        raise Skipped("devices have not counted these features yet")
    most = subject.policy.max_fleet_distance
    for name, column in columns.items():
        counts = fleet_bins(subject.array(name), column)
        if counts is None:
            continue
        ordered = column.feature.categories is None
        index, chance = stability_index(column.counts, counts.tolist(), ordered=ordered)
        if index > most + chance:
            place = int(np.argmax(_shares(column.counts) - _shares(counts)))
            yield Found(
                name,
                f"{name}: the rows are not those that the fleet sees (stability index {index:.2f}, "
                f"at most {most:g}); most are lacking at {_bin_name(column, place)}",
                index,
                most,
            )


def fleet_bins(array: pa.Array, column: FleetColumn) -> NDArray[np.int64] | None:
    """Return the counts of a column in the bins of the fleet, as devices count.

    ``None`` for values of another kind.
    """
    feature = column.feature
    counts = np.zeros(feature.bins + 2, dtype=np.int64)
    counts[-2] = array.null_count
    if feature.categories is not None:
        places = {name: i for i, name in enumerate(feature.categories)}
        if kind_of(array.type) in ("text", "category"):
            found = dict(value_counts(array))
        else:
            values, times = np.unique(finite(array), return_counts=True)
            found = {category(v): int(n) for v, n in zip(values, times, strict=True)}
        for value, count in found.items():
            counts[places.get(value, -1)] += count
        return counts
    if kind_of(array.type) in ("text", "category", "time"):
        return None
    assert feature.edges is not None
    edges, numbers = np.asarray(feature.edges), finite(array).astype(np.float64)
    inside = numbers[(numbers >= edges[0]) & (numbers <= edges[-1])]
    counts[-1] = len(numbers) - len(inside)
    bins = np.minimum(np.searchsorted(edges, inside, side="right") - 1, feature.bins - 1)
    counts[: feature.bins] = np.bincount(bins, minlength=feature.bins)
    return counts


def _shares(counts: Any) -> NDArray[np.float64]:
    array = np.asarray(counts, dtype=np.float64)
    return np.asarray(array / max(1.0, array.sum()))


def _bin_name(column: FleetColumn, place: int) -> str:
    feature = column.feature
    if place >= feature.bins:
        return "missing values" if place == feature.bins else "values that training never saw"
    if feature.categories is not None:
        return repr(feature.categories[place])[:60]
    assert feature.edges is not None
    if len(feature.edges) == 1:
        return f"{feature.edges[0]:g}"
    return f"{feature.edges[place]:g} to {feature.edges[place + 1]:g}"
