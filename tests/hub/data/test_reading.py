"""Rows from files and tables of every kind: the same rows, or one clear refusal."""

from __future__ import annotations

import io
import random
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cloud_hub.data.dataset import Dataset, stacked
from cloud_hub.data.fingerprint import fingerprint
from cloud_hub.data.fit import columns_for, fitted, rows_for, with_texts
from cloud_hub.data.reading import read_batches, read_table
from cloud_hub.data.row_hashes import row_hashes, scanned
from cloud_hub.data.writing import written
from cloud_hub.errors import Invalid
from edge_sdk.contract.manifest import Column

FRAME = pd.DataFrame(
    {
        "age": [31, 40, 25],
        "income": [1.5, None, 3.25],
        "city": ["Bern", None, "Köln, Süd"],
        "plan": pd.Categorical(["b", "a", "b"], categories=["z", "b", "a"]),
        "new": [True, False, True],
        "seen": pd.to_datetime(["2026-01-01 00:00:00", "2026-02-03 04:05:06", None]),
        "y": ["no", "yes", "no"],
    }
)
KINDS = ["int64", "double", "string", "dictionary", "bool", "timestamp", "string"]


def kinds(data: Dataset) -> list[str]:
    return [str(type_).partition("[")[0].partition("<")[0] for type_ in data.table.schema.types]


def test_a_frame_becomes_columns_of_its_kinds() -> None:
    data = Dataset.read(FRAME)
    assert kinds(data) == KINDS
    assert (data.label, data.names[-1], len(data)) == ("y", "seen", 3)
    assert data.labels is not None
    assert data.labels.tolist() == ["no", "yes", "no"]
    X = data.X
    assert list(X["city"].isna()) == [False, True, False]
    assert str(X["plan"].dtype) == "category"
    assert list(X["plan"].cat.categories) == ["a", "b"]  # sorted, those that are used


def parquet(frame: pd.DataFrame) -> bytes:
    file = io.BytesIO()
    frame.to_parquet(file, row_group_size=2)
    return file.getvalue()


def test_the_same_rows_have_the_same_fingerprint_whatever_they_came_in(tmp_path: Path) -> None:
    data = Dataset.read(FRAME)
    path = tmp_path / "rows.anything"
    path.write_bytes(parquet(FRAME))
    ours = data.to_bytes()
    assert Dataset.read(data.table.to_reader()).fingerprint() == data.fingerprint()
    for source in (parquet(FRAME), path, str(path), io.BytesIO(ours), data.table, ours):
        assert Dataset.read(source).fingerprint() == data.fingerprint()
    csv = Dataset.read(written(data, "csv"))
    plain = Dataset.read(FRAME.assign(plan=FRAME["plan"].astype(str)))
    assert csv.fingerprint() == plain.fingerprint()


def test_a_fingerprint_tells_what_differs() -> None:
    base = pa.table({"a": pa.array([1.0, 2.0]), "b": ["x", "yz"]})
    others = [
        base.select(["b", "a"]), base.rename_columns(["a", "c"]), base.slice(0, 1),
        base.set_column(1, "b", [["xy", "z"]]), base.set_column(0, "a", [[1.0, None]]),
        base.set_column(0, "a", [pa.array([1.0, 2.0], pa.float32())]),
        base.set_column(1, "b", [pa.array(["x", "yz"]).dictionary_encode()]),
        base.replace_schema_metadata({b"edge.roles": b'{"label": "b"}'}),
    ]  # fmt: skip
    prints = {fingerprint(table) for table in (base, *others)}
    assert len(prints) == 1 + len(others)
    sliced = pa.table({"a": [9.0, 1.0, 2.0], "b": ["q", "x", "yz"]}).slice(1)
    assert fingerprint(sliced.combine_chunks()) == fingerprint(base)


def test_whole_numbers_that_no_float_holds_stay_different() -> None:
    big = 2**53
    ids = [big + i for i in range(200)] + [2**63 - 1, 2**63 - 2, -(2**63), -(2**63) + 1]
    integers = pa.table({"id": pa.array(ids, pa.int64())})
    scan = scanned(integers)
    assert scan.repeated == 0
    assert scanned(integers.take([0, 1, 1, 2])).repeated == 1
    prints = {fingerprint(pa.table({"id": pa.array([i], pa.int64())})) for i in ids}
    assert len(prints) == len(ids)
    # A whole number still equals the same fraction, also one that large.
    floats = pa.table({"id": [3.0, -0.0, float(big), float(-(2**63))]})
    same = pa.table({"id": pa.array([3, 0, big, -(2**63)], pa.int64())})
    assert row_hashes(floats).tolist() == row_hashes(same).tolist()
    missing = pa.table({"id": pa.array([big + 1, None], pa.int64())})
    assert scanned(missing).rows[0] == scan.rows[1]


