"""The example beside Feast's layout gives what its file holds, as of each moment."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from examples.drivers.__main__ import DRIVERS, driver_stats, entity_df, historical_features, main


def test_it_gives_what_the_file_held_and_exports_a_file_of_the_same_layout(tmp_path: Path) -> None:
    stats, orders = driver_stats(), entity_df()
    stats.to_parquet(tmp_path / "stats.parquet")
    exported = tmp_path / "all.parquet"
    got = historical_features(tmp_path / "stats.parquet", orders, exported)
    newest = stats.sort_values("created", kind="stable")
    newest = newest.drop_duplicates(["driver_id", "event_timestamp"], keep="last")
    for row in (got.iloc[0], got.iloc[1]):
        before = newest[newest["driver_id"] == row["driver_id"]]
        before = before[before["event_timestamp"] <= row["event_timestamp"]]
        expected = before.sort_values("event_timestamp").iloc[-1]
        for name in ("conv_rate", "acc_rate", "avg_daily_trips"):
            assert row[name] == expected[name]
    assert got["conv_rate"][1] == np.float32(0.5)  # as it was written later
    assert got["conv_rate"].isna().tolist() == [False, False, True]
    assert got["label_driver_reported_satisfaction"].tolist() == [1, 5, 3]
    again = pd.read_parquet(exported)
    assert len(again) == len(newest) == len(stats) - len(DRIVERS)
    assert str(again["event_timestamp"].dtype) == "datetime64[us, UTC]"
    assert (again["conv_rate"] == np.float32(0.5)).sum() == len(DRIVERS)


def test_the_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main() == 0
    said = capsys.readouterr().out
    assert "conv_rate" in said
    assert "exported 1800 rows: driver_id, event_timestamp, conv_rate" in said
