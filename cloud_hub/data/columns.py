"""The few types that a column of rows has here, whatever file or table it came from. Pure.

=========  ==========================================  =========================================
kind       Arrow type                                  taken from
=========  ==========================================  =========================================
boolean    ``bool``                                    booleans
integer    ``int64``                                   whole numbers of any width
number     ``float32``, ``float64``                    fractions
text       ``string``                                  texts
category   ``dictionary<int32, string>``, in order     categories, dictionaries of texts
time       ``timestamp[us, UTC]``                      dates and times; those without zone are UTC
=========  ==========================================  =========================================

A missing value is null, also where a file had NaN. Equal columns are equal in every bit, so their
digests are too: categories are sorted, and those that no row has are dropped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import numpy as np

from cloud_hub.data.library_errors import first_line
from cloud_hub.deferred.libraries import pa, pc
from cloud_hub.errors import Invalid

ColumnKind = Literal["boolean", "integer", "number", "text", "category", "time"]

MOST_COLUMNS: Final = 20_000
NAME_LENGTH: Final = 500
"""Characters of a column's name."""

TEXTS: Final[tuple[ColumnKind, ...]] = ("text", "category")
NUMBERS: Final[tuple[ColumnKind, ...]] = ("boolean", "integer", "number")


def kind_of(type_: pa.DataType) -> ColumnKind:
    """Return the kind of a column that :func:`plain_table` returned."""
    if pa.types.is_dictionary(type_):
        return "category"
    if pa.types.is_boolean(type_):
        return "boolean"
    if pa.types.is_integer(type_):
        return "integer"
    if pa.types.is_floating(type_):
        return "number"
    return "time" if pa.types.is_timestamp(type_) else "text"


def plain_table(table: pa.Table, name: str) -> pa.Table:
    """Return a table of the types above, one chunk a column, with its metadata.

    Args:
        table: of any types.
        name: of the file, for messages.

    Raises:
        Invalid: no columns, two of one name, or values that are none of the kinds.
    """
    names = table.column_names
    if not names:
        raise Invalid(f"{name}: expected columns, got none")
    if len(names) > MOST_COLUMNS:
        raise Invalid(f"{name}: expected at most {MOST_COLUMNS} columns, got {len(names)}")
    _check_names(names, name)
    columns = [plain_column(table.column(i), f"{name}: {n}") for i, n in enumerate(names)]
    return pa.table(columns, names=names).replace_schema_metadata(table.schema.metadata)


def plain_column(column: pa.ChunkedArray | pa.Array, name: str) -> pa.Array:
    """Return a column as one array of the types above.

    Args:
        column: values of any type.
        name: of file and column, for messages.

    Raises:
        Invalid: values of another kind.
    """
    try:
        array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
        return _plain(array)
    except (pa.ArrowException, OverflowError) as error:
        raise Invalid(f"{name}: {first_line(error)}") from error
    except TypeError:
        raise Invalid(
            f"{name}: expected numbers, booleans, texts, categories or times, got {column.type}"
        ) from None


def array_of(table: pa.Table, name: str) -> pa.Array:
    """Return one column as one array, without a copy where it is one already."""
    column = table.column(name)
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def numbers_of(array: pa.Array) -> np.ndarray[Any, Any]:
    """Return booleans, integers or numbers [N] as NumPy has them; missing ones are NaN.

    Without missing values integers stay integers and booleans stay booleans.
    """
    if pa.types.is_boolean(array.type):
        array = array.cast(pa.uint8())
        values: np.ndarray[Any, Any] = array.to_numpy(zero_copy_only=False)
        return values.astype(np.bool_) if not array.null_count else values
    result: np.ndarray[Any, Any] = array.to_numpy(zero_copy_only=False)
    return result


def texts_of(array: pa.Array) -> np.ndarray[Any, Any]:
    """Return texts or categories [N] as objects; missing ones are ``None``."""
    result: np.ndarray[Any, Any] = array.cast(pa.string()).to_numpy(zero_copy_only=False)
    return result


def seconds_of(array: pa.Array) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return times or numbers [N] as Unix seconds; missing ones are NaN."""
    if pa.types.is_timestamp(array.type):
        whole = array.cast(pa.int64())
        return np.asarray(whole.to_numpy(zero_copy_only=False), dtype=np.float64) / 1e6
    return np.asarray(numbers_of(array), dtype=np.float64)


def schema_of(table: pa.Table) -> Mapping[str, ColumnKind]:
    """Return the kind of each column, in order."""
    return {field.name: kind_of(field.type) for field in table.schema}


def _check_names(names: Sequence[str], name: str) -> None:
    twice = next((n for i, n in enumerate(names) if n in names[:i]), None) if _repeat(names) else ""
    if _repeat(names):
        raise Invalid(f"{name}: expected columns of different names, {twice!r:.80} stands twice")
    for each in names:
        if not each or len(each) > NAME_LENGTH or not each.isprintable():
            raise Invalid(f"{name}: expected names of columns in plain text, got {each!r:.80}")


def _repeat(names: Sequence[str]) -> bool:
    return len(set(names)) < len(names)


def _plain(array: pa.Array) -> pa.Array:
    type_ = array.type
    if pa.types.is_null(type_):  # nothing tells what they were: numbers that are missing
        return pa.nulls(len(array), pa.float64())
    if pa.types.is_boolean(type_):
        return array
    if pa.types.is_integer(type_):
        return array.cast(pa.int64())
    if pa.types.is_floating(type_) or pa.types.is_decimal(type_):
        narrow = type_ in (pa.float16(), pa.float32())
        return _without_nan(array.cast(pa.float32() if narrow else pa.float64()))
    if _is_text(type_):
        return array.cast(pa.string())
    if pa.types.is_dictionary(type_):
        return _categories(array)
    return _time(array)


def _is_text(type_: pa.DataType) -> bool:
    return bool(
        pa.types.is_string(type_) or pa.types.is_large_string(type_) or type_ == pa.string_view()
    )


def _without_nan(array: pa.Array) -> pa.Array:
    values = array.to_numpy(zero_copy_only=False)
    if not np.isnan(values).any():
        return array
    return pa.array(values, array.type, from_pandas=True)


def _categories(array: pa.DictionaryArray) -> pa.Array:
    if not _is_text(array.type.value_type):
        return _plain(array.dictionary_decode())
    # An entry may stand twice in a dictionary, or be used by no row.
    found = array.cast(pa.string()).dictionary_encode()
    order = pc.array_sort_indices(found.dictionary)
    places = np.empty(len(order), dtype=np.int32)
    places[order.to_numpy()] = np.arange(len(order), dtype=np.int32)
    codes = pc.take(pa.array(places), found.indices)
    return pa.DictionaryArray.from_arrays(codes, found.dictionary.take(order))


def _time(array: pa.Array) -> pa.Array:
    type_ = array.type
    if pa.types.is_date(type_):
        array = array.cast(pa.timestamp("us"))
    elif not pa.types.is_timestamp(type_):
        raise TypeError
    # Nanoseconds of pandas are cut: no sensor's clock is that good. The year 300,000 is refused.
    cut = pc.CastOptions(pa.timestamp("us", tz=array.type.tz), allow_time_truncate=True)
    return pc.cast(array, options=cut).cast(pa.timestamp("us", tz="UTC"))