def test_types_of_csv_come_from_all_of_a_column(tmp_path: Path) -> None:
    lines = ["n,t,b,d,text"] + ["1,2,true,2026-01-01,"] * 200_000 + ["1.5,x,FALSE,2026-01-02,NA"]
    path = tmp_path / "rows.csv"
    path.write_text("\n".join(lines))
    table = read_table(path)
    assert [str(t) for t in table.schema.types] == [
        "double", "string", "bool", "timestamp[us, tz=UTC]", "string",
    ]  # fmt: skip
    assert table["text"].null_count == 200_000
    batches = list(read_batches(path, columns=["t", "n"], rows_at_once=100_000))
    assert sum(batch.num_rows for batch in batches) == 200_001
    assert max(batch.num_rows for batch in batches) <= 100_000
    assert batches[0].schema.names == ["t", "n"]


def test_digits_that_a_number_would_not_keep_are_texts() -> None:
    lines = ["zip,code,share,count", "80331,007,0.5,0", "01067,12,0.25,10", ",,0,-0"]
    table = read_table("\n".join(lines).encode())
    assert [str(t) for t in table.schema.types] == ["string", "string", "double", "int64"]
    assert table["zip"].to_pylist() == ["80331", "01067", None]


@pytest.mark.parametrize(
    "text", ["2026-01-02 03:04:05.123456789", "2026-01-02T03:04:05.123456", "2026-01-02 03:04:05Z"]
)
def test_times_of_csv_have_fractions_or_zones(text: str) -> None:
    data = Dataset.read(f"x,at\n1,{text}\n2,\n".encode(), time="at")
    assert data.times is not None
    assert int(data.times[0]) == 1_767_323_045
    assert np.isnan(data.times[1])


