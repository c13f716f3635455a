"""The join against a reference that one can see to be right: a loop over all rows, for any rows."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cloud_hub.features import set_history
from cloud_hub.features.declaration import Feature, FeatureSet
from cloud_hub.features.intake import taken
from cloud_hub.features.joining import join
from cloud_hub.features.row_files import write_parquet
from cloud_hub.features.set_history import SetHistory, uncorrected_rows

BEGIN = 1_700_000_000
FRESH = 2.0
NAN = float("nan")
FEATURES = (
    Feature("amount", "float32", 0.5), Feature("mean", "float64"), Feature("count", "int64", 7),
    Feature("city", "string", "nowhere"), Feature("street", "string"),
    Feature("vip", "bool", False),
)  # fmt: skip


class Row(NamedTuple):
    """A row of history; ``at`` in nanoseconds after BEGIN."""

    entity: str
    at: int
    amount: float | None
    mean: float | None
    count: int | None
    city: str | None
    street: str | None
    vip: bool | None


FIRST = Row("a", 0, 1.0, 1.0, 1, "Oslo", "", True)
NUMBERS = st.none() | st.sampled_from([0.0, -0.0, NAN, 0.1, -1e30])
TEXTS = st.none() | st.sampled_from(["", "Oslo", "Łódź", "a\0"])
# Few moments and few entities, so that they meet; nanoseconds around whole microseconds.
MOMENTS = st.builds(
    lambda seconds, nanos: seconds * 10**9 + nanos,
    st.integers(0, 3),
    st.sampled_from([0, 1, 1_000]),
)
ENTITIES = st.sampled_from(["a", "é"])
FILES = st.lists(
    st.lists(
        st.builds(
            Row, ENTITIES, MOMENTS, NUMBERS, NUMBERS, st.none() | st.sampled_from([0, 2**53 + 1]),
            TEXTS, TEXTS, st.none() | st.booleans(),
        ),
        min_size=1, max_size=8, unique_by=lambda row: (row.entity, up(row.at)),
    ),
    max_size=4,
)  # fmt: skip
LABELS = st.lists(st.tuples(ENTITIES, MOMENTS), max_size=8)


def up(nanos: int) -> int:
    """Microseconds, not earlier."""
    return -(-nanos // 1_000)


def reference(
    files: list[list[Row]], entity: str, at: int, delay: float
) -> tuple[dict[str, Any], Fraction | None]:
    """What serving had of an entity: the newest row that it had by then, of equal ones the last."""
    best: tuple[int, int] | None = None
    values: dict[str, Any] = {f.name: f.default for f in FEATURES} | {"street": ""}
    came = 0
    for file in files:
        for row in file:
            came += 1
            visible = up(row.at) + round(delay * 1e6) <= at // 1_000
            if row.entity == entity and visible and (best is None or (up(row.at), came) > best):
                best = (up(row.at), came)
                values = {f.name: getattr(row, f.name) for f in FEATURES}
    for name, value in values.items():
        if value is None and name in ("city", "street"):
            values[name] = ""
        if isinstance(value, float) and math.isnan(value):
            values[name] = None
    values["amount"] = as_float32(values["amount"])
    return values, None if best is None else Fraction(at // 1_000 - best[0], 10**6)


def as_float32(value: float | None) -> float | None:
    return pa.scalar(value, pa.float32()).as_py() if value is not None else None


def same(one: Any, other: Any) -> bool:
    """Equal to the sign of zero."""
    if isinstance(one, float) and isinstance(other, float):
        return one == other and math.copysign(1, one) == math.copysign(1, other)
    return bool(one == other) and type(one) is type(other)


def history_of(folder: Path, files: list[list[Row]], delay: float) -> SetHistory:
    declared = FeatureSet(
        "orders", "user", FEATURES, "me", freshness_seconds=FRESH, delay_seconds=delay
    )
    paths = []
    for i, file in enumerate(files):
        columns = list(zip(*file, strict=True))
        table = pa.table(
            {
                "user": pa.array(columns[0], pa.string()),
                "event_timestamp": pa.array(
                    [BEGIN * 10**9 + at for at in columns[1]], pa.timestamp("ns", "Asia/Kolkata")
                ),
                "amount": pa.array(columns[2], pa.float32()),
                "mean": pa.array(columns[3], pa.float64()),
                "count": pa.array(columns[4], pa.int64()),
                "city": pa.array(columns[5], pa.string()).dictionary_encode(),
                "street": pa.array(columns[6], pa.string()),
                "vip": pa.array(columns[7], pa.bool_()),
            }
        )
        paths.append(folder / f"{i}.parquet")
        write_parquet(taken(table, declared, now=BEGIN + 100.0), paths[-1])
    return SetHistory(declared, 1, tuple(paths))


@given(
    files=FILES, labels=LABELS, delay=st.sampled_from([0.0, 1.0, 1e-6]),
    at_once=st.sampled_from([1, 5, 1_000]),
)  # fmt: skip
@example(files=[[FIRST], [FIRST._replace(count=2)]], labels=[("a", 0)], delay=0.0, at_once=1)
@example(files=[[FIRST], [FIRST._replace(at=-1)]], labels=[("a", 0)], delay=0.0, at_once=1)
@example(files=[[FIRST]], labels=[("a", 10**9 - 1), ("a", 10**9)], delay=1.0, at_once=1)
@settings(max_examples=150)
def test_it_gives_what_a_loop_over_all_rows_gives(
    tmp_path_factory: pytest.TempPathFactory,
    files: list[list[Row]],
    labels: list[tuple[str, int]],
    delay: float,
    at_once: int,
) -> None:
    history = history_of(tmp_path_factory.mktemp("history"), files, delay)
    moments = pa.array([BEGIN * 10**9 + at for _, at in labels], pa.timestamp("ns"))
    asked = pa.table({"user": pa.array([e for e, _ in labels], pa.string()), "time": moments})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(set_history, "ROWS_AT_ONCE", at_once)
        done = join(asked, [history], "time", ages=True)
    got = done.table.to_pylist()
    expected = [reference(files, entity, at, delay) for entity, at in labels]
    for row, (values, age) in zip(got, expected, strict=True):
        assert all(same(row[name], value) for name, value in values.items()), (row, values)
        assert row["orders@age"] == (None if age is None else float(age))
    (covered,) = done.coverage
    assert covered.rows == len(labels)
    assert covered.defaulted == sum(age is None for _, age in expected)
    assert covered.stale == sum(age is not None and age > FRESH for _, age in expected)


@given(files=FILES.filter(bool), labels=LABELS)
@settings(max_examples=50)
def test_what_is_exported_gives_the_same_joins(
    tmp_path_factory: pytest.TempPathFactory, files: list[list[Row]], labels: list[tuple[str, int]]
) -> None:
    folder = tmp_path_factory.mktemp("history")
    history = history_of(folder, files, 0.0)
    again = folder / "again.parquet"
    exported = pa.concat_tables(uncorrected_rows(history))
    write_parquet(taken(exported, history.declared, now=BEGIN + 100.0), again)
    asked = pa.table(
        {
            "user": pa.array([e for e, _ in labels], pa.string()),
            "time": pa.array([BEGIN * 10**9 + at for _, at in labels], pa.timestamp("ns")),
        }
    )
    whole = SetHistory(history.declared, 1, (again,))
    one, other = (join(asked, [each], "time", ages=True) for each in (history, whole))
    assert one == other


@pytest.mark.parametrize(
    "moments",
    [
        pa.array([1_700_000_000], pa.int64()),
        pa.array([1_700_000_000.0]),
        pa.array([datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)]),
        pa.array(["2023-11-14T22:13:20"]),
        pa.array(["2023-11-14 22:13:20.000000999"]),
        pa.array(["2023-11-14T22:13:20Z"]),
        pa.array(["2023-11-15T03:43:20+05:30"]),
        pa.array(["2023-11-14T17:13:20-0500"]),
        pa.array([datetime(2023, 11, 15, 0, 13, 20, tzinfo=timezone(timedelta(hours=2)))]),
    ],
    ids=str,
)
def test_however_a_moment_is_written_it_is_the_same_one(tmp_path: Path, moments: pa.Array) -> None:
    row = Row("a", 0, 1.0, 1.0, 1, "x", "y", True)
    labels = pa.table({"user": ["a"], "time": moments})
    done = join(labels, [history_of(tmp_path, [[row]], 0.0)], "time", ages=True)
    assert done.table["orders@age"].to_pylist() == [0.0]
