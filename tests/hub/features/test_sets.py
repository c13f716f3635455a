"""Sets at a hub: filled, given to devices, joined with labels, compared, forgotten."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from cloud_hub.errors import Conflict, HubFault, Invalid, NotFound
from cloud_hub.features.row_files import read_rows
from cloud_hub.features.snapshot import read_snapshot
from cloud_hub.features.training import TrainingFeatures
from cloud_hub.hub import Hub
from tests.edge.builders import make_release
from tests.hub.features.shop import TEXT, keep, on_device, rows, take


def test_devices_get_the_newest_rows_with_their_age(shop: Hub) -> None:
    take(shop, rows(("a", 7_200, 1.0, 2.0), ("b", 60, 3.0, 4.0)))
    take(shop, rows(("b", 30, 5.0, 6.0), ("b", 90, 9.0, 9.0)))
    now = time.time()
    with on_device(shop) as features:
        fresh, old = features.stored("b", now), features.stored("a", now)
        assert (fresh.row, fresh.stale) == ({"f0": 5.0, "f2": 6.0}, False)
        assert (old.row, old.stale) == ({"f0": 1.0, "f2": 2.0}, True)
        assert old.age == pytest.approx(7_200, abs=30)
        unknown = features.stored("stranger", now)
        assert (unknown.row, unknown.is_stored) == ({"f0": -1.0, "f2": 0.25}, False)
        assert (unknown.age, unknown.stale) == (None, False)


def test_the_same_rows_twice_count_once(shop: Hub) -> None:
    table = rows(("a", 600, 1.0, 2.0))
    assert take(shop, table).new
    assert not take(shop, table).new
    assert shop.feature_sets.status("user_orders").rows == 1


def test_rows_that_are_refused_leave_what_was_there(shop: Hub) -> None:
    take(shop, rows(("a", 600, 1.0, 2.0)))
    before = shop.plans.current("demo")
    with pytest.raises(Invalid, match="came again"):
        take(shop, pa.concat_tables([rows(("a", 5, 1.0, 2.0))] * 2))
    assert shop.plans.current("demo") == before
    assert shop.feature_sets.status("user_orders").rows == 1


def test_a_hub_that_was_killed_before_it_gave_rows_out_does_so_at_its_next_tick(shop: Hub) -> None:
    keep(shop, rows(("a", 600, 1.0, 2.0)), time.time())
    shop.feature_sets.tick(time.time())
    with on_device(shop) as features:
        assert features.join("a", {})[0] == {"f0": 1.0, "f2": 2.0}
    before = shop.plans.current("demo")
    shop.feature_sets.tick(time.time())
    assert shop.plans.current("demo") == before


def test_values_wait_for_the_first_version_that_serves(inner: Hub, tmp_path: Path) -> None:
    inner.feature_sets.apply(TEXT, actor="test")
    assert take(inner, rows(("a", 600, 1.0, 2.0))).warnings == ()
    inner.registry.publish(make_release(tmp_path / "made"), actor="test")
    inner.plans.promote("demo", "1.0", actor="test", reason="first")
    with on_device(inner) as features:
        assert features.join("a", {})[0] == {"f0": 1.0, "f2": 2.0}


def test_labels_get_the_values_of_their_moment(shop: Hub) -> None:
    take(shop, rows(("a", 600, 1.0, 2.0), ("a", 60, 3.0, 4.0)))
    now = time.time()
    labels = pa.table({"user_id": ["a", "a", "a"], "time": [now - 700, now - 300, now]})
    done = shop.feature_sets.join(labels, "time")
    assert done.table["f0"].to_pylist() == [-1.0, 1.0, 3.0]
    assert done.coverage[0].defaulted == 1
    assert done.table.schema.metadata[b"features"].startswith(b"user_orders@1:")
    with pytest.raises(NotFound, match="no such set of features; did you mean"):
        shop.feature_sets.join(labels, "time", ["user_order"])
    with pytest.raises(NotFound, match="no set has one of the columns"):
        shop.feature_sets.join(labels.select(["time"]), "time")


def test_a_training_joins_what_was_there_when_its_run_began(shop: Hub, tmp_path: Path) -> None:
    take(shop, rows(("a", 600, 1.0, 2.0)))
    began = time.time()
    shop.feature_sets.write_snapshot("demo", tmp_path, began)
    take(shop, rows(("a", 500, 9.0, 9.0)))
    store = TrainingFeatures(read_snapshot(tmp_path))
    joined = store.features(
        pd.DataFrame({"user_id": ["a", "b"], "time": [began] * 2}), as_of="time"
    )
    assert joined["f0"].tolist() == [1.0, -1.0]
    assert store.joined == {"user_orders@1"}
    with pytest.raises(NotFound, match="this model has the sets"):
        store.features({"user_id": ["a"], "time": [began]}, as_of="time", sets=["user"])
    shop.feature_sets.note_trained("demo", "1.1", tmp_path, ["user_orders@1", "made_up@7"])
    uses = shop.feature_sets.status("user_orders").uses
    assert [(use.version, use.kind) for use in uses] == [("1.0", "served"), ("1.1", "trained")]


def test_a_changed_declaration_is_the_next_version_and_may_not_change_a_type(shop: Hub) -> None:
    assert shop.feature_sets.apply(TEXT, actor="test").version == 1
    longer = TEXT.replace("1h", "2h")
    assert shop.feature_sets.apply(longer, actor="test").ref == "user_orders@2"
    with pytest.raises(Conflict, match="f0 is float32 in the rows"):
        shop.feature_sets.apply(TEXT.replace("float32, default: -1", "int64"), actor="test")


def test_rows_that_are_older_than_the_set_keeps_are_forgotten_but_not_the_newest(shop: Hub) -> None:
    shop.feature_sets.apply(TEXT + "history: 1d\n", actor="test")
    for ago in (300_000, 200_000, 150_000):
        take(shop, rows(("a", ago, 1.0, 2.0)))
    shop.feature_sets.tick(time.time())
    assert shop.feature_sets.status("user_orders").rows == 1


def test_a_query_makes_rows_for_now_and_for_earlier_moments(shop: Hub, tmp_path: Path) -> None:
    path = tmp_path / "orders.db"
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE orders (user TEXT, amount REAL, at REAL)")
        now = time.time()
        orders = [("a", 2.0, now - 9_000), ("a", 3.0, now - 10), ("b", 4.0, now - 10)]
        db.executemany("INSERT INTO orders VALUES (?, ?, ?)", orders)
    query = "SELECT user AS user_id, sum(amount) AS f0, 1.0 * count(*) AS f2 FROM orders"
    source = (
        f"source:\n  sql: {query} WHERE at <= :as_of GROUP BY user\n  database: sqlite:///{path}\n"
    )
    shop.feature_sets.apply(TEXT + source + "  every: 1h\n", actor="test")
    shop.feature_sets.tick(time.time())
    shop.feature_sets.wait()
    shop.feature_sets.compute("user_orders", actor="test", as_of=now - 5_000)
    labels = pa.table({"user_id": ["a", "a"], "time": [now - 4_000, time.time()]})
    assert shop.feature_sets.join(labels, "time").table["f0"].to_pylist() == [2.0, 5.0]
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute("ALTER TABLE orders RENAME COLUMN amount TO price")
    with pytest.raises(Invalid, match="the database refuses the query; no such column: amount"):
        shop.feature_sets.compute("user_orders", actor="test")


@pytest.mark.parametrize(
    ("query", "file", "reason"),
    [
        ("SELECT 1 AS x", "orders.db", "missing"),
        ("SELECT 1 AS f0, 2 AS f0", "orders.db", "expected different columns"),
        ("DELETE FROM orders", "orders.db", "refuses the query"),
        ("SELECT 1", "nothing.db", "expected an SQLite file"),
        ("SELECT * FROM audit", "hub/hub.db", "is in the hub's data"),
    ],
)
def test_a_query_that_makes_no_rows_is_refused(
    shop: Hub, tmp_path: Path, query: str, file: str, reason: str
) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "orders.db")) as db, db:
        db.execute("CREATE TABLE orders (user TEXT)")
        (shop.settings.data / "hub.db").touch()
    source = f"source:\n  sql: {query}\n  database: sqlite:///{tmp_path / file}\n"
    shop.feature_sets.apply(TEXT + source, actor="test")
    with pytest.raises(Invalid, match=reason):
        shop.feature_sets.compute("user_orders", actor="test")


def test_a_function_makes_rows_in_a_process_of_its_own(shop: Hub) -> None:
    place = "tests.hub.features.made_features"
    shop.feature_sets.apply(f"{TEXT}source:\n  python: {place}:orders\n", actor="test")
    assert shop.feature_sets.compute("user_orders", actor="test").rows == 2
    shop.feature_sets.apply(f"{TEXT}source:\n  python: {place}:broken\n", actor="test")
    with pytest.raises(Invalid, match="RuntimeError: no orders today"):
        shop.feature_sets.compute("user_orders", actor="test")
    assert shop.feature_sets.status("user_orders").rows == 2


def test_a_source_that_fails_is_told_again_and_again_but_not_asked(shop: Hub) -> None:
    broken = "source:\n  sql: SELECT 1\n  database_env: NOWHERE\n  every: 1h\n"
    shop.feature_sets.apply(TEXT + broken, actor="test")
    now = time.time()
    with contextlib.suppress(ExceptionGroup):  # it may have failed by now, or not yet
        shop.feature_sets.tick(now)
    shop.feature_sets.wait()
    with pytest.raises(ExceptionGroup, match="the hub's environment has no NOWHERE"):
        shop.feature_sets.tick(now + 1)
    shop.feature_sets.wait()


def test_a_disk_that_takes_nothing_keeps_what_was_there(
    shop: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    take(shop, rows(("a", 600, 1.0, 2.0)))
    monkeypatch.setattr("cloud_hub.storage.folder_store.os.fsync", full)
    with pytest.raises(HubFault, match="cannot be stored; No space left"):
        take(shop, rows(("a", 60, 3.0, 4.0)))
    assert shop.feature_sets.status("user_orders").rows == 1


def test_what_is_exported_can_be_imported(shop: Hub, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="has no rows yet"):
        shop.feature_sets.export("user_orders", tmp_path / "all.parquet")
    take(shop, rows(("a", 600, 1.0, 2.0), ("b", 60, 3.0, 4.0)))
    shop.feature_sets.export("user_orders", tmp_path / "all.parquet")
    table = read_rows(tmp_path / "all.parquet", "all.parquet")
    assert table.column_names == ["user_id", "event_timestamp", "f0", "f2"]
    assert not take(shop, table).new
