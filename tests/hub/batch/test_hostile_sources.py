"""Files and queries that are not what a job expects: one sentence each, and nothing is written."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cloud_hub.batch.sources.readers import csv_batches
from cloud_hub.batch.sources.wanted import Wanted
from cloud_hub.batch.stores.opening import open_store
from cloud_hub.batch.task import BatchOutcome, BatchTask
from cloud_hub.batch.worker import outcome_of
from cloud_hub.errors import Invalid
from cloud_hub.policy.schema import BatchJob, BatchSource
from edge_sdk.model.release import Release
from tests.edge.builders import make_release

FEATURES = {f"f{i}": pa.array([0.5, 1.5, 2.5], pa.float32()) for i in range(4)}
NOT_UTF8 = pa.Array.from_buffers(pa.string(), 3, pa.array([b"a", b"\xff", b"c"]).buffers())


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    return make_release(tmp_path_factory.mktemp("made"))


def outcome(folder: Path, release: Release, source: BatchSource, **more: Any) -> BatchOutcome:
    work = folder / "data" / "batch" / "1"
    work.mkdir(parents=True)
    job = BatchJob(source, **{"entity": "user", **more})
    task = BatchTask(
        1, "demo", "users", job, 100.0, "demo 1.0", str(release.folder), str(folder / "data"),
        str(work), source=source.url,
    )  # fmt: skip
    ended = outcome_of(task)
    if ended.status == "failed":
        assert open_store(job.output, folder / "data", None).done(task.place) == {}
        assert not list(work.glob("input-*"))
    return ended


def parquet(path: Path, **columns: pa.Array) -> BatchSource:
    pq.write_table(pa.table({"user": pa.array(["a", "b", "c"]), **FEATURES, **columns}), path)
    return BatchSource(parquet=str(path))


COLUMNS = {
    "names that are no UTF-8": ({"user": NOT_UTF8}, "Invalid UTF8 sequence"),
    "attributes that are no UTF-8": ({"region": NOT_UTF8}, "Invalid UTF8 sequence"),
    "a line break in a name": (
        {"user": pa.array(["a", "b\n", "c"])}, "expected no control characters, got 'b\\n'"
    ),
    "a zero byte in a name": ({"user": pa.array(["a", "\0", "c"])}, "no control characters"),
    "a long name": ({"user": pa.array(["a", "b" * 513, "c"])}, "at most 512 bytes"),
    "names that are fractions": ({"user": pa.array([1.5, 2, 3])}, "texts or whole numbers"),
    "a list": ({"f1": pa.array([[1.0], [2.0], [3.0]])}, "'f1': expected numbers, got list"),
    "a moment": ({"f1": pa.array([1, 2, 3], pa.timestamp("us"))}, "expected numbers, got timest"),
    "an infinity": ({"f1": pa.array([1, np.inf, 2])}, "entity 'b': feature 'f1'"),
    "more than a float32 holds": ({"f1": pa.array([1, 2, 1e300])}, "entity 'c': feature 'f1'"),
    "no number": ({"f1": pa.array([1, 2, None])}, "entity 'c': feature 'f1'"),
    "an attribute that is a list": ({"region": pa.array([[1], [2], [3]])}, "text or numbers"),
}  # fmt: skip


@pytest.mark.parametrize("case", COLUMNS)
def test_columns_that_do_not_fit_are_one_sentence(
    tmp_path: Path, release: Release, case: str
) -> None:
    columns, said = COLUMNS[case]
    more = {"attributes": ("region",)} if "region" in columns else {}
    source = parquet(tmp_path / "users.parquet", **columns)
    ended = outcome(tmp_path, release, source, **more)
    assert ended.status == "failed"
    assert said in ended.reason


def test_a_column_that_stands_twice_is_refused(tmp_path: Path, release: Release) -> None:
    path = tmp_path / "users.parquet"
    columns = [pa.array(["a", "b", "c"]), *FEATURES.values(), FEATURES["f0"]]
    pq.write_table(pa.Table.from_arrays(columns, ["user", *FEATURES, "f0"]), path)
    ended = outcome(tmp_path, release, BatchSource(parquet=str(path)))
    assert "expected each column once, got ['f0'] again" in ended.reason


NUMBERS = {
    "decimals": pa.array([0.5, 1.5, 2.5]).cast(pa.decimal128(10, 2)),
    "halves": pa.array(np.array([0.5, 1.5, 2.5], np.float16)),
    "doubles": pa.array([0.5, 1.5, 2.5]),
    "a dictionary": pa.array([0.5, 1.5, 2.5]).dictionary_encode(),
}


@pytest.mark.parametrize("kind", NUMBERS)
def test_numbers_of_any_type_are_the_same_numbers(
    tmp_path: Path, release: Release, kind: str
) -> None:
    answers = []
    for name, column in (("plain", FEATURES["f1"]), ("other", NUMBERS[kind])):
        folder = tmp_path / name
        folder.mkdir()
        source = parquet(folder / "users.parquet", f1=column)
        assert outcome(folder, release, source, output="parquet").status == "whole"
        [file] = (folder / "data" / "predictions").rglob("part-*.parquet")
        answers.append(pq.read_table(file))
    assert answers[0].equals(answers[1])


def test_a_damaged_page_is_told(tmp_path: Path, release: Release) -> None:
    path = tmp_path / "users.parquet"
    source = parquet(path)
    raw = path.read_bytes()
    path.write_bytes(raw[:40] + bytes(60) + raw[100:])
    assert "cannot be read" in outcome(tmp_path, release, source).reason


STATEMENTS = {
    "a statement without rows": ("BEGIN", "a query that returns rows"),
    "two statements": ("SELECT 1; SELECT 2", "one statement at a time"),
    "a name that is bytes": ("SELECT x'ff' AS user, * FROM t", "got b'\\xff'"),
    "a value that nobody gives": ("SELECT :foo AS user, * FROM t", "bind parameter 'foo'"),
    "a text that is no UTF-8": ("SELECT cast(x'ff' AS text) AS user, * FROM t", "UTF-8"),
}


@pytest.mark.parametrize("case", STATEMENTS)
def test_queries_of_no_use_are_one_sentence(tmp_path: Path, release: Release, case: str) -> None:
    query, said = STATEMENTS[case]
    with sqlite3.connect(tmp_path / "shop.db") as db:
        db.execute("CREATE TABLE t (f0, f1, f2, f3)")
        db.execute("INSERT INTO t VALUES (1, 2, 3, 4)")
    db.close()
    source = BatchSource(query=query, url=f"sqlite:///{tmp_path / 'shop.db'}")
    ended = outcome(tmp_path, release, source)
    assert ended.status == "failed"
    assert said in ended.reason


def test_files_of_csv_are_of_one_moment_together(tmp_path: Path) -> None:
    paths = [tmp_path / "a.csv", tmp_path / "b.csv"]
    for path in paths:
        path.write_text("user,f0\na,1\n")
    read = csv_batches(paths, Wanted("user", None, (), (), ("f0",)))
    next(read)
    paths[1].write_text("user,f0\na,1\nb,2\n")
    with pytest.raises(Invalid, match=r"b\.csv: was changed or removed while it was read"):
        list(read)


@pytest.mark.parametrize("output", ["sql", "parquet"])
@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_a_disk_is_not_filled_to_the_brim(
    tmp_path: Path, release: Release, kind: str, output: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cloud_hub.batch.room.KEPT_BYTES", 1 << 62)  # more than any disk has
    source = parquet(tmp_path / "users.parquet")
    if kind == "csv":
        (tmp_path / "users.csv").write_text("user,f0,f1,f2,f3\na,1,2,3,4\n")
        source = BatchSource(csv=str(tmp_path / "users.csv"))
    ended = outcome(tmp_path, release, source, output=output)
    assert "are kept for the hub; free some" in ended.reason
