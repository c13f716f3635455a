"""The join of labels with features as of their moments, beside ``pandas.merge_asof``.

Also beside DuckDB's ``ASOF JOIN``, where that is installed (``pip install duckdb``). All begin with
the same files and end with a table in memory; each takes its turn in every round.
The bytes of every column are compared, over rows as they are: corrections of the same moment, ties
between files, missing values, texts, entities without a row, labels of before the first row, and
moments to the nanosecond in another time zone. A join that is quick and wrong is none.
"""

from __future__ import annotations

import importlib
import importlib.util
import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cloud_hub.features.declaration import Feature, FeatureSet
from cloud_hub.features.intake import taken
from cloud_hub.features.joining import AGE, join
from cloud_hub.features.point_in_time import JoinedRows
from cloud_hub.features.row_files import write_parquet
from cloud_hub.features.set_history import SetHistory
from edge_sdk.bench.goals import Goal
from edge_sdk.bench.harness import FULL, Effort
from edge_sdk.bench.result import Findings, GoalRow

LABELS: Final = 1_000_000
ENTITIES: Final = 100_000
FILES: Final = 10
BEGIN: Final = 1_700_000_000
DAY: Final = 86_400
CITIES: Final = ("Oslo", "Łódź", "São Paulo", "")
FEATURES: Final = (
    *(Feature(f"float_{i}", "float32", 0.5 if i % 2 else None) for i in range(12)),
    *(Feature(f"double_{i}", "float64", -1.5 if i % 2 else None) for i in range(2)),
    *(Feature(f"whole_{i}", "int64", 7 if i % 2 else None) for i in range(3)),
    Feature("vip", "bool", False),
    *(Feature(f"city_{i}", "string", "nowhere") for i in range(2)),
)
SECONDS: Final = Goal(15, "labels joined with 20 features as of their moments", 20.0, "s")
SAME: Final = Goal(
    15, "features that are equal to pandas' to the byte", float(len(FEATURES)), "", True
)
Tell = Callable[[str], None]

DECLARED: Final = FeatureSet(
    "benchmark", "user", FEATURES, "benchmarks", freshness_seconds=DAY, time="at"
)


