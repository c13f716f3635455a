"""Rows with what their columns are for: features of a model, its label, the time, the device."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from cloud_hub.data.columns import (
    NUMBERS,
    TEXTS,
    array_of,
    kind_of,
    numbers_of,
    plain_column,
    seconds_of,
    texts_of,
)
from cloud_hub.data.fingerprint import fingerprint
from cloud_hub.data.parquet_files import parquet_bytes
from cloud_hub.data.reading import MOST_BYTES, Source, read_table
from cloud_hub.deferred.libraries import pa
from cloud_hub.errors import Invalid

Role = Literal["label", "time", "device"]
ROLES: Final[tuple[Role, ...]] = ("label", "time", "device")
LABEL: Final = "y"
"""Column of the labels where nobody says another."""

_METADATA: Final = b"edge.roles"


@dataclass(frozen=True)
class Dataset:
    """N rows: a table, and which of its columns are no features.

    Attributes:
        table: of the kinds of :mod:`cloud_hub.data.columns`.
        label: column of the labels, if there is one.
        time: column that says when each row was, if there is one.
        device: column that says which device each row is of, if there is one.
    """

    table: pa.Table
    label: str | None = None
    time: str | None = None
    device: str | None = None

    @classmethod
    def read(
        cls,
        source: Source,
        *,
        label: str | None = None,
        time: str | None = None,
        device: str | None = None,
        name: str = "dataset",
        limit: int = MOST_BYTES,
    ) -> Dataset:
        """Read rows, see :func:`cloud_hub.data.reading.read_table`.

        Args:
            source: a path, bytes, an open file, a DataFrame, columns by name or an array.
            label: column of the labels; by default ``y``, if there is one.
            time: column of times (or Unix seconds); by default ``t`` of an ``.npz``.
            device: column of names of devices; none by default.
            name: of the data, for messages.
            limit: bytes that the table may take.

        Raises:
            Invalid: it cannot be read, or has no such column.
        """
        table = read_table(source, name=name, limit=limit)
        said = _said(table)
        wanted = {"label": label, "time": time, "device": device}
        roles = {role: wanted[role] or said.get(role) for role in ROLES}
        if roles["label"] is None and LABEL in table.column_names:
            roles["label"] = LABEL
        if roles["time"] is None and _is_archive(table):
            roles["time"] = "t"
        for role, column in roles.items():
            if column is not None and column not in table.column_names:
                present = ", ".join(table.column_names[:20])
                raise Invalid(f"{name}: {role}: there is no column {column!r:.80}, only {present}")
        named = [column for column in roles.values() if column is not None]
        if len(set(named)) < len(named):
            raise Invalid(f"{name}: expected one column each for label, time and device")
        data = cls(table.replace_schema_metadata(None), **roles)
        if data.time is not None and kind_of(table.schema.field(data.time).type) in TEXTS:
            text = next((t for t in data.column(data.time) if t is not None), "")
            raise Invalid(
                f"{name}: time: expected times or Unix seconds in {data.time!r:.80}, got texts, "
                f"such as {text!r:.60}"
            )
        if not data.names:
            raise Invalid(f"{name}: expected at least one column of features")
        return data

    @classmethod
    def of(
        cls,
        rows: Any,
        labels: Any = None,
        *,
        times: Any = None,
        devices: Sequence[str] | None = None,
        name: str = "dataset",
    ) -> Dataset:
        """Return rows that are in memory.

        Args:
            rows: an array [N, columns], a DataFrame, columns [N] by name, or an Arrow table.
            labels: [N], if there are any.
            times: [N] Unix seconds, if they are known.
            devices: [N] names, if they are known.
            name: of the data, for messages.

        Raises:
            Invalid: they are no rows, or of unequal lengths.
        """
        table = read_table(rows, name=name)
        roles: dict[str, str] = {}
        for role, values in (("label", labels), ("time", times), ("device", devices)):
            if values is None:
                continue
            free = _free(LABEL if role == "label" else role, table.column_names)
            column = _values(role, values, f"{name}: {LABEL if role == 'label' else role}")
            if len(column) != len(table):
                raise Invalid(f"{name}: expected {len(table)} of {role}, got {len(column)}")
            table, roles[role] = table.append_column(free, column), free
        return cls(table.replace_schema_metadata(None), **roles)

    @classmethod
    def from_bytes(cls, raw: bytes, *, name: str = "dataset") -> Dataset:
        """Return what :meth:`to_bytes` wrote, or any file's content; raises Invalid."""
        return cls.read(raw, name=name)

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @property
    def roles(self) -> Mapping[str, str]:
        """Names of columns that are no features, by role."""
        named = {role: getattr(self, role) for role in ROLES}
        return {role: column for role, column in named.items() if column is not None}

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the features, in order."""
        others = set(self.roles.values())
        return tuple(name for name in self.table.column_names if name not in others)

    @property
    def features(self) -> pa.Table:
        """The columns that a model takes."""
        return self.table.select(list(self.names))

    @property
    def positional(self) -> bool:
        """Whether the features have no names of their own, as those of an array."""
        return self.names == tuple(f"x{i}" for i in range(len(self.names)))

    @property
    def numeric(self) -> bool:
        """Whether all features are numbers or booleans."""
        return all(kind_of(field.type) in NUMBERS for field in self.features.schema)

    @property
    def labels(self) -> NDArray[Any] | None:
        """Labels [N]: numbers or texts; missing ones are NaN, or ``None`` among objects."""
        if self.label is None:
            return None
        array = array_of(self.table, self.label)
        if kind_of(array.type) not in TEXTS:
            return numbers_of(array) if kind_of(array.type) in NUMBERS else seconds_of(array)
        texts = texts_of(array)
        return texts if array.null_count else texts.astype(np.str_)

    @property
    def times(self) -> NDArray[np.float64] | None:
        """When each row was [N], Unix seconds; NaN where it is not known."""
        if self.time is None:
            return None
        return seconds_of(array_of(self.table, self.time))

    @property
    def devices(self) -> NDArray[Any] | None:
        """Of which device each row is [N]; ``None`` where it is not known."""
        if self.device is None:
            return None
        column = array_of(self.table, self.device)
        if kind_of(column.type) in TEXTS:
            return texts_of(column)
        return texts_of(column.cast(pa.string()))

    @property
    def X(self) -> Any:  # noqa: N802 (the name that the field has for it)
        """Features as a training takes them: an array [N, columns], or a DataFrame.

        An array where they are numbers without names of their own; missing ones are NaN.
        """
        if self.positional and self.numeric:
            return np.column_stack([self.column(name) for name in self.names])
        return self.features.to_pandas()

    def column(self, name: str) -> NDArray[Any]:
        """Return one column [N] as NumPy has it: numbers, objects for texts, Unix seconds."""
        array = array_of(self.table, name)
        kind = kind_of(array.type)
        if kind in TEXTS:
            return texts_of(array)
        return numbers_of(array) if kind in NUMBERS else seconds_of(array)

    def take(self, rows: NDArray[Any]) -> Dataset:
        """Return the rows that a mask [N] or indices name, in their order."""
        if rows.dtype == np.bool_:
            return replace(self, table=self.table.filter(pa.array(rows)).combine_chunks())
        return replace(self, table=self.table.take(pa.array(rows)).combine_chunks())

    def labelled(self) -> Dataset:
        """Return features and labels alone: what a training is given."""
        kept = [*self.names, *([self.label] if self.label is not None else [])]
        return Dataset(self.table.select(kept), self.label)

    def fingerprint(self) -> str:
        """Return the digest of the content; the same rows in another file have the same."""
        return fingerprint(self._with_roles())

    def to_bytes(self) -> bytes:
        """Return a Parquet file, in which the roles of the columns are noted."""
        return parquet_bytes(self._with_roles())

    def write(self, path: Path) -> None:
        """Write :meth:`to_bytes` to a file that nobody reads yet."""
        path.write_bytes(self.to_bytes())

    def _with_roles(self) -> pa.Table:
        text = json.dumps(self.roles, sort_keys=True)
        return self.table.replace_schema_metadata({_METADATA: text.encode()})


def stacked(parts: Sequence[Dataset]) -> Dataset:
    """Return the rows of several with the same features, one after the other.

    Roles that one of them lacks are left out.

    Raises:
        Invalid: other features.
    """
    first = parts[0]
    roles = {
        role: name for role, name in first.roles.items() if all(role in p.roles for p in parts)
    }
    tables = []
    for part in parts:
        if part.names != first.names:
            raise Invalid(
                f"dataset: expected the columns {first.names[:10]}, got {part.names[:10]}"
            )
        renamed = {part.roles[role]: name for role, name in roles.items()}
        table = part.table.select([*part.names, *(part.roles[role] for role in roles)])
        tables.append(table.rename_columns([renamed.get(n, n) for n in table.column_names]))
    try:
        joined = pa.concat_tables(tables, promote_options="permissive")
    except pa.ArrowException as error:
        raise Invalid(f"dataset: columns of other kinds; {error}") from error
    columns = [plain_column(joined.column(n), n) for n in joined.column_names]
    return Dataset(pa.table(columns, names=joined.column_names), **roles)


def _said(table: pa.Table) -> Mapping[str, str]:
    """Return the roles that a file of ours notes; of others none."""
    raw = (table.schema.metadata or {}).get(_METADATA)
    try:
        said = json.loads(raw) if raw is not None else {}
    except ValueError:
        return {}
    if not isinstance(said, dict):
        return {}
    return {role: said[role] for role in ROLES if isinstance(said.get(role), str)}


def _is_archive(table: pa.Table) -> bool:
    """Whether the columns are those that an ``.npz`` with X, y and t gives."""
    names = table.column_names
    return (
        "t" in names
        and "x0" in names
        and set(names) <= {"y", "t"} | {f"x{i}" for i in range(len(names))}
    )


def _free(name: str, taken: Sequence[str]) -> str:
    while name in taken:
        name += "_"
    return name


def _values(role: str, values: Any, name: str) -> pa.Array:
    if isinstance(values, np.ndarray) and values.ndim != 1:
        raise Invalid(f"{name}: expected one value a row, [N], got {values.shape}")
    if role == "time":
        seconds = np.asarray(values, dtype=np.float64)
        values = pa.array((seconds * 1e6).round().astype(np.int64)).cast(
            pa.timestamp("us", tz="UTC")
        )
    column = read_table({"value": values}, name=name).column(0)
    return column.combine_chunks()
