"""Joins labels with what serving would have had at their moments. No database, no hub.

A training's worker runs this on copies of the files; the hub on its own. In memory are the labels,
the entities and moments of at most ``ROWS_AT_ONCE`` rows of history (or of one file), and the
rows that some label takes: a history may be larger than memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from cloud_hub.deferred.libraries import pa
from cloud_hub.errors import Invalid
from cloud_hub.features.intake import entities_of
from cloud_hub.features.moments import MICRO, micros_of
from cloud_hub.features.point_in_time import (
    NONE,
    EntityTimes,
    JoinedRows,
    SetCoverage,
    newest_before,
)
from cloud_hub.features.set_history import defaults_of, features_in, file_groups, index_of
from cloud_hub.text.spelling import did_you_mean

if TYPE_CHECKING:
    from cloud_hub.features.set_history import SetHistory

AGE: Final = "@age"
"""End of the name of a column with the age of a set's values, in seconds."""


def join(
    labels: pa.Table, histories: Sequence[SetHistory], as_of: str, *, ages: bool = False
) -> JoinedRows:
    """Return labels, in their order, with a column for each feature.

    Args:
        labels: N rows with the entity's column of each set, and moments.
        histories: sets to join.
        as_of: column of moments.
        ages: also give, for each set, the age of its values in seconds as ``NAME@age``; missing
            where an entity had none.

    Raises:
        Invalid: a column is missing, holds something else, or would be there twice.
        HubFault: a file of history cannot be read.
    """
    if as_of not in labels.column_names:
        near = did_you_mean(as_of, labels.column_names)
        raise Invalid(f"{as_of}: expected this column of moments; {near}got {labels.column_names}")
    moments = micros_of(labels[as_of], as_of, rounding="down")
    _check_names(labels, histories, ages=ages)
    coverage = []
    for history in histories:
        asked = EntityTimes(entities_of(labels, history.declared.entity), moments)
        columns, covered = _joined(history, asked, ages=ages)
        coverage.append(covered)
        for name, column in columns.items():
            labels = labels.append_column(name, column)
    return JoinedRows(labels, tuple(coverage))


def _check_names(labels: pa.Table, histories: Sequence[SetHistory], *, ages: bool) -> None:
    there = set(labels.column_names)
    for history in histories:
        added = {*history.declared.names, *([f"{history.declared.name}{AGE}"] if ages else [])}
        twice = sorted(there & added)
        if twice:
            raise Invalid(
                f"{history.ref}: {twice} stand in the labels or another set already; "
                "leave them out, or name other sets"
            )
        there |= added


def _joined(
    history: SetHistory, asked: EntityTimes, *, ages: bool
) -> tuple[dict[str, pa.ChunkedArray], SetCoverage]:
    declared = history.declared
    rows = _newest(history, asked)
    missing = rows.places == NONE
    age = asked.times - rows.times
    stale = (age > declared.freshness_seconds * MICRO) & ~missing
    columns = _values(history, rows.lengths, rows.places)
    if ages:
        seconds = pa.array(age / MICRO, pa.float64(), mask=missing)
        columns[f"{declared.name}{AGE}"] = pa.chunked_array([seconds])
    covered = SetCoverage(history.ref, len(missing), int(missing.sum()), int(stale.sum()))
    return columns, covered


@dataclass(frozen=True)
class _Newest:
    """Rows that M labels get: their places [M] among all rows, their moments [M] (microseconds; the
    label's own where it gets none), and the number of rows of each file.
    """

    places: NDArray[np.int64]
    times: NDArray[np.int64]
    lengths: list[int]


def _newest(history: SetHistory, asked: EntityTimes) -> _Newest:
    places = np.full(len(asked.times), NONE, np.int64)
    times = asked.times.copy()
    lengths: list[int] = []
    # Serving has a row only so long after its moment; training does not see it earlier.
    delay = round(history.declared.delay_seconds * MICRO)
    for files in file_groups(history.files):
        part, rows = index_of(files)
        found = newest_before(EntityTimes(part.entities, part.times + delay), asked)
        at = part.times[np.maximum(found, 0)] if len(part.times) else times
        # Not earlier is enough: of two rows at one moment the one that came later counts.
        better = (found != NONE) & ((places == NONE) | (at >= times))
        places[better] = found[better] + sum(lengths)
        times[better] = at[better]
        lengths += rows
    return _Newest(places, times, lengths)


def _values(
    history: SetHistory, lengths: Sequence[int], found: NDArray[np.int64]
) -> dict[str, pa.ChunkedArray]:
    """Return the features of the rows ``found`` [N]; defaults where there is none."""
    needed, place = np.unique(found, return_inverse=True)
    nothing = bool(len(needed)) and needed[0] == NONE
    rows = needed[1:] if nothing else needed
    pieces = [defaults_of(history.declared)] if nothing else []
    pieces += _needed(history, lengths, rows)
    if not pieces:
        pieces = [defaults_of(history.declared).slice(0, 0)]
    table = pa.concat_tables(pieces).combine_chunks()
    indices = pa.array(place)
    return {
        name: pa.chunked_array([table[name].combine_chunks().take(indices)])
        for name in history.declared.names
    }


def _needed(
    history: SetHistory, lengths: Sequence[int], rows: NDArray[np.int64]
) -> Iterator[pa.Table]:
    """Yield some rows, file by file; a file from which none is needed is not read."""
    start = 0
    for file, length in zip(history.files, lengths, strict=True):
        low, high = np.searchsorted(rows, (start, start + length))
        if high > low:
            wanted = pa.array(rows[low:high] - start)
            yield features_in(file, history.declared).take(wanted)
        start += length
