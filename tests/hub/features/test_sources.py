"""Queries and functions that make rows: what is taken, and in which words all else is refused."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from cloud_hub.errors import Invalid
from cloud_hub.features import sql_source
from cloud_hub.features.declaration import FeatureSource
from cloud_hub.features.sql_source import query_rows
from cloud_hub.hub import Hub
from cloud_hub.settings import WorkerSettings
from tests.hub.features.shop import TEXT, rows, served, take
from tests.postgres import Cluster
from tests.waiting import wait_for

ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT {} FROM n"


@pytest.fixture
def orders(tmp_path: Path) -> Path:
    """A database of orders, in a file whose name means something in a URL."""
    path = tmp_path / "orders?mode=rw#1 %41.db"
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("CREATE TABLE orders (user TEXT, amount REAL, vip INTEGER)")
        many = [(f"u{i}", float(i), i % 2) for i in range(1_000)]
        db.executemany("INSERT INTO orders VALUES (?, ?, ?)", many)
    return path


def ask(path: Path, sql: str, **more: Any) -> pa.Table:
    where = str(path).replace("%", "%25").replace("?", "%3F").replace("#", "%23")
    source = FeatureSource(sql=sql, database=f"sqlite:///{where}", **more)
    return query_rows(source, 1_000.0, path.parent / "hub")


def test_a_table_that_changes_while_it_is_read_gives_what_it_held(
    orders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql_source, "BATCH", 10)
    table, change = sql_source._table, "UPDATE orders SET amount = -1"

    def changed(names: list[str], batches: Any, memory_mb: int) -> pa.Table:
        def changing() -> Any:
            for batch in batches:
                with contextlib.closing(sqlite3.connect(orders)) as db, db:
                    db.execute(change)
                    db.execute("DELETE FROM orders WHERE rowid % 7 = 0")
                yield batch

        return table(names, changing(), memory_mb)

    monkeypatch.setattr(sql_source, "_table", changed)
    got = ask(orders, "SELECT user, amount FROM orders")
    assert got["amount"].to_pylist() == [float(i) for i in range(1_000)]
    assert ask(orders, "SELECT max(amount) AS most FROM orders")["most"].to_pylist() == [-1.0]


def test_a_query_that_never_ends_is_ended(orders: Path) -> None:
    with pytest.raises(Invalid, match="took longer than 0.3 s; ask for less"):
        ask(orders, ENDLESS.format("max(i) AS most"), timeout_seconds=0.3)


def test_rows_without_end_are_bounded(orders: Path) -> None:
    with pytest.raises(Invalid, match="take more than the 2 MB that are declared"):
        ask(orders, ENDLESS.format("i"), memory_mb=2)


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("DROP TABLE orders", "refuses the query"),
        ("UPDATE orders SET amount = 0 RETURNING amount", "readonly"),
        ("SELECT 1; DELETE FROM orders", "one statement at a time"),
        ("SELECT amount AS x, user AS x FROM orders", "expected different columns"),
        ("SELECT CASE rowid % 2 WHEN 0 THEN 'a' ELSE 1 END AS x FROM orders", "one type each"),
        ("SELECT :days AS x", "refuses the query"),
    ],
)
def test_a_query_that_is_none_is_refused_and_changes_nothing(
    orders: Path, sql: str, reason: str
) -> None:
    with pytest.raises(Invalid, match=reason):
        ask(orders, sql)
    assert ask(orders, "SELECT sum(amount) AS x FROM orders")["x"].to_pylist() == [499_500.0]


def test_what_databases_call_booleans_and_sums_are_features(shop: Hub) -> None:
    text = """
