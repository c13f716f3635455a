"""What devices get of sets, and from which files: corrected, delayed, forgotten, of others."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from cloud_hub.errors import Invalid, NotFound
from cloud_hub.features.row_files import read_rows
from cloud_hub.features.snapshot import read_snapshot
from cloud_hub.features.table import FeatureTable
from cloud_hub.features.training import TrainingFeatures
from cloud_hub.hub import Hub
from tests.edge.builders import make_release
from tests.hub.features.shop import TEXT, keep, rows, rows_at, served, take


def test_a_hub_that_was_killed_between_values_and_plan_gives_them_again(shop: Hub) -> None:
    take(shop, rows(("a", 600, 1.0, 2.0)))
    keep(shop, rows(("a", 60, 3.0, 4.0)), time.time())
    giving, made_of = shop.feature_sets.giving, shop.feature_sets.giving.made_of("demo")
    newer = FeatureTable(("a",), {"f0": (3.0,), "f2": (4.0,)}, {"f0": -1, "f2": 0.25})
    # What give() does first; then the hub is gone.
    shop.features._store.write(
        "demo", newer, now=time.time(), expires=None, replace=True, made_of=made_of
    )
    given = giving.given("demo", time.time())
    assert given is not None
    assert not given.is_newest
    shop.feature_sets.tick(time.time())
    assert served(shop, "a") == {"f0": 3.0, "f2": 4.0}
    given = giving.given("demo", time.time())
    assert given is not None
    assert given.is_newest


def test_a_version_that_is_promoted_later_is_noted_to_serve_the_set(
    shop: Hub, tmp_path: Path
) -> None:
    take(shop, rows(("a", 600, 1.0, 2.0)))
    shop.registry.publish(make_release(tmp_path / "next", version="1.1", seed=3), actor="test")
    shop.plans.promote("demo", "1.1", actor="test", reason="good")
    shop.feature_sets.tick(time.time())
    uses = shop.feature_sets.status("user_orders").uses
    assert [(use.version, use.kind) for use in uses] == [("1.0", "served"), ("1.1", "served")]


def test_what_is_forgotten_in_one_set_is_forgotten_on_devices(shop: Hub) -> None:
    other = TEXT.replace("user_orders", "user_visits").replace("f0", "f1").replace("f2", "f3")
    shop.feature_sets.apply(other + "history: 1d\n", actor="test")
    take(shop, rows(("a", 600, 1.0, 2.0)))
    visits = rows(("a", 80_000, 7.0, 8.0)).rename_columns(
        ["user_id", "event_timestamp", "f1", "f3"]
    )
    shop.feature_sets.take("user_visits", visits, actor="test", source="test")
    newer = rows(("b", 60, 7.0, 8.0)).rename_columns(visits.column_names)
    shop.feature_sets.take("user_visits", newer, actor="test", source="test")
    assert served(shop, "a")["f1"] == 7.0
    tomorrow = time.time() + 20_000
    shop.feature_sets.tick(tomorrow)
    assert served(shop, "a")["f1"] == -1.0
    report = shop.skew.measure("demo", tomorrow)
    assert [f.different for f in report.features] == [0] * 4


def test_rows_with_a_delay_reach_devices_when_it_is_over(shop: Hub) -> None:
    shop.feature_sets.apply(TEXT + "delay: 10m\n", actor="test")
    now = time.time()
    assert take(shop, rows(("a", 500, 1.0, 2.0), ("b", 300, 3.0, 4.0))).warnings == ()
    shop.feature_sets.tick(now)
    with pytest.raises(NotFound):
        shop.features.status("demo")
    shop.feature_sets.tick(now + 101)
    assert served(shop, "a") == {"f0": 1.0, "f2": 2.0}
    assert served(shop, "b") == {"f0": -1.0, "f2": 0.25}
    shop.feature_sets.tick(now + 301)
    assert served(shop, "b") == {"f0": 3.0, "f2": 4.0}


def test_the_file_of_another_store_is_taken_as_it_is(shop: Hub, tmp_path: Path) -> None:
    """With the index of pandas, and rows of one moment of which the one written last counts."""
    shop.feature_sets.apply(TEXT + "created: created\n", actor="test")
    at = pd.Timestamp.now("UTC").floor("h") - pd.Timedelta(hours=1)
    frame = pd.DataFrame(
        {
            "event_timestamp": [at, at, at],
            "user_id": pd.Categorical(["a", "b", "a"]),
            "f0": [1.0, 2.0, 3.0],
            "f2": [0.0, 0.0, 0.0],
            "created": [at + pd.Timedelta(minutes=m) for m in (9, 1, 4)],
        },
        index=[5, 6, 9],
    )
    frame.to_parquet(tmp_path / "stats.parquet")
    assert take(shop, read_rows(tmp_path / "stats.parquet", "stats")).rows == 2
    assert served(shop, "a")["f0"] == 1.0
    twice = pa.Table.from_pandas(frame.assign(created=at), preserve_index=False)
    with pytest.raises(Invalid, match="1 came again, 'a' among them"):
        take(shop, twice)


def test_corrected_rows_are_exported_once(shop: Hub, tmp_path: Path) -> None:
    now = time.time()
    take(shop, rows_at(now, ("a", 600, 1.0, 2.0), ("b", 60, 3.0, 4.0)))
    take(shop, rows_at(now, ("a", 600, 9.0, 2.0)))
    shop.feature_sets.export("user_orders", tmp_path / "all.parquet")
    table = read_rows(tmp_path / "all.parquet", "all.parquet")
    assert sorted(table["f0"].to_pylist()) == [3.0, 9.0]
    assert take(shop, table).new
    assert served(shop, "a")["f0"] == 9.0


def test_names_in_csv_are_texts(shop: Hub, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(f"user_id,event_timestamp,f0,f2\n8,{time.time() - 60},1,2\n12,1,5,6.5\n")
    take(shop, read_rows(path, "rows.csv", shop.feature_sets.named("user_orders").declared.texts))
    assert served(shop, "8") == {"f0": 1.0, "f2": 2.0}
    path.write_text(f"user_id,event_timestamp,f0,f2\n007,{time.time() - 60},3,4\n")
    take(shop, read_rows(path, "rows.csv", ["user_id"]))
    assert served(shop, "007") == {"f0": 3.0, "f2": 4.0}
    assert served(shop, "7") == {"f0": -1.0, "f2": 0.25}


def test_labels_keep_their_index_in_a_training(shop: Hub, tmp_path: Path) -> None:
    take(shop, rows(("a", 600, 1.0, 2.0)))
    shop.feature_sets.write_snapshot("demo", tmp_path, time.time())
    store = TrainingFeatures(read_snapshot(tmp_path))
    labels = pd.DataFrame({"user_id": ["b", "a"], "time": [time.time()] * 2}, index=[7, 3])
    assert store.features(labels, as_of="time")["f0"].to_dict() == {7: -1.0, 3: 1.0}
    with pytest.raises(Invalid, match="counts two minutes as one moment"):
        store.features(labels.astype({"time": "float32"}), as_of="time")


def test_rows_that_many_bring_at_once_are_all_kept_and_given(shop: Hub) -> None:
    failed: list[Exception] = []

    def bring(number: int) -> None:
        try:
            take(shop, rows((f"user-{number}", 60, float(number), 2.0), ("all", number, 1.0, 2.0)))
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=bring, args=(number,)) for number in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    now = time.time()
    shop.feature_sets.tick(now)
    assert shop.feature_sets.status("user_orders").rows == 16
    assert [served(shop, f"user-{number}")["f0"] for number in range(1, 9)] == list(range(1, 9))
    report = shop.skew.measure("demo", now)
    assert (report.settled, [f.different for f in report.features]) == (True, [0, 0])
