"""Rows for one model: its columns in its order, with its types. Pure.

Columns are found by name; those of an array, which have none, by their place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cloud_hub.data.columns import TEXTS, kind_of, numbers_of, texts_of
from cloud_hub.data.dataset import Dataset
from cloud_hub.deferred.libraries import pa
from cloud_hub.errors import Invalid
from edge_sdk.contract.dtypes import STRING

if TYPE_CHECKING:
    from edge_sdk.contract.manifest import Column


def fitted(data: Dataset, names: Sequence[str], whose: str) -> Dataset:
    """Return the rows with these features, in this order; roles stay.

    Args:
        data: rows.
        names: features of a model.
        whose: what takes them, for messages.

    Raises:
        Invalid: a feature is not there, or as many as the model has cannot be told apart.
    """
    if data.names == tuple(names):
        return data
    features = data.features
    if data.positional and len(data.names) == len(names):
        features = features.rename_columns(list(names))
    absent = [name for name in names if name not in features.column_names]
    if absent and data.positional:
        raise Invalid(
            f"dataset: {whose} does not take it; expected rows of {len(names)} features, got "
            f"{len(data.names)}"
        )
    if absent:
        raise Invalid(
            f"dataset: {whose} does not take it; expected the columns {list(names)[:20]}, there is "
            f"no {absent[0]!r:.80}"
        )
    table = features.select(list(names))
    for column in data.roles.values():
        if column in names:
            raise Invalid(f"dataset: {column!r:.80} is a feature of {whose}, and cannot be a role")
        table = table.append_column(column, data.table.column(column))
    return replace(data, table=table)


def with_texts(data: Dataset, columns: Sequence[Column]) -> Dataset:
    """Return the rows with whole numbers as texts where a model has texts: CSV cannot tell them.

    Args:
        data: rows.
        columns: of the model.
    """
    table = data.table
    wanted = {column.name for column in columns if column.dtype == STRING}
    for place, field in enumerate(table.schema):
        if field.name in wanted and kind_of(field.type) == "integer":
            texts = table.column(place).cast(pa.string())
            table = table.set_column(place, field.name, texts)
    return replace(data, table=table)


def columns_for(data: Dataset, columns: Sequence[Column], whose: str) -> Mapping[str, Any]:
    """Return values [N] by feature, as :meth:`InputSchema.batch` of the device takes them.

    Args:
        data: rows.
        columns: of the model.
        whose: what takes them, for messages.

    Raises:
        Invalid: a feature is not there.
    """
    rows = fitted(data, [column.name for column in columns], whose)
    return {column.name: _values(rows.table.column(column.name), column) for column in columns}


def rows_for(data: Dataset, columns: Sequence[Column], whose: str) -> list[list[Any]]:
    """Return the same row by row, as a list of plain values each; missing ones are ``None``."""
    values = columns_for(data, columns, whose).values()
    plain = [[None if v != v else v for v in column.tolist()] for column in values]
    return [list(row) for row in zip(*plain, strict=True)]


def no_rows(columns: Sequence[Column]) -> Dataset:
    """Return a dataset of a model's columns with labels, and without any row."""
    types = {c.name: pa.string() if c.dtype == STRING else pa.float32() for c in columns}
    return Dataset.of({name: pa.array([], type_) for name, type_ in types.items()}, pa.array([]))


def _values(column: pa.ChunkedArray, wanted: Column) -> Any:
    array = column.combine_chunks()
    if kind_of(array.type) in TEXTS:
        return texts_of(array)
    if kind_of(array.type) == "time":
        # No tensor holds a time; as text it is refused by name where a number is expected.
        return texts_of(array.cast(pa.string()))
    if wanted.dtype == STRING:  # numbers are no texts: the device refuses them as well
        return array.to_numpy(zero_copy_only=False)
    return numbers_of(array)
