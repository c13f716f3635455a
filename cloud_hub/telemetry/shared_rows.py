"""Rows that devices shared, as far as they can be stacked into one table of numbers or texts.

Rows of several versions lie side by side, and a version may have other columns than the one before;
an older hub also took rows of any width. Those that have the columns of the newest version count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cloud_hub.errors import NotFound
from edge_sdk.contract.errors import ContractError
from edge_sdk.contract.names import Version


class SharedRow(NamedTuple):
    """A stored row, its label, and when it was predicted (Unix seconds)."""

    version: str
    row: Sequence[Any]
    label: Any
    taken: int


def stackable(
    rows: Iterable[SharedRow], columns_of: Callable[[str], tuple[str, ...]]
) -> list[SharedRow]:
    """Return the rows with the columns of the newest version among them, in their order.

    Args:
        rows: in any order.
        columns_of: names of the columns of a version; raises NotFound.
    """
    rows = list(rows)
    columns = {version: _columns(version, columns_of) for version in {r.version for r in rows}}
    known = sorted((Version.parse(v), c) for v, c in columns.items() if c is not None)
    newest = known[-1][1] if known else None
    width = len(newest) if newest is not None else len(rows[-1].row) if rows else 0
    # Rows of a version whose files are gone count where they are as wide.
    return [r for r in rows if columns[r.version] in (newest, None) and len(r.row) == width]


def matrix(rows: Sequence[SharedRow]) -> NDArray[Any]:
    """Return the values [N, columns]: numbers as the models take them; texts stay what they are."""
    values = np.array([row.row for row in rows])
    return values.astype(np.float32) if values.dtype.kind in "fiu" else values


def _columns(version: str, columns_of: Callable[[str], tuple[str, ...]]) -> tuple[str, ...] | None:
    try:
        Version.parse(version)
        return columns_of(version)
    except (NotFound, ContractError):  # an older hub took rows of versions that nobody published
        return None
