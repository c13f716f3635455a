"""Tables of batch features as users bring them, also as CSV with the entity first, and
their columns for one release.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cloud_hub.errors import Invalid
from edge_sdk.contract.errors import ContractError, require
from edge_sdk.contract.manifest import Column, Signature

Value = str | float | None
"""A value as JSON or CSV has it; ``None`` and empty text are missing numbers."""

TEXT: Final = "string"


@dataclass(frozen=True)
class FeatureTable:
    """Values of N entities.

    Attributes:
        entities: N different names.
        columns: N values for each name of a column.
        defaults: for each column, the value of an entity that is not among them.
        computed_at: N moments (Unix seconds) of the oldest value of each; none where unknown.
        stale_at: N moments from which something of each is stale; none where nothing gets stale.
    """

    entities: tuple[str, ...]
    columns: Mapping[str, tuple[Value, ...]]
    defaults: Mapping[str, Value]
    computed_at: tuple[int, ...] = ()
    stale_at: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        require(all(self.entities), "entities: expected names, one is empty")
        repeated = len(self.entities) - len(set(self.entities))
        require(not repeated, f"entities: expected different names, {repeated} came again")
        require(bool(self.columns), "columns: expected at least one")
        without = sorted(set(self.columns) ^ set(self.defaults))
        require(not without, f"defaults: expected one for each column; look at {without}")
        aged = {len(self.computed_at), len(self.stale_at)}
        fits = aged in ({0}, {len(self.entities)})
        require(fits, "computed_at, stale_at: expected one for each entity, or none at all")
        for name, values in self.columns.items():
            count = len(values)
            require(
                count == len(self.entities),
                f"{name}: expected {len(self.entities)} values, got {count}",
            )


def known_columns(names: Sequence[str], signature: Signature) -> list[Column]:
    """Return the columns of ``signature`` that are among ``names``."""
    return [column for column in signature.columns if column.name in names]


def check_names(names: Sequence[str], signature: Signature) -> None:
    """Raise Invalid if ``signature`` lacks one of the columns: a typo must not switch one off."""
    has = sorted(column.name for column in signature.columns)
    strange = sorted(set(names) - set(has))
    if strange:
        raise Invalid(f"columns: the model has {has}; it has no {strange}")


def typed(column: Column, values: Sequence[Value]) -> list[Any]:
    """Return ``values`` as ``column`` takes them.

    Raises:
        Invalid: the column has numbers, and a value is none.
    """
    if column.dtype == TEXT:
        return ["" if value is None else str(value) for value in values]
    return [_number(column, value) for value in values]


def _number(column: Column, value: Value) -> float | int | None:
    if value is None or value == "":
        return None
    if isinstance(value, int) and not column.dtype.startswith("float"):
        return value  # beyond 2 ** 53 a float would be another number
    try:
        number = float(value)
    except ValueError as error:
        raise Invalid(f"{column.name}: expected numbers, got {value!r:.40}") from error
    # CSV has no types: "3.0" is the integer 3 for a column of integers.
    whole = not column.dtype.startswith("float") and number.is_integer()
    return int(number) if whole else number


def read_csv(path: Path, defaults: Mapping[str, str]) -> FeatureTable:
    """Read a table from a file.

    Args:
        path: CSV, in UTF-8 with or without a byte order mark.
        defaults: values by column, of entities that are not in the file.

    Raises:
        Invalid: no header, lines of another length, an entity twice, a column without default.
    """
    try:
        # "utf-8-sig" drops the mark that spreadsheets write before the first name.
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = [line for line in csv.reader(file, strict=True) if line]
    except OSError as error:
        raise Invalid(f"{path}: cannot read it; {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise Invalid(f"{path}: cannot read it as CSV; {error}") from error
    if not lines or len(lines[0]) < 2:
        raise Invalid(f"{path}: expected a header: the entity, then at least one column")
    header = lines[0]
    for number, line in enumerate(lines, start=1):
        if len(line) != len(header):
            raise Invalid(f"{path}, line {number}: expected {len(header)} cells, got {len(line)}")
    entities, *columns = zip(*lines[1:], strict=True) if lines[1:] else [()] * len(header)
    try:
        return FeatureTable(entities, dict(zip(header[1:], columns, strict=True)), defaults)
    except ContractError as error:
        raise Invalid(f"{path}: {error}") from error


def parse_defaults(words: list[str]) -> dict[str, str]:
    """Return the values of ``NAME=VALUE`` words by name; raises Invalid."""
    pairs = [word.partition("=") for word in words]
    wrong = [word for word, (_, equals, _) in zip(words, pairs, strict=True) if not equals]
    if wrong:
        raise Invalid(f"--default: expected NAME=VALUE, got {wrong[0]!r}")
    return {name: value for name, _, value in pairs}
