"""SQL that the stores share: names, literals, and what is said of entities that recur. Pure."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cloud_hub.batch.layout import Layout, Number
    from cloud_hub.batch.stores.store import Stamp


def declared(layout: Layout, types: Mapping[Number, str]) -> str:
    """Return the columns of a table as CREATE TABLE has them.

    Args:
        layout: of the table.
        types: SQL's name of each.
    """
    return ", ".join(
        f"{quoted(name)} {types[dtype]}{'' if name in layout.optional else ' NOT NULL'}"
        for name, dtype in zip(layout.columns, layout.dtypes, strict=True)
    )


def literals(stamp: Stamp) -> list[tuple[str, str]]:
    """Return what all rows have in common as SQL literals, by column."""
    version = stamp.version.replace("'", "''")
    return [
        ("version", f"'{version}'"),
        ("computed_at", f"'{iso(stamp.computed_at)}'"),
        ("valid_until", f"'{iso(stamp.valid_until)}'"),
        ("generation", str(stamp.id)),
    ]


def iso(at: float) -> str:
    """Return Unix seconds as UTC text that sorts by time."""
    return datetime.datetime.fromtimestamp(at, datetime.UTC).isoformat(timespec="seconds")


def quoted(name: str) -> str:
    """Return a name as SQL writes it, whatever it is."""
    return '"' + name.replace('"', '""') + '"'


def twice_told(names: Sequence[str]) -> str:
    """Say which entities the source has twice."""
    return (
        f"source: expected each entity once, {', '.join(map(repr, names))} came again; group the "
        "rows, or name the column item of a ranked list"
    )
