"""Session features for trainings: logs of events are replayed with the devices' own code.

The events of a unit are replayed by their moments, those of one moment in the order of the log; a
label sees the events up to its own moment, that moment included. So a training sees what devices
joined, except where these had forgotten something (a restart, too many sessions) or their clock
went back.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cloud_hub.errors import Invalid
from cloud_hub.features.intake import arrow_type, entities_of
from cloud_hub.features.moments import MICRO, micros_of
from cloud_hub.features.point_in_time import JoinedRows, SetCoverage
from cloud_hub.text.spelling import did_you_mean
from edge_sdk.contract.dtypes import RANGES
from edge_sdk.errors import InputError
from edge_sdk.sessions.running_features import LogMark, RunningFeatures, replay

if TYPE_CHECKING:
    from cloud_hub.features.declaration import VersionedSet

END: Final = "@end"
"""Column of a log: true where the application ended the session; such a row is no event."""


def session_features(
    of: VersionedSet, events: pa.Table, labels: pa.Table, as_of: str
) -> JoinedRows:
    """Return labels, in their order, with a column for each session feature.

    Args:
        of: set of sessions.
        events: N rows with the columns of the unit (the set's ``entity``), of moments (its
            ``time``) and of declared fields; NaN and empty cells are fields that an event lacks.
        labels: M rows with the column of the unit, and moments.
        as_of: column of these moments.

    Raises:
        Invalid: a column is missing or would be there twice, or an event is none that devices take.
    """
    declared = of.declared
    twice = sorted(set(declared.names) & set(labels.column_names))
    if twice:
        raise Invalid(f"{of.ref}: {twice} stand in the labels already; leave them out")
    _check_fields(of, events)
    log = _Log.of(of, events, labels, as_of)
    rules = RunningFeatures(declared.sessions_at(of.version))
    rows: list[Any] = [None] * labels.num_rows
    without = 0
    for start, end in log.units():
        asked = [int(i) - events.num_rows for i in log.order[start:end] if i >= events.num_rows]
        try:
            for label, (row, lives) in zip(
                asked, replay(rules, log.entries(start, end)), strict=True
            ):
                rows[label] = row
                without += not lives
        except InputError as error:
            raise Invalid(f"events of {log.names[start]!r:.60}: {error}") from error
    for feature in declared.features:
        values = [_plain(row[feature.name], feature.dtype) for row in rows]
        labels = labels.append_column(feature.name, pa.array(values, arrow_type(feature.dtype)))
    return JoinedRows(labels, (SetCoverage(of.ref, len(rows), without, 0),))


def _plain(value: Any, dtype: str) -> Any:
    if dtype in RANGES or dtype == "bool" or value is None:
        return value
    return float(value) if dtype in ("float32", "float64") else value


def _check_fields(of: VersionedSet, events: pa.Table) -> None:
    """Refuse a log without any declared field: most likely its columns are called otherwise."""
    fields = of.declared.sessions_at(of.version).fields
    if fields and not set(fields) & set(events.column_names):
        near = did_you_mean(next(iter(fields)), events.column_names)
        raise Invalid(
            f"events: expected some of the fields {sorted(fields)}; {near}got {events.column_names}"
        )


class _Log:
    """Events and labels in the order in which they are replayed: by unit, moment, events first.

    Attributes:
        order: places [N + M] of rows; labels follow the N events.
        names: of the units [N + M], in that order.
        times: Unix seconds [N + M], in that order.
    """

    def __init__(
        self, names: pa.ChunkedArray, times: NDArray[np.float64], events: list[Any]
    ) -> None:
        codes = names.combine_chunks().dictionary_encode()
        units = codes.indices.to_numpy()
        places = np.arange(len(units))
        self.order = np.lexsort((places, places >= len(events), times, units))
        self.times = times[self.order]
        self._units = units[self.order]
        self._events = events
        self._dictionary = codes.dictionary

    @classmethod
    def of(cls, of: VersionedSet, events: pa.Table, labels: pa.Table, as_of: str) -> _Log:
        """Read the log of a set; raises Invalid."""
        declared = of.declared
        chunks = [entities_of(table, declared.entity).chunks for table in (events, labels)]
        times = [_seconds(events, declared.time), _seconds(labels, as_of)]
        fields = declared.sessions_at(of.version).fields
        return cls(
            pa.chunked_array([*chunks[0], *chunks[1]], pa.string()),
            np.concatenate(times),
            list(_events_of(events, fields)),
        )

    @property
    def names(self) -> list[str]:
        """Names of the units [N + M], in order."""
        taken: list[str] = self._dictionary.take(pa.array(self._units)).to_pylist()
        return taken

    def units(self) -> Iterator[tuple[int, int]]:
        """Yield the first place of each unit, and the one after its last."""
        edges = np.flatnonzero(np.diff(self._units)) + 1
        bounds = [0, *edges.tolist(), len(self._units)]
        yield from (pair for pair in pairwise(bounds) if pair[0] < pair[1])

    def entries(self, start: int, end: int) -> Iterator[tuple[float, Mapping[str, Any] | LogMark]]:
        """Yield when and what from one place to another."""
        events, count = self._events, len(self._events)
        for place, at in zip(
            self.order[start:end].tolist(), self.times[start:end].tolist(), strict=True
        ):
            yield at, (LogMark.ASK if place >= count else events[place])


def _seconds(table: pa.Table, name: str) -> NDArray[np.float64]:
    """Return moments as Unix seconds [N]: those of doubles as they are, as devices have them."""
    if name not in table.column_names:
        near = did_you_mean(name, table.column_names)
        raise Invalid(f"{name}: expected this column of moments; {near}got {table.column_names}")
    micros = micros_of(table[name], name, rounding="down")  # which refuses what is none
    if pa.types.is_float64(table[name].type):
        exact: NDArray[np.float64] = table[name].to_numpy()
        return exact
    return micros / MICRO


def _events_of(
    events: pa.Table, fields: Mapping[str, str]
) -> Iterator[Mapping[str, Any] | LogMark]:
    """Yield each row as an event, without the fields that it lacks."""
    names = [name for name in fields if name in events.column_names]
    columns = [_values(events[name]) for name in names]
    ends = events[END].to_pylist() if END in events.column_names else [None] * events.num_rows
    rows = zip(*columns, strict=True) if columns else iter([()] * events.num_rows)
    for ended, row in zip(ends, rows, strict=True):
        if ended:
            yield LogMark.END
        else:
            yield {n: v for n, v in zip(names, row, strict=True) if v is not None}


def _values(column: pa.ChunkedArray) -> list[Any]:
    values: list[Any] = column.to_pylist()
    if pa.types.is_floating(column.type):
        values = [None if value is not None and math.isnan(value) else value for value in values]
    return values