def measure(folder: Path, effort: Effort, tell: Tell) -> Findings:
    """Measure the join; ``folder`` is for files, about 100 MB."""
    folder.mkdir(parents=True, exist_ok=True)
    share = 1 if effort is FULL else 100
    tell(f"making {FILES} files of history of {ENTITIES // share:,} entities")
    history, labels = _history(folder, ENTITIES // share), folder / "labels.parquet"
    write_parquet(_labels(ENTITIES // share, LABELS // share), labels)
    ours: list[float] = []
    theirs: list[float] = []
    ducks: list[float] = []
    has_duckdb = importlib.util.find_spec("duckdb") is not None
    before = peak = _peak_mb()
    for number in range(3 if effort is FULL else 1):
        tell(f"round {number + 1}")
        joined = _timed(lambda: join(pq.read_table(labels), [history], "at", ages=True), ours)
        # Before pandas has its turn, which takes more.
        peak = _peak_mb() if number == 0 else peak
        merged = _timed(lambda: reference(history, labels), theirs)
        if has_duckdb:
            found = _timed(lambda: duckdb_join(history, labels), ducks)
    equal = _equal(joined, merged)
    mine, pandas = statistics.median(ours), statistics.median(theirs)
    return Findings(
        (),
        (GoalRow.of(SECONDS, mine), GoalRow.of(SAME, float(equal))),
        {
            "labels": LABELS // share,
            "of them without a row": joined.coverage[0].defaulted,
            "of them stale": joined.coverage[0].stale,
            "rows of history": FILES * (ENTITIES // share),
            "pandas.merge_asof, s": round(pandas, 2),
            "against pandas, x": round(mine / pandas, 2),
            "memory of the process before, MB": before,
            "peak memory with the join, MB": peak,
            **(_duckdb_facts(joined, found, ducks, mine) if has_duckdb else {}),
        },
    )


def reference(history: SetHistory, labels: Path) -> Any:
    """Return what pandas makes of the same files, with the age of the rows in seconds."""
    import pandas as pd

    rows = pd.concat([pd.read_parquet(file) for file in history.files])
    rows = rows.rename(columns={"@entity": "user", "@time": "at"})
    rows = rows.assign(since=rows["at"]).sort_values("at", kind="stable")
    asked = pd.read_parquet(labels)
    asked["at"] = asked["at"].dt.tz_convert("UTC").dt.floor("us").astype("datetime64[us, UTC]")
    asked = asked.assign(row=np.arange(len(asked))).sort_values("at", kind="stable")
    merged = pd.merge_asof(asked, rows, on="at", by="user").sort_values("row")
    unknown = merged["since"].isna()
    for feature in FEATURES:
        if feature.default is not None:
            merged[feature.name] = merged[feature.name].where(~unknown, feature.default)
    merged["age"] = (merged["at"] - merged["since"]) / pd.Timedelta(seconds=1)
    return merged


ASOF: Final = """
WITH kept AS (
    SELECT * FROM read_parquet({files}, filename = true)
    QUALIFY row_number() OVER (PARTITION BY "@entity", "@time" ORDER BY filename DESC) = 1
), asked AS (
    SELECT "user", epoch_ns("at") // 1000 AS us, file_row_number AS row
    FROM read_parquet('{labels}', file_row_number = true)
)
SELECT kept.* FROM asked ASOF LEFT JOIN kept
ON asked."user" = kept."@entity" AND asked.us >= epoch_us(kept."@time") ORDER BY asked.row
"""
"""Without the first part equal moments would be anybody's."""


def duckdb_join(history: SetHistory, labels: Path) -> pa.Table:
    """Return what DuckDB makes of the same files, without defaults."""
    db = importlib.import_module("duckdb").connect()
    db.execute("SET threads = 2")
    files = [str(file) for file in history.files]
    return db.sql(ASOF.format(files=files, labels=labels)).to_arrow_table()


def _duckdb_facts(
    joined: JoinedRows, found: pa.Table, seconds: list[float], ours: float
) -> dict[str, float]:
    unknown = pc.is_null(found["@time"])
    equal = 0
    for feature in FEATURES:
        column = found[feature.name]
        if feature.default is not None:
            filler = pa.scalar(feature.filler, column.type)
            column = pc.if_else(unknown, filler, column)
        equal += _same(joined.table[feature.name], column.to_pandas())
    median = statistics.median(seconds)
    return {
        "DuckDB ASOF JOIN, s": round(median, 2),
        "against DuckDB, x": round(ours / median, 2),
        "features that are equal to DuckDB's": equal,
    }


def _equal(joined: JoinedRows, merged: Any) -> int:
    """Return how many features are the same; none if ages or what is counted differ."""
    covered, ages = joined.coverage[0], merged["age"]
    told = (covered.defaulted, covered.stale)
    if told != (int(ages.isna().sum()), int((ages > DAY).sum())):
        return 0
    if not _same(joined.table[f"{DECLARED.name}{AGE}"], ages):
        return 0
    return sum(_same(joined.table[name], merged[name]) for name in DECLARED.names)


def _same(ours: pa.ChunkedArray, theirs: Any) -> bool:
    other = pa.chunked_array([pa.array(theirs, ours.type, from_pandas=True)])
    if pa.types.is_floating(ours.type):
        # By their bytes: equal zeros may have other signs.
        return bool(ours.to_numpy().tobytes() == other.to_numpy().tobytes())
    return bool(ours.equals(other))


def _timed(work: Callable[[], Any], seconds: list[float]) -> Any:
    began = time.perf_counter()
    done = work()
    seconds.append(time.perf_counter() - began)
    return done


def _peak_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def _history(folder: Path, entities: int) -> SetHistory:
    rng = np.random.default_rng(0)
    names = np.array([f"user-{i}" for i in range(entities)])
    # On a grid of a minute, and files overlap: the same moments come up in several.
    grid = rng.integers(0, DAY // 60, entities) * 60
    files = []
    for i in range(FILES):
        seconds = BEGIN + i * DAY // 2 + rng.integers(0, DAY // 60, entities) * 60
        again = rng.random(entities) < 0.1
        seconds = np.where(again, BEGIN + grid, seconds)  # corrected in every file
        files.append(folder / f"{i}.parquet")
        rows = pa.table({"user": names, "at": seconds, **_values(rng, entities)})
        write_parquet(taken(rows, DECLARED, now=time.time()), files[-1])
    return SetHistory(DECLARED, 1, tuple(files))


def _values(rng: np.random.Generator, count: int) -> dict[str, pa.Array]:
    """Return random values of every feature, one in twenty missing; NaN is missing too."""
    made: dict[str, pa.Array] = {}
    for feature in FEATURES:
        missing = rng.random(count) < 0.05
        if feature.dtype == "string":
            texts = np.array(CITIES)[rng.integers(0, len(CITIES), count)]
            made[feature.name] = pa.array(texts, pa.string()).dictionary_encode()
        elif feature.dtype == "bool":
            made[feature.name] = pa.array(rng.random(count) < 0.5)
        elif feature.dtype == "int64":
            made[feature.name] = pa.array(rng.integers(-9, 9, count), mask=missing)
        else:
            values = rng.normal(size=count).astype(feature.dtype)
            made[feature.name] = pa.array(np.where(missing, np.nan, values).astype(feature.dtype))
    return made


def _labels(entities: int, count: int) -> pa.Table:
    rng = np.random.default_rng(1)
    # Some entities are unknown, some labels are of before the first row, some of a row's moment.
    users = np.array([f"user-{i}" for i in range(entities + entities // 20)])
    seconds = BEGIN + rng.integers(-DAY // 60, FILES * DAY // 120, count) * 60
    nanos = seconds * 10**9 + np.where(rng.random(count) < 0.5, 0, rng.integers(0, 10**9, count))
    moments = pa.array(nanos).cast(pa.timestamp("ns", "Asia/Kolkata"))
    return pa.table({"user": users[rng.integers(0, len(users), count)], "at": moments})
