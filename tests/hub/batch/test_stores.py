"""One contract for every store: parts are whole or not there, and so are generations."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np
import pyarrow as pa
import pytest
from sqlalchemy import create_engine, text

from cloud_hub.batch.layout import Attribute, Layout, Value
from cloud_hub.batch.rows import answered, columns_of, record_batch
from cloud_hub.batch.stores.parquet_store import ParquetStore
from cloud_hub.batch.stores.postgres_store import PostgresStore, shown_name
from cloud_hub.batch.stores.sqlite_store import SqliteStore
from cloud_hub.batch.stores.store import Stamp, Store
from cloud_hub.errors import Conflict, HubFault, Invalid, NotFound

PLACE = PurePosixPath("shop/hotels/7")
LAYOUT = Layout(
    (
        Value("prediction", "string", ("prediction",)),
        Value("probabilities", "float32", ("probability_a", "probability_b"), many=True),
    ),
    (Attribute("region", "string"), Attribute("nights", "int64")),
)
LIST = Layout(
    (
        Value("items", "string", ("item_1", "item_2"), many=True),
        Value("scores", "float64", ("score_1", "score_2"), many=True),
    ),
    top=2,
)
STAMP = Stamp(7, "shop", "hotels", "big 1.2", 1_000.0, 2_000.0)


@pytest.fixture(params=["sqlite", "parquet", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    if request.param == "sqlite":
        yield SqliteStore(tmp_path)
    elif request.param == "parquet":
        yield ParquetStore(tmp_path)
    else:
        engine = create_engine(request.getfixturevalue("cluster").database())
        yield PostgresStore(engine)
        engine.dispose()


def batch(names: list[str]) -> pa.RecordBatch:
    shares = np.linspace(0.1, 0.4, 2 * len(names), dtype=np.float32).reshape(-1, 2)
    labels = np.array(['it\'s ,\n"b"' for _ in names], dtype=object)
    regions = pa.array([None if i % 2 else "" for i in range(len(names))], pa.string())
    attributes = {"region": regions, "nights": pa.array(range(len(names)), pa.int64())}
    values = {"prediction": labels, "probabilities": shares}
    return record_batch(LAYOUT, pa.array(names), values, attributes)


def whole(store: Store, place: PurePosixPath = PLACE) -> list[str]:
    return [e for b in store.read(place, LAYOUT, ["entity"], 2) for e in b.column(0).to_pylist()]


def test_what_was_written_is_read_back_to_the_bit(store: Store) -> None:
    store.begin(PLACE, LAYOUT)
    written = [batch(["a", "b", "ü x"]), batch(["d", "e"])]
    assert store.write(PLACE, LAYOUT, 0, written[:1]) == 3
    assert store.write(PLACE, LAYOUT, 1, written[1:]) == 2
    store.complete(PLACE, LAYOUT, STAMP)
    columns = columns_of(LAYOUT, LAYOUT.values)
    read = pa.Table.from_batches(store.read(PLACE, LAYOUT, columns, 2))
    assert read.equals(pa.Table.from_batches(written))
    first = answered(LAYOUT, read.to_batches()[0], LAYOUT.named(["probabilities"]))
    assert first.columns["probabilities"].dtype == np.float32
    assert first.attributes["region"][0] == ""
    assert list(first.columns) == ["probabilities"]


def test_nothing_is_read_before_the_whole_is_complete(store: Store) -> None:
    store.begin(PLACE, LAYOUT)
    store.write(PLACE, LAYOUT, 0, [batch(["a"])])
    with pytest.raises(NotFound):
        whole(store)
    with pytest.raises((NotFound, Conflict)):
        store.find(PLACE, ["a"])


def test_a_part_that_fails_within_leaves_nothing(store: Store) -> None:
    def broken() -> Iterator[pa.RecordBatch]:
        yield batch(["a", "b"])
        raise Invalid("the model failed")

    store.begin(PLACE, LAYOUT)
    with pytest.raises(Invalid):
        store.write(PLACE, LAYOUT, 0, broken())
    assert store.done(PLACE) == {}
    store.write(PLACE, LAYOUT, 0, [batch(["a", "b"])])
    assert store.done(PLACE) == {0: 2}
    store.begin(PLACE, LAYOUT)  # as after a restart
    assert store.done(PLACE) == {0: 2}


def test_a_part_is_never_written_twice(store: Store) -> None:
    store.begin(PLACE, LAYOUT)
    store.write(PLACE, LAYOUT, 3, [batch(["a"])])
    with pytest.raises(Exception, match=r"(?i)unique|there already") as caught:
        store.write(PLACE, LAYOUT, 3, [batch(["b"])])
    assert isinstance(caught.value, HubFault)
    store.complete(PLACE, LAYOUT, STAMP)
    assert whole(store) == ["a"]


def test_an_entity_twice_is_named_and_nothing_becomes_visible(store: Store) -> None:
    store.begin(PLACE, LAYOUT)
    store.write(PLACE, LAYOUT, 0, [batch(["a", "b"])])
    store.write(PLACE, LAYOUT, 1, [batch(["c", "b"])])
    with pytest.raises(Invalid, match=r"expected each entity once, 'b' came again"):
        store.complete(PLACE, LAYOUT, STAMP)
    with pytest.raises(NotFound):
        whole(store)


def test_an_empty_part_counts(store: Store) -> None:
    store.begin(PLACE, LAYOUT)
    store.write(PLACE, LAYOUT, 0, [])
    store.write(PLACE, LAYOUT, 1, [batch(["a"])])
    assert store.done(PLACE) == {0: 0, 1: 1}
    store.complete(PLACE, LAYOUT, STAMP)
    assert whole(store) == ["a"]


def test_entities_are_looked_up_by_the_thousand(store: Store) -> None:
    store.begin(PLACE, LAYOUT)
    names = [f"user-{i}" for i in range(1_500)]
    store.write(PLACE, LAYOUT, 0, [batch(names)])
    store.complete(PLACE, LAYOUT, STAMP)
    if isinstance(store, ParquetStore):
        with pytest.raises(Conflict, match="output: sql"):
            store.find(PLACE, names)
        return
    found = store.find(PLACE, [*names, "nobody", "'; DROP TABLE rows"])
    assert len(found) == 1_500
    assert found["user-3"]["nights"] == 3
    assert found["user-3"]["region"] is None
    assert found["user-2"]["region"] == ""


def test_what_is_dropped_is_gone_and_another_stays(store: Store) -> None:
    other = PurePosixPath("shop/hotels/8")
    for place, stamp in ((PLACE, STAMP), (other, STAMP)):
        store.begin(place, LAYOUT)
        store.write(place, LAYOUT, 0, [batch(["a"])])
        store.complete(place, LAYOUT, stamp)
        store.complete(place, LAYOUT, stamp)  # as after a kill
        store.show(place, LAYOUT, stamp)
    store.drop(PLACE)
    store.drop(PLACE)
    with pytest.raises(NotFound):
        whole(store, PLACE)
    assert whole(store, other) == ["a"]
    assert store.done(PLACE) == {}


def test_a_list_that_is_shorter_than_its_columns_comes_back_short(store: Store) -> None:
    store.begin(PLACE, LIST)
    items = np.array([["x", "y"], ["z", ""]], dtype=object)
    scores = np.array([[0.5, 0.25], [0.125, np.nan]])
    rows = record_batch(LIST, pa.array(["a", "b"]), {"items": items, "scores": scores}, {})
    assert rows.column(2).null_count == 1
    assert rows.column(4).null_count == 1
    store.write(PLACE, LIST, 0, [rows])
    store.complete(PLACE, LIST, STAMP)
    [read] = store.read(PLACE, LIST, columns_of(LIST, LIST.values), 10)
    got = answered(LIST, read, LIST.values)
    assert got.columns["items"].tolist() == items.tolist()
    np.testing.assert_array_equal(got.columns["scores"], scores)


def test_a_person_finds_versions_and_times_in_sqlite(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path)
    store.begin(PLACE, LAYOUT)
    store.write(PLACE, LAYOUT, 0, [batch(["a"])])
    store.complete(PLACE, LAYOUT, STAMP)
    store.show(PLACE, LAYOUT, STAMP)
    db = sqlite3.connect(tmp_path / "shop" / "hotels" / "predictions.db")
    db.row_factory = sqlite3.Row
    row = dict(db.execute("SELECT * FROM predictions WHERE entity = 'a'").fetchone())
    db.close()
    assert row["version"] == "big 1.2"
    assert row["computed_at"] == "1970-01-01T00:16:40+00:00"
    assert row["generation"] == 7


def test_a_person_finds_the_newest_in_postgresql(request: pytest.FixtureRequest) -> None:
    engine = create_engine(request.getfixturevalue("cluster").database())
    store, other = PostgresStore(engine), PurePosixPath("shop/hotels/8")
    for place, name in ((PLACE, "old"), (other, "new")):
        store.begin(place, LAYOUT)
        store.write(place, LAYOUT, 0, [batch([name])])
        store.complete(place, LAYOUT, STAMP)
        store.show(place, LAYOUT, STAMP)
    store.drop(PLACE)
    with engine.connect() as db:
        rows = db.execute(text('SELECT entity, version FROM predictions."shop/hotels"')).all()
    engine.dispose()
    assert rows == [("new", "big 1.2")]
    assert len(shown_name("m" * 64, "j" * 64)) == 63
