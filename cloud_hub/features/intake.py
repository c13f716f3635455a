"""Turns rows that somebody brings into rows of a set, or says in words why they are none. Pure.

What is taken has exactly the declared columns and dtypes, no infinity, one row for each entity and
moment, and no moment that is still to come. Its order does not depend on the order in which it
came, so the same rows are the same file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from cloud_hub.deferred.libraries import pa, pc
from cloud_hub.errors import Invalid
from cloud_hub.features.moments import MICRO, micros_of, moment_type
from cloud_hub.text.spelling import did_you_mean
from edge_sdk.contract.dtypes import STRING

if TYPE_CHECKING:
    from cloud_hub.features.declaration import Feature, FeatureSet

ENTITY: Final = "entity"
TIME: Final = "time"
_WRITTEN: Final = "@written"

AHEAD_SECONDS: Final = 300.0
"""A clock may be off by so much; a row that is further ahead would hide all that come before it."""


def arrow_type(dtype: str) -> pa.DataType:
    """Return the type of a column that is kept, by the name of its features' dtype."""
    return pa.type_for_alias(dtype)


def schema_of(declared: FeatureSet) -> pa.Schema:
    """Return the schema in which rows of a set are kept."""
    fields = [(feature.name, arrow_type(feature.dtype)) for feature in declared.features]
    return pa.schema([("@" + ENTITY, pa.string()), ("@" + TIME, moment_type()), *fields])


def taken(rows: pa.Table, declared: FeatureSet, *, now: float, at: float | None = None) -> pa.Table:
    """Return rows as they are kept, by moment and entity.

    Args:
        rows: with the columns that the set declares, in any order.
        declared: the set.
        now: Unix seconds.
        at: moment of rows that have no column of moments (Unix seconds); ``None``: they need one.

    Raises:
        Invalid: says which rows or columns are wrong.
    """
    if not rows.num_rows:
        raise Invalid(f"{declared.name}: expected rows, got none; the rows of before stay")
    _check_columns(rows, declared, timed=at is None)
    entities = entities_of(rows, declared.entity)
    if declared.time in rows.column_names:
        times = micros_of(rows[declared.time], declared.time, rounding="up")
    else:
        assert at is not None
        times = np.full(rows.num_rows, round(at * MICRO), np.int64)
    _check_ahead(times, declared, now)
    columns = [_column(rows[feature.name], feature) for feature in declared.features]
    table = pa.Table.from_arrays(
        [entities, pa.array(times).cast(moment_type()), *columns], schema=schema_of(declared)
    )
    order = [("@" + TIME, "ascending"), ("@" + ENTITY, "ascending")]
    if declared.created in rows.column_names:
        written = micros_of(rows[declared.created], declared.created or "", rounding="down")
        table = table.append_column(_WRITTEN, pa.array(written))
        table = _newest_written(table.sort_by([*order, (_WRITTEN, "ascending")]))
    else:
        table = table.sort_by(order)
    _check_once(table, declared)
    return table.combine_chunks()


def entities_of(rows: pa.Table, name: str) -> pa.ChunkedArray:
    """Return the names of entities; whole numbers become their digits.

    Raises:
        Invalid: there is no such column, or it holds something else, or nothing in some rows.
    """
    if name not in rows.column_names:
        near = did_you_mean(name, rows.column_names)
        raise Invalid(f"{name}: expected this column of entities; {near}got {rows.column_names}")
    column = _without_categories(rows[name])
    kind = column.type
    texts = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    if not (texts or pa.types.is_integer(kind)):
        raise Invalid(f"{name}: expected entities as texts or whole numbers, got {kind}")
    column = column.cast(pa.string())
    empty = column.null_count + (pc.sum(pc.equal(column, "")).as_py() or 0) if len(column) else 0
    if empty:
        raise Invalid(f"{name}: expected an entity in every row, {empty} have none")
    return column


def _check_columns(rows: pa.Table, declared: FeatureSet, *, timed: bool) -> None:
    got = rows.column_names
    twice = sorted({name for name in got if got.count(name) > 1})
    if twice:
        raise Invalid(f"{declared.name}: columns {twice} stand twice")
    expected = [declared.entity, *([declared.time] if timed else []), *declared.names]
    missing = [name for name in expected if name not in got]
    extra = [name for name in got if name not in (*expected, declared.time, declared.created)]
    if missing or extra:
        near = did_you_mean(missing[0], extra) if missing else ""
        raise Invalid(
            f"{declared.name}: expected columns {expected}; {near}"
            f"missing {missing or 'none'}, not declared {extra or 'none'}"
        )


