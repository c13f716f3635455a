"""Tables of batch features as users bring them, and their columns for one release. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cloud_hub.errors import Invalid
from edge_sdk.contract.codec import require
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