name: visits
entity: user
owner: me
freshness: 1h
features: [{name: vip, dtype: bool}, {name: total, dtype: float64}, {name: street, dtype: string}]
"""
    shop.feature_sets.apply(text, actor="test")
    made = {"user": pa.array(["a"]).dictionary_encode(), "total": [Decimal("0.1")]}
    table = pa.table({**made, "vip": [1], "street": pa.array([None], pa.string())})
    shop.feature_sets.take("visits", table, actor="test", source="test", at=1_000.0)
    labels = pa.table({"user": ["a"], "time": [2_000]})
    joined = shop.feature_sets.join(labels, "time", ["visits"]).table.to_pylist()
    assert joined == [{"user": "a", "time": 2_000, "vip": True, "total": 0.1, "street": ""}]
    other = table.set_column(2, "vip", pa.array([2]))
    with pytest.raises(Invalid, match="expected true or false, or 0 or 1"):
        shop.feature_sets.take("visits", other, actor="test", source="test", at=1_000.0)


def test_rows_that_were_there_already_are_not_asked_for_every_second(
    shop: Hub, orders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setenv("ORDERS", f"sqlite:///{orders.parent / 'plain.db'}")
    with contextlib.closing(sqlite3.connect(orders.parent / "plain.db")) as db, db:
        db.execute("CREATE TABLE t AS SELECT 'a' user_id, 100 event_timestamp, 1.0 f0, 2.0 f2")
    ask_, sets = shop.feature_sets.compute, shop.feature_sets
    monkeypatch.setattr(sets, "compute", lambda *a, **k: (asked.append(a), ask_(*a, **k)))
    source = "source: {sql: SELECT * FROM t, database_env: ORDERS, every: 1h}\n"
    sets.apply(TEXT + source, actor="test")
    now = time.time() + 7_200
    for at in (now, now + 1, now + 2, now + 3_601):
        sets.tick(at)
        sets.wait()
    assert len(asked) == 2
    assert sets.status("user_orders").rows == 1


def function(hub: Hub, name: str, **more: Any) -> None:
    options = "".join(f"  {key}: {value}\n" for key, value in more.items())
    place = f"tests.hub.features.made_features:{name}"
    hub.feature_sets.apply(f"{TEXT}source:\n  python: {place}\n{options}", actor="test")


@pytest.mark.parametrize(
    ("name", "more", "reason"),
    [
        ("broken", {}, "RuntimeError: no orders today"),
        ("broken_at_length", {}, "RuntimeError: 🙈🙈"),
        ("hangs", {"timeout": "3s"}, "took longer than the 3 s"),
        ("leaves", {}, "left no rows: .*status 3"),
        ("exits", {}, "SystemExit: enough"),
        ("returns_a_model", {}, "expected a DataFrame, a table or columns by name"),
        ("links", {}, r"expected a plain file of its own"),
        ("promises", {}, "expected at most .* bytes unpacked"),
        ("nowhere", {}, "AttributeError"),
    ],
)
def test_a_function_that_makes_no_rows_is_told_and_the_rows_of_before_stay(
    shop: Hub, name: str, more: dict[str, Any], reason: str
) -> None:
    take(shop, rows(("a", 600, 1.0, 2.0)))
    function(shop, name, **more)
    with pytest.raises(Invalid, match=reason):
        shop.feature_sets.compute("user_orders", actor="test")
    assert shop.feature_sets.status("user_orders").rows == 1
    assert served(shop, "a") == {"f0": 1.0, "f2": 2.0}


def test_a_function_writes_nowhere_but_in_its_folder(
    shop: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEATURES_HUB", str(shop.settings.data))
    monkeypatch.setattr(shop.workers, "settings", WorkerSettings(environment=("FEATURES_HUB",)))
    if not shop.workers.isolation.protects:
        pytest.skip(f"nothing here isolates workers: {shop.workers.isolation}")
    function(shop, "writes_elsewhere")
    shop.feature_sets.compute("user_orders", actor="test")
    assert served(shop, "a")["f0"] == 0.0
    assert not list(shop.settings.data.parent.rglob("pwned"))


def test_two_sets_that_contradict_each_other_are_not_both_declared(shop: Hub) -> None:
    text = "name: {}\nentity: user\nowner: me\nfreshness: 1h\nfeatures: [{{name: x, dtype: {}}}]\n"
    refused: list[Exception] = []

    def apply(name: str, dtype: str) -> None:
        try:
            shop.feature_sets.apply(text.format(name, dtype), actor="test")
        except Exception as error:
            refused.append(error)

    pairs = [(f"set-{i}", ("int64", "string")[i % 2]) for i in range(8)]
    threads = [threading.Thread(target=apply, args=pair) for pair in pairs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [str(each).partition(":")[0] for each in refused] == ["x"] * 4
    kinds = {
        s.declared.dtypes["x"] for s in shop.feature_sets.history.sets() if "x" in s.declared.dtypes
    }
    assert len(kinds) == 1


@pytest.mark.postgres
def test_postgresql_gives_the_same_kinds_of_rows(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sqlalchemy import create_engine, text

    url = cluster.database()
    engine = create_engine(url)
    with engine.begin() as db:
        db.execute(text("CREATE TABLE orders (u TEXT, amount BIGINT, at TIMESTAMPTZ)"))
        hurt = "CREATE FUNCTION hurt() RETURNS INT LANGUAGE SQL AS 'DELETE FROM orders; SELECT 1'"
        db.execute(text(hurt))
        db.execute(text("INSERT INTO orders VALUES ('a', 1, to_timestamp(10)), ('a', 2, now())"))
    monkeypatch.setenv("ORDERS_URL", url)

    def asked(sql: str, **more: Any) -> pa.Table:
        source = FeatureSource(sql=sql, database_env="ORDERS_URL", **more)
        return query_rows(source, 1_000.0, tmp_path)

    total = "SELECT u, sum(amount) AS f0, avg(amount) AS f1, max(at) AS at FROM orders"
    got = asked(f"{total} WHERE at <= to_timestamp(:as_of) GROUP BY u")
    assert got["f0"].to_pylist() == [Decimal(1)]
    assert got["at"].cast(pa.timestamp("s", "UTC")).cast(pa.int64()).to_pylist() == [10]
    for sql, reason in (("DELETE FROM orders", "syntax error"), ("SELECT hurt()", "read-only")):
        with pytest.raises(Invalid, match=reason):
            asked(sql)
    with pytest.raises(Invalid, match=r"took longer than 0\.5 s"):
        asked("SELECT pg_sleep(600)", timeout_seconds=0.5)
    busy = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%(600)'"
    with engine.connect() as db:
        wait_for(lambda: db.execute(text(busy)).scalar() == 0, "the end of the query")
    engine.dispose()
