"""Columns that a job needs of its source, and how their values are read. Pure."""

from __future__ import annotations

import datetime
import decimal
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cloud_hub.batch.layout import ENTITY
from cloud_hub.batch.sources.parts import check_names
from cloud_hub.deferred.libraries import pa
from cloud_hub.errors import Invalid
from edge_sdk.contract.dtypes import STRING

if TYPE_CHECKING:
    from cloud_hub.policy.schema.batch import BatchJob
    from edge_sdk.contract.manifest import Signature

NAME_BYTES = 512
"""Longest name of an entity or item."""

FIRST_PRINTABLE = 32
DELETE = 127
CONTROLS = frozenset((*range(FIRST_PRINTABLE), DELETE))


@dataclass(frozen=True)
class Wanted:
    """Columns of a source.

    Attributes:
        entity: whose answers are computed.
        item: that is ranked; ``None`` where a row is an entity.
        attributes: kept beside the answer, as texts.
        texts: features that are texts.
        numbers: features that are numbers.
    """

    entity: str
    item: str | None
    attributes: tuple[str, ...]
    texts: tuple[str, ...]
    numbers: tuple[str, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """All of them, each once."""
        names = [self.entity, *([self.item] if self.item else []), *self.attributes]
        return tuple(dict.fromkeys([*names, *self.texts, *self.numbers]))

    @property
    def written(self) -> frozenset[str]:
        """Those that are read as texts: 007 is no 7. A feature that is a number is read as one."""
        names = {self.entity, *([self.item] if self.item else []), *self.attributes, *self.texts}
        return frozenset(names - set(self.numbers))


def wanted(job: BatchJob, signature: Signature) -> Wanted:
    """Return the columns that a job needs to have its rows answered.

    Raises:
        Invalid: the model takes no rows of named columns.
    """
    if not signature.columns:
        raise Invalid("batch: expected a model of named columns; tensors have no table")
    if signature.state:
        raise Invalid("batch: expected a model without state: rows are answered in any order")
    columns = signature.columns
    return Wanted(
        ENTITY if job.source.entities is not None else job.entity,
        job.item,
        job.attributes,
        tuple(column.name for column in columns if column.dtype == STRING),
        tuple(column.name for column in columns if column.dtype != STRING),
    )


def batch_of(names: Sequence[str], rows: Sequence[Sequence[Any]], wanted: Wanted) -> pa.RecordBatch:
    """Return rows of a database as a batch: texts as texts, numbers as float64.

    Raises:
        Invalid: a column is missing, or a value is of no kind that a row has.
    """
    check_names(names, wanted.columns)
    place = {name: i for i, name in enumerate(names)}
    columns = {name: [row[place[name]] for row in rows] for name in wanted.columns}
    arrays = {
        name: _texts(name, values, exact=name in (wanted.entity, wanted.item))
        if name in wanted.written
        else _numbers(name, values)
        for name, values in columns.items()
    }
    return pa.RecordBatch.from_pydict(arrays)


def names_of(column: pa.Array, what: str) -> pa.Array:
    """Return names of entities or items as texts.

    Args:
        column: texts or whole numbers.
        what: name of the column, for messages.

    Raises:
        Invalid: one is missing, empty, too long, of another type, or cannot be asked for, since
            requests have no control characters.
    """
    from pyarrow import compute

    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    texts = (pa.types.is_string, pa.types.is_large_string, pa.types.is_integer)
    if not any(fits(kind) for fits in texts):
        raise Invalid(f"source: column {what}: expected texts or whole numbers, got {column.type}")
    names = column.cast(kind).cast(pa.string())
    lengths = compute.binary_length(names)
    bounds = compute.min_max(lengths)
    if names.null_count or (len(names) and bounds["min"].as_py() == 0):
        row = next(i for i, name in enumerate(names.to_pylist()) if not name)
        raise Invalid(f"source: column {what}: expected a name in each row, row {row} has none")
    if len(names) and bounds["max"].as_py() > NAME_BYTES:
        raise Invalid(f"source: column {what}: expected at most {NAME_BYTES} bytes a name")
    if _has_controls(names):
        bad = next(name for name in names.to_pylist() if CONTROLS.intersection(name.encode()))
        raise Invalid(f"source: column {what}: expected no control characters, got {bad!r:.60}")
    return names


def _has_controls(names: pa.Array) -> bool:
    """Return whether a control character is in some text, by a look at the bytes of all."""
    _, offsets, data = names.buffers()
    if data is None:
        return False
    ends = np.frombuffer(offsets, np.int32)[names.offset :][: len(names) + 1]
    raw = np.frombuffer(data, np.uint8)[ends[0] : ends[-1]]
    return bool(raw.min(initial=DELETE) < FIRST_PRINTABLE or (raw == DELETE).any())


def _texts(name: str, values: Sequence[Any], *, exact: bool) -> pa.Array:
    # Most columns are of texts already: no look at each value.
    try:
        return pa.array(values, pa.string())
    except (pa.ArrowException, TypeError):
        return pa.array([_text(name, value, exact=exact) for value in values], pa.string())


def _text(name: str, value: Any, *, exact: bool) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, bool):
        return str(value).lower()
    kinds = (int,) if exact else (int, float, decimal.Decimal)
    if not isinstance(value, kinds):
        expected = "texts or whole numbers" if exact else "texts or numbers"
        raise Invalid(f"source: column {name}: expected {expected}, got {value!r:.60}")
    return str(value)


def _numbers(name: str, values: Sequence[Any]) -> pa.Array:
    try:
        return pa.array(values, pa.float64())
    except (pa.ArrowException, TypeError, ValueError):
        pass
    for value in values:
        if value is not None and not isinstance(value, int | float | decimal.Decimal):
            raise Invalid(f"source: column {name}: expected numbers, got {value!r:.60}")
    return pa.array([None if value is None else float(value) for value in values], pa.float64())
