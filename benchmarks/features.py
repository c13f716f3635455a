"""The join of labels with features as of their moments, beside ``pandas.merge_asof``.

Both begin with the same files and end with a table in memory; each takes its turn in every round.
The bytes of every column are compared: a join that is quick and wrong is none.
"""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cloud_hub.features.declaration import Feature, FeatureSet
from cloud_hub.features.intake import taken
from cloud_hub.features.joining import SetHistory, join
from cloud_hub.features.row_files import write_parquet
from edge_sdk.bench.goals import Goal
from edge_sdk.bench.harness import FULL, Effort
from edge_sdk.bench.result import Findings, GoalRow

LABELS: Final = 1_000_000
ENTITIES: Final = 100_000
FEATURES: Final = 20
FILES: Final = 10
BEGIN: Final = 1_700_000_000
DAY: Final = 86_400
NAMES: Final = tuple(f"f{i}" for i in range(FEATURES))
SECONDS: Final = Goal(15, "labels joined with 20 features as of their moments", 20.0, "s")
SAME: Final = Goal(15, "columns that are equal to pandas' to the byte", float(FEATURES), "", True)
Tell = Callable[[str], None]

DECLARED: Final = FeatureSet(
    "benchmark", "user", tuple(Feature(name, "float32") for name in NAMES), "benchmarks",
    freshness_seconds=DAY, time="at",
)  # fmt: skip


def measure(folder: Path, effort: Effort, tell: Tell) -> Findings:
    """Measure the join; ``folder`` is for files, about 100 MB."""
    folder.mkdir(parents=True, exist_ok=True)
    share = 1 if effort is FULL else 100
    tell(f"making {FILES} files of history of {ENTITIES // share:,} entities")
    history, labels = _history(folder, ENTITIES // share), folder / "labels.parquet"
    write_parquet(_labels(ENTITIES // share, LABELS // share), labels)
    ours: list[float] = []
    theirs: list[float] = []
    peak = 0
    for number in range(3 if effort is FULL else 1):
        tell(f"round {number + 1}")
        joined = _timed(lambda: join(pq.read_table(labels), [history], "at").table, ours)
        # Before pandas has its turn, which takes more.
        peak = peak or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        merged = _timed(lambda: reference(history, labels), theirs)
    equal = sum(_bytes(joined[n].to_pandas()) == _bytes(merged[n]) for n in NAMES)
    mine, pandas = statistics.median(ours), statistics.median(theirs)
    return Findings(
        (),
        (GoalRow.of(SECONDS, mine), GoalRow.of(SAME, float(equal))),
        {
            "labels": LABELS // share,
            "rows of history": FILES * (ENTITIES // share),
            "pandas.merge_asof, s": round(pandas, 2),
            "against pandas, x": round(mine / pandas, 2),
            "peak memory of the join, MB": peak,
        },
    )


def reference(history: SetHistory, labels: Path) -> Any:
    """Return what pandas makes of the same files."""
    import pandas as pd

    rows = pd.concat([pd.read_parquet(file) for file in history.files])
    rows = rows.rename(columns={"@entity": "user", "@time": "at"})
    asked = pd.read_parquet(labels)
    asked["row"] = np.arange(len(asked))
    asked, rows = (each.sort_values("at", kind="stable") for each in (asked, rows))
    return pd.merge_asof(asked, rows, on="at", by="user").sort_values("row")


def _timed(work: Callable[[], Any], seconds: list[float]) -> Any:
    began = time.perf_counter()
    done = work()
    seconds.append(time.perf_counter() - began)
    return done


def _bytes(column: Any) -> bytes:
    return bytes(column.to_numpy().astype("float32").tobytes())


def _history(folder: Path, entities: int) -> SetHistory:
    rng = np.random.default_rng(0)
    names = np.array([f"user-{i}" for i in range(entities)])
    files = []
    for i in range(FILES):
        seconds = BEGIN + i * DAY + rng.integers(0, DAY, entities)
        values = {name: rng.normal(size=entities).astype("float32") for name in NAMES}
        rows = pa.table({"user": names, "at": seconds, **values})
        files.append(folder / f"{i}.parquet")
        write_parquet(taken(rows, DECLARED, now=time.time()), files[-1])
    return SetHistory(DECLARED, "benchmark@1", tuple(files))


def _labels(entities: int, count: int) -> pa.Table:
    rng = np.random.default_rng(1)
    # Some entities are unknown, and some labels are of before the first row.
    users = np.array([f"user-{i}" for i in range(entities + entities // 20)])
    at = (BEGIN + rng.integers(-DAY, FILES * DAY, count)) * 1_000_000
    moments = pa.array(at).cast(pa.timestamp("us", "UTC"))
    return pa.table({"user": users[rng.integers(0, len(users), count)], "at": moments})
