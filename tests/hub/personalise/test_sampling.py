"""Rows of many units out of a file, bounded and fair among units."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_hub.data.parquet_files import parquet_bytes
from cloud_hub.errors import Invalid
from cloud_hub.personalise.sampling import ENOUGH, UnitColumns, drawn, sampled_rows

COLUMNS = UnitColumns(("a", "b"), "y", "unit", "region")


def written(folder: Path, units: list[str | None], suffix: str = "parquet") -> Path:
    count = len(units)
    table = pa.table(
        {
            "b": np.arange(count, dtype=np.float64),
            "unit": units,
            "a": np.arange(count, dtype=np.float32) / 2,
            "y": [f"label {i % 3}" for i in range(count)],
        }
    )
    file = folder / f"rows.{suffix}"
    if suffix == "csv":
        table.to_pandas().to_csv(file, index=False)
    else:
        file.write_bytes(parquet_bytes(table))
    return file


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_columns_are_found_by_name_whatever_their_order_and_file(
    tmp_path: Path, suffix: str
) -> None:
    rows = sampled_rows(written(tmp_path, ["u", "v", "u"], suffix), COLUMNS)
    assert rows.data.names == ("a", "b")
    assert rows.data.column("a").tolist() == [0.0, 0.5, 1.0]
    assert rows.units.tolist() == ["u", "v", "u"]
    assert rows.data.labels is not None
    assert rows.data.labels.tolist() == ["label 0", "label 1", "label 2"]
    assert (rows.rows, rows.unit_count, rows.cohorts) == (3, 2, None)


@pytest.mark.parametrize(("columns", "words"), [
    (UnitColumns(("a", "b"), "y", "nobody"), r"unit: there is no column 'nobody'.*'unit'"),
    (UnitColumns(("a", "b"), "digit", "unit"), r"no column 'digit'.*\['unit', 'y'\].*--label"),
])  # fmt: skip
def test_a_column_that_is_not_there_is_told_with_those_beside_the_features(
    tmp_path: Path, columns: UnitColumns, words: str
) -> None:
    with pytest.raises(Invalid, match=words):
        sampled_rows(written(tmp_path, ["u", "v", "u"]), columns)


@pytest.mark.parametrize("columns", [("y", "y", None), ("y", "unit", "unit"), ("y", "unit", "y")])
def test_one_column_is_not_two_things(columns: tuple[str, str, str | None]) -> None:
    with pytest.raises(Invalid, match="columns of their own"):
        UnitColumns(("a", "b"), *columns)


def test_rows_without_a_unit_are_left_out_and_told(tmp_path: Path) -> None:
    rows = sampled_rows(written(tmp_path, ["u", None, "v", None]), COLUMNS)
    assert rows.units.tolist() == ["u", "v"]
    assert rows.said[0] == "2 rows name no unit and were left out"


def test_numbers_of_units_are_their_names(tmp_path: Path) -> None:
    table = pa.table({"a": [1.0, 2.0], "b": [1.0, 2.0], "y": [0, 1], "unit": [7, 8]})
    file = tmp_path / "rows.parquet"
    file.write_bytes(parquet_bytes(table))
    assert sampled_rows(file, COLUMNS).units.tolist() == ["7", "8"]


def test_more_rows_than_a_fit_looks_at_are_drawn_fairly_among_units_and_told(
    tmp_path: Path,
) -> None:
    units = ["loud"] * 9_000 + [f"quiet {i}" for i in range(50) for _ in range(20)]
    rows = sampled_rows(written(tmp_path, [*units]), COLUMNS, most=2_000)
    names, counts = np.unique(rows.units, return_counts=True)
    by_name = dict(zip(names.tolist(), counts.tolist(), strict=True))
    assert len(rows.data) <= 2_000
    assert all(by_name[f"quiet {i}"] == 20 for i in range(50))  # the loud one crowds nobody out
    assert by_name["loud"] == 1_000
    assert "2,000 of 10,000 rows were drawn, of 51 of 51 units" in rows.said[0]


def test_a_name_that_is_a_document_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="names of up to 1024 characters, got 5000"):
        sampled_rows(written(tmp_path, ["u" * 5_000, "v"]), COLUMNS)


@pytest.mark.parametrize("role", ["unit", "cohort", "label"])
def test_a_role_that_is_a_feature_is_refused(role: str) -> None:
    with pytest.raises(Invalid, match=f"{role}: 'a' is a feature of the model"):
        UnitColumns(**{"features": ("a",), "label": "y", "unit": "unit", role: "a"})  # type: ignore[arg-type]


@given(
    sizes=st.lists(st.integers(1, 400), min_size=2, max_size=60),
    most=st.integers(40, 3_000),
    seed=st.integers(0, 9),
)
def test_never_more_rows_than_allowed_and_no_kept_unit_gets_more_than_another_with_as_many(
    sizes: list[int], most: int, seed: int
) -> None:
    codes = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
    kept = drawn(codes, np.ones(len(codes), np.bool_), most, seed)
    counts = np.bincount(codes[kept], minlength=len(sizes))
    if len(codes) <= most:
        assert kept.all()
        return
    assert counts.sum() <= most
    chosen = np.flatnonzero(counts)
    assert len(chosen) == min(len(sizes), max(most // ENOUGH, 2))
    cap = counts.max()
    assert (counts[chosen] == np.minimum(np.array(sizes)[chosen], cap)).all()
