"""Writes rows for others to read: Parquet, CSV, or an ``.npz`` where they are numbers."""

from __future__ import annotations

import io
from typing import Any, Final, Literal

import numpy as np

from cloud_hub.data.columns import NUMBERS, kind_of, texts_of
from cloud_hub.data.dataset import Dataset
from cloud_hub.deferred.libraries import csv, pa
from cloud_hub.errors import Invalid
from edge_sdk.model.release import save_arrays

Format = Literal["parquet", "csv", "npz"]
FORMATS: Final[tuple[Format, ...]] = ("parquet", "csv", "npz")


def written(data: Dataset, format_: Format) -> bytes:
    """Return rows as the content of a file.

    Args:
        data: rows.
        format_: of the file. An ``.npz`` has ``X``, and ``y`` and ``t`` where they are known.

    Raises:
        Invalid: texts or times in an ``.npz``.
    """
    if format_ == "parquet":
        return data.to_bytes()
    if format_ == "csv":
        buffer = io.BytesIO()
        plain = [_decoded(column) for column in data.table.columns]
        csv.write_csv(pa.table(plain, names=data.table.column_names), buffer)
        return buffer.getvalue()
    return save_arrays(arrays_of(data))


def arrays_of(data: Dataset) -> dict[str, Any]:
    """Return the arrays of an ``.npz``.

    Raises:
        Invalid: features that an array without objects cannot hold.
    """
    kinds = {field.name: kind_of(field.type) for field in data.features.schema}
    other = [name for name, kind in kinds.items() if kind not in NUMBERS]
    if other:
        raise Invalid(f"an .npz holds numbers, and {other[0]!r:.80} has none; take parquet or csv")
    arrays: dict[str, Any] = {"X": np.column_stack([data.column(name) for name in data.names])}
    if data.labels is not None:
        arrays["y"] = data.labels
    if data.times is not None:
        arrays["t"] = data.times
    return arrays


def _decoded(column: pa.ChunkedArray) -> pa.Array:
    array = column.combine_chunks()
    return pa.array(texts_of(array), pa.string()) if kind_of(array.type) == "category" else array
