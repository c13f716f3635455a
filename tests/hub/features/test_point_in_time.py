"""The join as of a moment: equal to the reference in pandas, to the byte."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_hub.errors import HubFault, Invalid
from cloud_hub.features.declaration import Feature, FeatureSet
from cloud_hub.features.intake import taken
from cloud_hub.features.joining import join
from cloud_hub.features.point_in_time import NONE, EntityTimes, newest_before
from cloud_hub.features.row_files import write_parquet
from cloud_hub.features.set_history import SetHistory

NOW = 2_000_000_000.0
DECLARED = FeatureSet(
    "orders", "user", (
        Feature("amount", "float32", 0.5), Feature("mean", "float64"), Feature("count", "int64", 7),
        Feature("city", "string", "nowhere"), Feature("vip", "bool", False),
    ), "shop@example.com", freshness_seconds=5.0, time="at",
)  # fmt: skip


def history_of(folder: Path, parts: list[pd.DataFrame]) -> SetHistory:
    files = []
    for i, part in enumerate(parts):
        table = taken(pa.Table.from_pandas(part, preserve_index=False), DECLARED, now=NOW)
        files.append(folder / f"{i}.parquet")
        write_parquet(table, files[-1])
    return SetHistory(DECLARED, 1, tuple(files))


def random_rows(count: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "user": [f"u{n}" for n in rng.integers(0, 40, count)],
            "at": rng.integers(1_000, 1_200, count),
            "amount": rng.normal(size=count).astype("float32"),
            "mean": rng.normal(size=count),
            "count": rng.integers(-5, 5, count),
            "city": rng.choice(["Oslo", "Łódź", ""], count),
            "vip": rng.random(count) < 0.5,
        }
    )
    frame.loc[rng.random(count) < 0.1, "mean"] = np.nan
    return frame.drop_duplicates(["user", "at"])


def reference(parts: list[pd.DataFrame], labels: pd.DataFrame) -> pd.DataFrame:
    """What pandas makes of it; what came later corrects what came first."""
    history = pd.concat(parts).drop_duplicates(["user", "at"], keep="last").sort_values("at")
    history = history.assign(known=True)
    asked = labels.assign(row=range(len(labels))).sort_values("at", kind="stable")
    merged = pd.merge_asof(asked, history, on="at", by="user").sort_values("row")
    unknown = merged["known"].isna()
    for feature in DECLARED.features:
        if feature.default is not None:
            merged.loc[unknown, feature.name] = feature.default
    return merged


def test_it_gives_the_bytes_of_the_reference(tmp_path: Path) -> None:
    parts = [random_rows(500, seed) for seed in range(3)]
    rng = np.random.default_rng(9)
    labels = pd.DataFrame(
        {
            "user": [f"u{n}" for n in rng.integers(0, 45, 2_000)],
            "at": rng.integers(990, 1_210, 2_000),
            "label": rng.integers(0, 2, 2_000),
        }
    )
    history = history_of(tmp_path, parts)
    done = join(pa.Table.from_pandas(labels, preserve_index=False), [history], "at")
    expected = reference(parts, labels)
    assert done.table.column_names == ["user", "at", "label", *DECLARED.names]
    for name, dtype in DECLARED.dtypes.items():
        got = done.table[name].to_pandas().to_numpy()
        if dtype == "string":
            assert got.tolist() == expected[name].tolist()
        else:
            assert got.astype(dtype).tobytes() == expected[name].to_numpy(dtype).tobytes()
    (covered,) = done.coverage
    assert covered.defaulted == int(expected["known"].isna().sum()) > 0
    assert 0 < covered.stale < covered.rows


def test_a_row_is_seen_at_its_moment_and_not_a_nanosecond_earlier(tmp_path: Path) -> None:
    moment = pd.Timestamp("2026-11-27T08:00:00.000000100", tz="UTC")
    row = {"user": "a", "at": moment, "amount": 1.0, "mean": 1.0, "count": 1, "city": "x"}
    history = history_of(tmp_path, [pd.DataFrame([row | {"vip": True}])])
    one = pd.Timedelta(nanoseconds=1)
    late = moment.ceil("us")
    for at, expected in ((moment - one, 7), (late - one, 7), (late, 1)):
        labels = pa.Table.from_pandas(pd.DataFrame({"user": ["a"], "at": [at]}))
        assert join(labels, [history], "at").table["count"].to_pylist() == [expected]


def test_zones_and_seconds_are_one_moment(tmp_path: Path) -> None:
    row = random_rows(1, 1).assign(user="a", at=1_000_000)
    history = history_of(tmp_path, [row])
    moments = [
        pa.array([1_000_000]),
        pa.array([1_000_000.0]),
        pa.array(["1970-01-12T13:46:40"]),
        pa.array([pd.Timestamp("1970-01-12T15:46:40+02:00")]),
    ]
    for moment in moments:
        done = join(pa.table({"user": ["a"], "at": moment}), [history], "at", ages=True)
        assert done.table["orders@age"].to_pylist() == [0.0]


def test_a_delay_holds_back_what_serving_did_not_have_yet(tmp_path: Path) -> None:
    from dataclasses import replace

    history = history_of(tmp_path, [random_rows(1, 1).assign(user="a", at=1_000)])
    late = replace(history, declared=replace(DECLARED, delay_seconds=60.0))
    labels = pa.table({"user": ["a", "a"], "at": [1_059, 1_060]})
    assert join(labels, [late], "at").coverage[0].defaulted == 1


def test_a_newer_feature_has_its_default_in_older_rows(tmp_path: Path) -> None:
    from dataclasses import replace

    history = history_of(tmp_path, [random_rows(1, 1).assign(user="a", at=1_000)])
    wider = replace(DECLARED, features=(*DECLARED.features, Feature("new", "int8", 3)))
    labels = pa.table({"user": ["a", "b"], "at": [1_000, 1_000]})
    done = join(labels, [replace(history, declared=wider)], "at")
    assert done.table["new"].to_pylist() == [3, 3]


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        ({"user": ["a"], "when": [1]}, "at: expected this column of moments"),
        ({"usr": ["a"], "at": [1]}, "user: expected this column of entities; did you mean"),
        ({"user": ["a"], "at": [1.6e12]}, "milliseconds are no seconds"),
        ({"user": ["a"], "at": [None]}, "at: expected a moment in every row, 1 have none"),
        ({"user": ["a"], "at": ["soon"]}, "at: expected moments such as"),
        ({"user": [1.5], "at": [1]}, "user: expected entities as texts or whole numbers"),
        ({"user": [""], "at": [1]}, "user: expected an entity in every row"),
        ({"user": ["a"], "at": [1], "city": ["x"]}, "stand in the labels or another set already"),
    ],
)
def test_labels_that_cannot_be_joined_are_refused(
    tmp_path: Path, labels: dict[str, list[object]], reason: str
) -> None:
    with pytest.raises(Invalid, match=reason):
        join(pa.table(labels), [history_of(tmp_path, [random_rows(5, 1)])], "at")


def test_a_damaged_file_of_history_is_told(tmp_path: Path) -> None:
    history = history_of(tmp_path, [random_rows(50, 1)])
    history.files[0].write_bytes(history.files[0].read_bytes()[:200])
    with pytest.raises(HubFault, match=r"0\.parquet cannot be read"):
        join(pa.table({"user": ["a"], "at": [1]}), [history], "at")


ROWS = st.lists(st.tuples(st.sampled_from("abc"), st.integers(-3, 3)), max_size=12)


@given(history=ROWS, labels=ROWS, scale=st.sampled_from([1, 10**18]))
def test_the_index_finds_what_a_loop_finds(
    history: list[tuple[str, int]], labels: list[tuple[str, int]], scale: int
) -> None:
    def rows(pairs: list[tuple[str, int]]) -> EntityTimes:
        times = np.array([t * scale for _, t in pairs], np.int64)
        return EntityTimes(pa.chunked_array([pa.array([e for e, _ in pairs], pa.string())]), times)

    found = newest_before(rows(history), rows(labels)).tolist()
    for (entity, at), place in zip(labels, found, strict=True):
        seen = [(t, i) for i, (e, t) in enumerate(history) if e == entity and t <= at]
        assert place == (max(seen)[1] if seen else NONE)