def _check_ahead(
    times: np.ndarray[tuple[int], np.dtype[np.int64]], declared: FeatureSet, now: float
) -> None:
    late = times > (now + AHEAD_SECONDS) * MICRO
    if late.any():
        worst = float(times.max()) / MICRO - now
        raise Invalid(
            f"{declared.time}: expected moments of the past, {int(late.sum())} rows are up to "
            f"{worst:,.0f} s ahead of this hub's clock; check the clock, or the unit"
        )


def _column(column: pa.ChunkedArray, feature: Feature) -> pa.ChunkedArray:
    wanted, column = arrow_type(feature.dtype), _without_categories(column)
    if pa.types.is_decimal(column.type):  # sums and averages of databases
        whole = pa.types.is_integer(wanted)
        column = _cast(column, pa.int64() if whole else pa.float64(), feature, safe=whole)
    if feature.dtype == "bool" and pa.types.is_integer(column.type):
        column = _without_numbers(column, feature)
    numeric = pa.types.is_integer(column.type) or pa.types.is_floating(column.type)
    kinds = {STRING: pa.types.is_string(column.type) or pa.types.is_large_string(column.type)}
    kinds["bool"] = pa.types.is_boolean(column.type)
    fits = kinds.get(feature.dtype, numeric) or pa.types.is_null(column.type)
    if not fits:
        raise Invalid(f"{feature.name}: expected {feature.dtype}, got {column.type}")
    if pa.types.is_floating(column.type):
        column = _without_nan(column, feature)
    # A float of 64 bits loses digits in 32, as it does in the model; whole numbers lose none.
    cast = _cast(column, wanted, feature, safe=not pa.types.is_floating(wanted))
    if feature.dtype == STRING:
        return pc.fill_null(cast, "")  # there are no missing texts, see Feature.filler
    if pa.types.is_floating(wanted) and pc.any(pc.is_inf(cast)).as_py():
        raise Invalid(
            f"{feature.name}: expected values that {feature.dtype} holds, some are larger"
        )
    return cast


def _without_categories(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return the values themselves of what pandas calls categories, Arrow a dictionary."""
    is_dictionary = pa.types.is_dictionary(column.type)
    return column.cast(column.type.value_type) if is_dictionary else column


def _cast(
    column: pa.ChunkedArray, kind: pa.DataType, feature: Feature, *, safe: bool
) -> pa.ChunkedArray:
    try:
        return column.cast(kind, safe=safe)
    except pa.ArrowInvalid as error:
        raise Invalid(f"{feature.name}: expected {feature.dtype}; {error}") from error


def _without_numbers(column: pa.ChunkedArray, feature: Feature) -> pa.ChunkedArray:
    """Return 0 and 1 as booleans: SQLite and many a CSV file have no others."""
    if not pc.all(pc.is_in(column, pa.array([0, 1, None], column.type))).as_py():
        raise Invalid(f"{feature.name}: expected true or false, or 0 or 1, got other numbers")
    return column.cast(pa.bool_())


def _without_nan(column: pa.ChunkedArray, feature: Feature) -> pa.ChunkedArray:
    """Return the column with NaN as missing; there is one way in which a value is missing."""
    if pc.any(pc.is_inf(column)).as_py():
        raise Invalid(f"{feature.name}: expected finite numbers, some are infinite")
    return pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)


def _newest_written(table: pa.Table) -> pa.Table:
    """Return the table without rows that were written again later, and without the moment of that.

    Args:
        table: in the order of entity, moment, and moment of writing.
    """
    later = np.diff(table[_WRITTEN].to_numpy()) > 0
    kept = ~np.append(_as_next(table) & later, False)
    return table.filter(pa.array(kept)).drop_columns([_WRITTEN])


def _as_next(table: pa.Table) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Return which rows [N - 1] are of the entity and moment of the row after them."""
    columns = [table["@" + name].combine_chunks() for name in (ENTITY, TIME)]
    equal = [pc.equal(c.slice(1), c.slice(0, max(0, len(c) - 1))) for c in columns]
    same: np.ndarray[tuple[int], np.dtype[np.bool_]]
    same = pc.and_(*equal).to_numpy(zero_copy_only=False)
    return same


def _check_once(table: pa.Table, declared: FeatureSet) -> None:
    """Raise Invalid if two rows are of one entity and moment; the table is in their order."""
    same = _as_next(table)
    count = int(same.sum())
    if count:
        first = table["@" + ENTITY][int(same.argmax())].as_py()
        raise Invalid(
            f"{declared.name}: expected one row for each {declared.entity} and moment, {count} "
            f"came again, {first!r:.60} among them; the rows of before stay"
        )
