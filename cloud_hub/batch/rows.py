"""Answers as record batches of a table, and back to arrays. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cloud_hub.batch.layout import ENTITY, EntityAnswers, Layout, Value
from cloud_hub.deferred.libraries import pa

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def schema_of(layout: Layout) -> pa.Schema:
    """Return the schema of the table's record batches; only attributes and lists have nulls."""
    optional, pairs = layout.optional, zip(layout.columns, layout.dtypes, strict=True)
    fields = [pa.field(n, pa.type_for_alias(t), nullable=n in optional) for n, t in pairs]
    return pa.schema(fields)


def record_batch(
    layout: Layout,
    entities: pa.Array,
    values: dict[str, NDArray[Any]],
    attributes: dict[str, pa.Array],
) -> pa.RecordBatch:
    """Return answers as rows of the table.

    Args:
        layout: of the table.
        entities: N texts.
        values: arrays [N] or [N, M] by name.
        attributes: N values by name.
    """
    schema = schema_of(layout)
    columns: list[pa.Array] = [entities]
    for value in layout.values:
        array = values[value.name]
        parts = array.T if value.many else [array]
        columns.extend(_column(value, part) for part in parts)
    columns.extend(attributes[attribute.name] for attribute in layout.attributes)
    typed = [c.cast(field.type) for c, field in zip(columns, schema, strict=True)]
    return pa.RecordBatch.from_arrays(typed, schema=schema)


def _column(value: Value, part: NDArray[Any]) -> pa.Array:
    if value.dtype == "string":
        # An empty text or NaN stands for nothing, where a list is shorter than its columns.
        texts = [text or None for text in part.tolist()] if value.many else part.tolist()
        return pa.array(texts, pa.string())
    numbers = np.ascontiguousarray(part).astype(value.dtype, copy=False)
    return pa.array(numbers, pa.type_for_alias(value.dtype), from_pandas=value.many)


def columns_of(layout: Layout, values: Sequence[Value]) -> list[str]:
    """Return the columns of the table that :func:`answered` needs for some values."""
    inner = [column for value in values for column in value.columns]
    return [ENTITY, *inner, *(attribute.name for attribute in layout.attributes)]


def answered(layout: Layout, batch: pa.RecordBatch, values: Sequence[Value]) -> EntityAnswers:
    """Return rows of the table as arrays.

    Args:
        layout: of the table.
        batch: rows with :func:`columns_of` these values.
        values: some of the layout's.
    """
    arrays = {value.name: _array(value, batch) for value in values}
    names = [attribute.name for attribute in layout.attributes]
    attributes = {name: batch.column(name).to_pylist() for name in names}
    return EntityAnswers(batch.column(ENTITY).to_pylist(), arrays, attributes)


def _array(value: Value, batch: pa.RecordBatch) -> NDArray[Any]:
    parts = [_numpy(value, batch.column(name)) for name in value.columns]
    return np.stack(parts, axis=1) if value.many else parts[0]


def _numpy(value: Value, column: pa.Array) -> NDArray[Any]:
    if value.dtype == "string":
        return np.array([text or "" for text in column.to_pylist()], dtype=object)
    array: NDArray[Any] = column.to_numpy(zero_copy_only=False)
    return array.astype(value.dtype, copy=False)


def batch_of_tuples(
    layout: Layout, columns: Sequence[str], rows: Sequence[Sequence[Any]]
) -> pa.RecordBatch:
    """Return rows that a database gave, as some columns of the table."""
    schema = schema_of(layout)
    fields = [schema.field(name) for name in columns]
    arrays = [pa.array(c, f.type) for c, f in zip(zip(*rows, strict=True), fields, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields))