def test_batches_of_parquet_and_npz_are_the_whole(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(parquet(FRAME))
    np.savez(tmp_path / "b.npz", X=np.arange(10.0).reshape(5, 2))
    assert [b.num_rows for b in read_batches(tmp_path / "a", rows_at_once=2)] == [2, 1]
    assert [b.num_rows for b in read_batches(tmp_path / "b.npz", rows_at_once=3)] == [3, 2]
    with pytest.raises(Invalid, match="has no column 'z'"):
        list(read_batches(tmp_path / "a", columns=["z"]))


def test_arrays_of_an_archive_have_numbers_for_names() -> None:
    file = io.BytesIO()
    np.savez(file, X=np.array([[1.0, np.nan]]), y=[3], t=[1.5])
    data = Dataset.read(file.getvalue())
    assert (data.names, data.roles) == (("x0", "x1"), {"label": "y", "time": "t"})
    assert data.positional
    assert np.isnan(data.X[0, 1])
    assert data.times is not None
    assert data.times.tolist() == [1.5]


BOMB_TEXT = "x" * 500_000


def bomb() -> bytes:
    """A few kilobytes of Parquet in which one long text stands in 20,000 rows."""
    codes = pa.array(np.zeros(20_000, np.int32))
    column = pa.DictionaryArray.from_arrays(codes, [BOMB_TEXT])
    file = io.BytesIO()
    pq.write_table(pa.table({"x": column}), file, compression="zstd", store_schema=False)
    return file.getvalue()


REFUSED: dict[str, tuple[Any, str]] = {
    "nothing": (b"", "expected Parquet, an .npz, or CSV"),
    "noise": (bytes(range(256)) * 4, "expected Parquet, an .npz, or CSV"),
    "half a Parquet": (parquet(FRAME)[:-20], "expected Parquet"),
    "lines of other lengths": (b"a,b\n1,2\n3\n", "Expected 2 columns, got 1"),
    "columns apart by semicolons": (b"a;b\n1;2\n", "expected commas between columns, the header"),
    "a header alone": (b"a,b\n", "expected at least one row"),
    "a column twice": (b"a,a\n1,2\n", "'a' stands twice"),
    "a column without a name": (b"a,\n1,2\n", "expected names of columns"),
    "lists in a column": (pa.table({"a": [[1], [2]]}), "a: expected numbers, booleans, texts"),
    "numbers and texts in one": (pd.DataFrame({"a": [1, "x"]}), "a: expected values of one kind"),
    "numbers beyond 64 bits": (pa.table({"a": pa.array([2**64 - 1], pa.uint64())}), "a: "),
    "times beyond 64 bits": ({"a": np.array([2**62], "M8[s]")}, "a: Casting from timestamp[s]"),
    "texts that are none": ({"a": ["\ud800"]}, "a: expected values of one kind"),
    "columns of other lengths": ({"a": [1], "b": [1, 2]}, "expected columns of one length"),
    "no table at all": (7, "expected CSV, Parquet, or an .npz with X and y, or a DataFrame"),
    "labels alone": ({"y": [1, 2]}, "expected at least one column of features"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_rows_is_refused_in_words(case: str) -> None:
    source, reason = REFUSED[case]
    with pytest.raises(Invalid) as caught:
        Dataset.read(source)
    assert reason in str(caught.value)


def test_a_small_file_that_would_fill_the_memory_is_refused() -> None:
    raw = bomb()
    assert len(raw) < 200_000
    with pytest.raises(Invalid, match="bytes unpacked"):
        Dataset.read(raw)


def test_more_than_the_limit_is_refused_in_every_format() -> None:
    data = Dataset.of(np.random.default_rng(0).normal(size=(1_000, 10)), np.zeros(1_000))
    for format_ in ("parquet", "csv", "npz"):
        with pytest.raises(Invalid, match="at most 1000 bytes unpacked"):
            Dataset.read(written(data, format_), limit=1_000)  # type: ignore[arg-type]


@pytest.mark.filterwarnings("ignore")
def test_a_parquet_that_is_damaged_anywhere_is_rows_or_a_refusal() -> None:
    chance, whole = random.Random(1), Dataset.read(FRAME).to_bytes()
    for _ in range(400):
        raw = bytearray(whole)
        for _ in range(chance.randint(1, 3)):
            raw[chance.randrange(4, len(raw))] = chance.randrange(256)
        try:
            Dataset.from_bytes(
                bytes(raw[: chance.choice([len(raw), chance.randrange(4, len(raw))])])
            )
        except Invalid:
            continue


def test_roles_are_columns_that_are_there_and_different() -> None:
    assert Dataset.read(FRAME, label="plan", time="seen").names == (
        "age",
        "income",
        "city",
        "new",
        "y",
    )
    with pytest.raises(Invalid, match="label: there is no column 'z', only age"):
        Dataset.read(FRAME, label="z")
    with pytest.raises(Invalid, match="time: expected times or Unix seconds in 'plan', got texts"):
        Dataset.read(FRAME, time="plan")
    with pytest.raises(Invalid, match="one column each"):
        Dataset.read(FRAME, label="seen", time="seen")


def test_rows_are_put_into_the_order_of_a_model_and_its_types() -> None:
    columns = (Column("city", "string", "city", 0), Column("age", "float32", "age", 0))
    data = Dataset.read(FRAME)
    assert fitted(data, ["city", "age"], "1.0").names == ("city", "age")
    assert rows_for(data, columns, "1.0")[1] == [None, 40]
    assert list(columns_for(data, columns, "1.0")) == ["city", "age"]
    with pytest.raises(Invalid, match="1.0 does not take it; expected the columns .*no 'size'"):
        fitted(data, ["age", "size"], "1.0")
    array = Dataset.of(np.ones((2, 2)))
    assert fitted(array, ["city", "age"], "1.0").names == ("city", "age")
    with pytest.raises(Invalid, match="expected rows of 3 features, got 2"):
        fitted(array, ["a", "b", "c"], "1.0")


def test_whole_numbers_are_texts_where_a_model_has_texts() -> None:
    columns = (Column("zip", "string", "zip", 0), Column("age", "float32", "age", 0))
    data = with_texts(Dataset.read(b"zip,age,y\n80331,31,1\n,40,0\n"), columns)
    assert data.table["zip"].to_pylist() == ["80331", None]
    assert kinds(data) == ["string", "int64", "int64"]
    assert data.label == "y"


def test_datasets_of_the_same_features_are_stacked_whatever_their_roles_are_called() -> None:
    first = Dataset.read(FRAME)
    second = Dataset.of(FRAME.drop(columns="y"), ["yes"] * 3, times=[1, 2, 3])
    both = stacked([first, second])
    assert (len(both), both.roles, both.names) == (6, {"label": "y"}, first.names)
    assert list(both.X["plan"].cat.categories) == ["a", "b"]
    with pytest.raises(Invalid, match="expected the columns"):
        stacked([first, Dataset.of(np.ones((1, 2)))])
    mixed = {"a": ["x"]}, {"a": [1.0]}
    with pytest.raises(Invalid, match="columns of other kinds"):
        stacked([Dataset.of(each) for each in mixed])


def test_an_archive_is_for_numbers() -> None:
    with pytest.raises(Invalid, match="an .npz holds numbers, and 'city' has none"):
        written(Dataset.read(FRAME), "npz")
