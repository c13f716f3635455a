"""Rows that devices shared, as far as they can be stacked into one table.

Rows of several versions lie side by side, and a version may have other columns than the one before;
an older hub also took rows of any width. Those that have the columns of the newest version count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa

from cloud_hub.data.dataset import Dataset
from cloud_hub.errors import NotFound
from edge_sdk.contract.dtypes import STRING
from edge_sdk.contract.errors import ContractError
from edge_sdk.contract.names import Version

if TYPE_CHECKING:
    from edge_sdk.contract.manifest import Column

Columns = tuple["Column", ...]


class SharedRow(NamedTuple):
    """A stored row, its label, when it was predicted (Unix seconds), and who shared it."""

    version: str
    row: Sequence[Any]
    label: Any
    taken: int
    device: str = ""


def stackable(
    rows: Iterable[SharedRow], columns_of: Callable[[str], Columns]
) -> tuple[list[SharedRow], Columns | None]:
    """Return the rows with the columns of the newest version among them, in their order.

    Args:
        rows: in any order.
        columns_of: columns of a version; raises NotFound.

    Returns:
        The rows, and their columns; ``None`` where no version of them is known.
    """
    rows = list(rows)
    columns = {version: _columns(version, columns_of) for version in {r.version for r in rows}}
    names = {v: None if c is None else tuple(x.name for x in c) for v, c in columns.items()}
    known = sorted((Version.parse(v), c) for v, c in names.items() if c is not None)
    newest = known[-1][1] if known else None
    width = len(newest) if newest is not None else len(rows[-1].row) if rows else 0
    # Rows of a version whose files are gone count where they are as wide.
    same = [r for r in rows if names[r.version] in (newest, None) and len(r.row) == width]
    return same, columns[str(known[-1][0])] if known else None


def dataset_of(rows: Sequence[SharedRow], columns: Columns | None) -> Dataset:
    """Return shared rows as a dataset, with the labels, times and devices of the rows.

    Args:
        rows: at least one, all of one width.
        columns: of the model, which say how numbers are stored; ``None`` where they are not known.
    """
    values = list(zip(*(row.row for row in rows), strict=True))
    if columns is None:
        # An older hub's: numbers as all models took them, texts as they are.
        matrix = np.array([row.row for row in rows])
        numeric = matrix.dtype.kind in "fiub"
        table: Any = matrix.astype(np.float32) if numeric else matrix
    else:
        table = {c.name: _values(c, v) for c, v in zip(columns, values, strict=True)}
    return Dataset.of(
        table,
        np.array([row.label for row in rows]),
        times=[row.taken for row in rows],
        devices=[row.device for row in rows],
        name="shared rows",
    )


def _values(column: Column, values: Sequence[Any]) -> pa.Array:
    if column.dtype == STRING:
        return pa.array([None if v is None else str(v) for v in values], pa.string())
    numbers = np.array([np.nan if v is None else v for v in values], dtype=np.float64)
    if np.isnan(numbers).any():
        narrow = column.dtype in ("float16", "float32")
        return pa.array(numbers.astype(np.float32 if narrow else np.float64), from_pandas=True)
    if column.dtype.startswith(("int", "uint")):  # through a float, large ones would be others
        return pa.array(np.array([int(v) for v in values], dtype=column.dtype))
    return pa.array(numbers.astype(np.dtype(column.dtype)))


def _columns(version: str, columns_of: Callable[[str], Columns]) -> Columns | None:
    try:
        Version.parse(version)
        return columns_of(version)
    except (NotFound, ContractError):  # an older hub took rows of versions that nobody published
        return None
