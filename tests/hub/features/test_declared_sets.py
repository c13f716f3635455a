"""Declarations and rows: what is taken, and in which words all else is refused."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from cloud_hub.errors import Conflict, Invalid
from cloud_hub.features.declaration import (
    Feature,
    FeatureSet,
    check_beside,
    check_change,
    parse_set,
)
from cloud_hub.features.intake import taken
from cloud_hub.features.row_files import parquet_bytes, read_rows

TEXT = """
name: user_orders
entity: user_id
owner: shop@example.com
freshness: 6h
models: [demo]
features:
  - {name: f0, dtype: float32, default: 0, description: orders in 30 days}
  - {name: f2, dtype: float32}
source:
  sql: SELECT user_id, f0, f2 FROM orders
  database: sqlite:////data/orders.db
  every: 4h
"""


def test_a_declaration_is_read_with_its_units() -> None:
    declared = parse_set(TEXT)
    assert declared.freshness_seconds == 21_600
    assert declared.source is not None
    assert declared.source.every_seconds == 14_400
    assert declared.features[0].filler == 0


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("owner: shop@example.com", "owner: ''", "owner: expected whom to ask"),
        ("freshness: 6h", "freshness: 0", "freshness: expected more than 0"),
        ("freshness: 6h", "freshnes: 6h", "unknown; did you mean"),
        (
            "dtype: float32, default: 0",
            "dtype: float32, default: lots",
            "default: expected a number",
        ),
        ("dtype: float32, default: 0", "dtype: int8, default: 300", "a whole number from -128"),
        ("dtype: float32, default: 0", "dtype: number, default: 0", "dtype"),
        ("name: f2", "name: f0", r"\['f0'\] stand twice"),
        ("name: f2", "name: user_id", r"\['user_id'\] stand twice"),
        ("name: f2", "name: '@f2'", "does not begin with @"),
        ("  database: sqlite:////data/orders.db\n", "", "exactly one of database and database_env"),
        ("  every: 4h", "  python: a:b", "exactly one of sql and python"),
    ],
)
def test_a_declaration_that_means_nothing_is_refused(old: str, new: str, reason: str) -> None:
    assert old in TEXT
    with pytest.raises(Invalid, match=reason):
        parse_set(TEXT.replace(old, new))


def declared(**changes: Any) -> FeatureSet:
    return replace(parse_set(TEXT), **changes)


def test_what_contradicts_rows_or_other_sets_is_refused() -> None:
    other = declared(name="other", features=(Feature("f0", "string"),), models=())
    with pytest.raises(Conflict, match="f0: is declared twice with two types"):
        check_beside(other, [declared()])
    same = declared(name="other")
    with pytest.raises(Conflict, match="demo: would get f0 from other and user_orders"):
        check_beside(same, [declared()])
    apart = declared(name="other", entity="shop_id", features=(Feature("f1", "float32"),))
    with pytest.raises(Conflict, match="is joined by one entity"):
        check_beside(apart, [declared()])
    with pytest.raises(Conflict, match="give the new one another name"):
        check_change(declared(), declared(features=(Feature("f0", "float64"),)))
    with pytest.raises(Conflict, match="declare another set"):
        check_change(declared(), declared(entity="shop_id"))


GOOD = {"user_id": ["a", "b"], "event_timestamp": [10, 20], "f0": [1.0, None], "f2": [1, 2]}


def test_rows_are_the_same_file_in_any_order() -> None:
    rows = pa.table(GOOD)
    turned = rows.take([1, 0]).select(["f2", "f0", "event_timestamp", "user_id"])
    first, second = (parquet_bytes(taken(each, declared(), now=100.0)) for each in (rows, turned))
    assert first == second


def test_sums_of_databases_keep_every_digit() -> None:
    whole = declared(features=(Feature("f0", "int64"), Feature("f2", "float64")))
    sums = {"f0": [Decimal(2**53 + 1), Decimal(1)], "f2": [Decimal("0.1"), Decimal("2")]}
    table = taken(pa.table(GOOD | sums), whole, now=100.0)
    assert table["f0"].to_pylist() == [2**53 + 1, 1]
    assert table["f2"].to_pylist() == [0.1, 2.0]
    with pytest.raises(Invalid, match="f0: expected int64"):
        taken(pa.table(GOOD | {"f0": [Decimal("1.5"), Decimal(1)]}), whole, now=100.0)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"f2": None}, r"missing \['f2'\]"),
        ({"f3": [1, 2]}, r"not declared \['f3'\]"),
        ({"f0": ["x", "y"]}, "f0: expected float32, got string"),
        ({"f0": [float("inf"), 1]}, "f0: expected finite numbers"),
        ({"f0": [1e300, 1]}, "f0: expected values that float32 holds"),
        ({"user_id": ["a", "a"], "event_timestamp": [10, 10]}, "1 came again, 'a' among them"),
        ({"user_id": ["a", None]}, "expected an entity in every row"),
        ({"event_timestamp": [10, 10_000]}, "ahead of this hub's clock"),
        ({"event_timestamp": [True, False]}, "expected timestamps or Unix seconds"),
        ({name: [] for name in GOOD}, "expected rows, got none"),
    ],
)
def test_rows_that_are_none_of_the_set_are_refused(changes: dict[str, Any], reason: str) -> None:
    rows = {name: values for name, values in (GOOD | changes).items() if values is not None}
    with pytest.raises(Invalid, match=reason):
        taken(pa.table(rows), declared(), now=100.0)


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "expected Parquet"), (b"PAR1nothing", "expected Parquet"), (b"a,b\n1\n", "expected")],
)
def test_a_file_that_is_neither_parquet_nor_csv_is_refused(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    path = tmp_path / "rows"
    path.write_bytes(content)
    for source in (path, content):
        with pytest.raises(Invalid, match=reason):
            read_rows(source, "rows")
