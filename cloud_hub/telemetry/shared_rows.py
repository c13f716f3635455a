"""Rows that devices shared, as far as they can be stacked into one table.

Rows of several versions lie side by side, and a version may have other columns than the one before;
an older hub also took rows of any width. Those that have the columns of the newest version count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from cloud_hub.data.dataset import Dataset
from cloud_hub.deferred.libraries import pa
from cloud_hub.errors import NotFound
from edge_sdk.contract.dtypes import STRING
from edge_sdk.contract.errors import ContractError
from edge_sdk.contract.names import Version

if TYPE_CHECKING:
    from edge_sdk.contract.manifest import Column, Signature


class SharedRow(NamedTuple):
    """A stored row, its label, when it was predicted (Unix seconds), and who shared it."""

    version: str
    row: Sequence[Any]
    label: Any
    taken: int
    device: str = ""


def stackable(
    rows: Iterable[SharedRow], signature_of: Callable[[str], Signature]
) -> tuple[list[SharedRow], Signature | None]:
    """Return the rows with the columns of the newest version among them, in their order.

    Args:
        rows: in any order.
        signature_of: signature of a version; raises NotFound.

    Returns:
        The rows, and the signature that they have; ``None`` where no version of them is known.
    """
    rows = list(rows)
    known = {v: _signature(v, signature_of) for v in {r.version for r in rows}}
    names = {v: None if s is None else tuple(c.name for c in s.columns) for v, s in known.items()}
    versions = sorted(Version.parse(v) for v, s in known.items() if s is not None)
    newest = str(versions[-1]) if versions else ""
    wanted = names.get(newest)
    width = len(wanted) if wanted is not None else len(rows[-1].row) if rows else 0
    # Rows of a version whose files are gone count where they are as wide.
    same = [r for r in rows if names[r.version] in (wanted, None) and len(r.row) == width]
    return same, known.get(newest)


def dataset_of(rows: Sequence[SharedRow], signature: Signature | None) -> Dataset:
    """Return shared rows as a dataset, with the labels, times and devices of the rows.

    Args:
        rows: at least one, all of one width.
        signature: of the model, which says how numbers are stored and what its classes are;
            ``None`` where it is not known.
    """
    values = list(zip(*(row.row for row in rows), strict=True))
    if signature is None:
        # An older hub's: numbers as all models took them, texts as they are.
        matrix = np.array([row.row for row in rows])
        numeric = matrix.dtype.kind in "fiub"
        table: Any = matrix.astype(np.float32) if numeric else matrix
    else:
        table = {c.name: _values(c, v) for c, v in zip(signature.columns, values, strict=True)}
    # A device may say 1.0 for the class 1, and must not make fractions of all labels.
    classes = {label: label for label in (signature.classes if signature is not None else ())}
    return Dataset.of(
        table,
        np.array([classes.get(row.label, row.label) for row in rows]),
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


def _signature(version: str, signature_of: Callable[[str], Signature]) -> Signature | None:
    try:
        Version.parse(version)
        return signature_of(version)
    except (NotFound, ContractError):  # an older hub took rows of versions that nobody published
        return None
