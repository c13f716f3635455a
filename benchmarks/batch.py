"""Batch predictions: into Parquet beside onnxruntime alone, into SQL beside plain ``executemany``.

Invariants:

* Turns alternate within a round, so that each ratio is of one moment: a few parts of the source
  computed as a job computes them, then onnxruntime alone on the very batches, which lie in memory
  and whose answers nobody keeps; some parts into SQLite, then ``executemany`` of the very rows,
  which lie in memory as tuples, into a table of the same columns in a file of its own.
* Memory is that of the worker's process over a whole job, from its source to the last sync.
* Look-ups go over HTTP to a hub in a process of its own; its rate is per second of that process's
  time, which is what one core gives.
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks import lookups
from benchmarks.models import converted, larger_perceptron, perceptron
from cloud_hub.batch import task as files
from cloud_hub.batch.answering import BATCH_ROWS, Answering
from cloud_hub.batch.computing import compute_part, computed, model_threads
from cloud_hub.batch.cores import cores
from cloud_hub.batch.sources.parts import Part, parts_of, read_part
from cloud_hub.batch.stores.opening import open_store
from cloud_hub.batch.task import BatchOutcome, BatchTask
from cloud_hub.policy.schema import BatchJob, BatchSource
from edge_sdk.bench.goals import Goal
from edge_sdk.bench.harness import FULL, Effort
from edge_sdk.bench.result import Findings, GoalRow, Timing
from edge_sdk.contract.codec import encode
from edge_sdk.model.options import RuntimeOptions
from edge_sdk.model.release import Release
from edge_sdk.model.session import Model

ROWS: Final = 10_000_000
FEW_ROWS: Final = 40_000
GROUP_ROWS: Final = 125_000
PARTS: Final = 4
"""Of a turn: several are computed at once."""

PARQUET: Final = "rows a second into Parquet, against onnxruntime alone on the same batches with"
ONE: Final = Goal(15, f"{PARQUET} one thread", 0.5, "x", True)
ALL: Final = Goal(15, f"{PARQUET} all cores", 0.5, "x", True)
SQL: Final = Goal(
    15, "rows a second into SQLite, against executemany of the same rows", 0.8, "x", True
)
MEMORY: Final = Goal(15, "memory of the worker", 600.0, "MB")
Tell = Callable[[str], None]
Output = Literal["sql", "parquet"]


@dataclass
class Seconds:
    """Seconds of each turn, and of the processor in it, by what was measured."""

    turns: dict[str, list[float]] = field(default_factory=dict)
    processor: dict[str, list[float]] = field(default_factory=dict)

    @contextlib.contextmanager
    def of(self, name: str) -> Iterator[None]:
        """Add a turn."""
        began, used = time.perf_counter(), time.process_time()
        yield
        self.turns.setdefault(name, []).append(time.perf_counter() - began)
        self.processor.setdefault(name, []).append(time.process_time() - used)

    def ratio(self, ours: str, peer: str) -> float:
        """Return how fast we are beside a peer: the median over rounds."""
        pairs = zip(self.turns[ours], self.turns[peer], strict=True)
        return float(np.median([theirs / own for own, theirs in pairs]))


def measure(folder: Path, effort: Effort, tell: Tell) -> Findings:
    """Measure a small and a larger model.

    Args:
        folder: for sources, stores and releases.
        effort: fewer rows unless it is the full one.
        tell: called with a line for each step.
    """
    folder.mkdir(parents=True, exist_ok=True)
    count = ROWS if effort is FULL else FEW_ROWS
    releases = {
        "MLP 64-32": converted(perceptron(), "mlp", folder),
        "MLP 256-128": converted(larger_perceptron(), "mlp-large", folder),
    }
    first = next(iter(releases.values()))
    tell(f"a source of {count:,} rows of 30 features")
    source = _source(folder / "source.parquet", count, first)
    found = Findings()
    for name, release in releases.items():
        found += _throughput(name, release, source, folder / "turns", effort, tell)
    tell("look-ups over HTTP")
    found += lookups.measure(folder / "hub", first, effort)
    for output in ("parquet", "sql"):
        tell(f"a whole job into {output}")
        found += _whole(output, first, source, folder / "whole", count)
    return found


def _throughput(
    name: str, release: Release, source: Path, folder: Path, effort: Effort, tell: Tell
) -> Findings:
    seconds = Seconds()
    parts = parts_of([source], 2 * GROUP_ROWS if effort is FULL else 1)
    rounds = min(len(parts) // PARTS, effort.batch_rounds)
    jobs = {output: _opened(output, release, source, folder) for output in ("parquet", "sql")}
    peers = {
        "one thread": Model.load(release, RuntimeOptions(threads=1)),
        "all cores": Model.load(release, RuntimeOptions(threads=cores())),
    }
    with contextlib.closing(_table(folder / "peer.db", jobs["sql"])) as db:
        for number in range(rounds):
            tell(f"{name}: round {number + 1} of {rounds}")
            some = parts[number * PARTS :][:PARTS]
            _into_parquet(jobs["parquet"], some, peers, seconds)
            _into_sql(jobs["sql"], some[0], db, seconds)
    shutil.rmtree(folder)
    one, all_ = (seconds.ratio("parquet", peer) for peer in peers)
    rows = sum(part.rows for part in parts[:PARTS])
    each = {"sql": parts[0].rows, "executemany": parts[0].rows}
    return Findings(
        tuple(
            _timing(f"{name}, a row of a batch job", what, each.get(what, rows), turns)
            for what, turns in seconds.turns.items()
        ),
        (
            GoalRow.of(ONE, one, name),
            GoalRow.of(ALL, all_, name),
            GoalRow.of(SQL, seconds.ratio("sql", "executemany"), name),
        ),
        {
            f"{name}: processor time into Parquet, of which the model itself takes, %": 100
            * float(np.sum(seconds.processor["one thread"]) / np.sum(seconds.processor["parquet"])),
            f"{name}: processor time into SQLite, against executemany, x": float(
                np.sum(seconds.processor["sql"]) / np.sum(seconds.processor["executemany"])
            ),
            f"{name}: rows a second into Parquet": rows / _median(seconds, "parquet"),
            f"{name}: rows a second of onnxruntime, one thread": rows
            / _median(seconds, "one thread"),
            f"{name}: rows a second into SQLite": parts[0].rows / _median(seconds, "sql"),
        },
    )


def _timing(group: str, what: str, rows: int, turns: list[float]) -> Timing:
    p50, p90, p99 = (float(q) / rows * 1e6 for q in np.percentile(turns, (50, 90, 99)))
    return Timing(group, what, p50, p90, p99, len(turns))


def _median(seconds: Seconds, name: str) -> float:
    return float(np.median(seconds.turns[name]))


@dataclass(frozen=True)
class Opened:
    """A job that is ready to compute parts."""

    task: BatchTask
    answering: Answering
    store: Any


def _into_parquet(
    job: Opened, parts: Sequence[Part], peers: dict[str, Model], seconds: Seconds
) -> None:
    with seconds.of("parquet"):
        done = computed(
            parts, job.store, lambda p: compute_part(job.task, p, job.answering, job.store)
        )
        assert len(dict(done)) == len(parts)
    columns = job.answering.wanted.columns
    feeds = [job.answering.feed(b) for p in parts for b in read_part(p, columns, BATCH_ROWS)]
    for name, model in peers.items():
        with seconds.of(name):
            for feed in feeds:
                model.run(feed)


def _into_sql(job: Opened, part: Part, db: sqlite3.Connection, seconds: Seconds) -> None:
    with seconds.of("sql"):
        compute_part(job.task, part, job.answering, job.store)
    batches = job.answering.answer(read_part(part, job.answering.wanted.columns, BATCH_ROWS))
    rows = [row for b in batches for row in zip(*(c.to_pylist() for c in b.columns), strict=True)]
    marks = ",".join("?" * len(rows[0]))
    with seconds.of("executemany"), db:
        db.executemany(f"INSERT INTO rows VALUES ({marks})", rows)


def _opened(output: Output, release: Release, source: Path, folder: Path) -> Opened:
    job = BatchJob(BatchSource(parquet=str(source)), entity="user", output=output)
    task = _task(job, release, folder)
    store = open_store(output, folder, None)
    answering = Answering(release, job, model_threads(store))
    store.begin(task.place, answering.layout)
    return Opened(task, answering, store)


def _task(job: BatchJob, release: Release, folder: Path) -> BatchTask:
    work = folder / "batch" / job.output
    work.mkdir(parents=True, exist_ok=True)
    version = f"{release.manifest.model} {release.manifest.version}"
    return BatchTask(
        1, "shop", job.output, job, 0.0, version, str(release.folder), str(folder), str(work)
    )


def _table(path: Path, job: Opened) -> sqlite3.Connection:
    """Return a new file whose table ``rows`` is as the job's, with SQLite's own settings."""
    ours = sqlite3.connect(job.store.path(job.task.place))
    [declared] = ours.execute("SELECT sql FROM sqlite_master WHERE name = 'rows'").fetchone()
    ours.close()
    db = sqlite3.connect(path)
    db.execute(declared)
    db.commit()
    return db


def _whole(output: Output, release: Release, source: Path, folder: Path, count: int) -> Findings:
    job = BatchJob(BatchSource(parquet=str(source)), entity="user", output=output)
    task = replace(_task(job, release, folder), name=output)
    began = time.perf_counter()
    command = [sys.executable, "-m", "cloud_hub.batch.worker"]
    subprocess.run(command, input=encode(task), check=True)
    took = time.perf_counter() - began
    outcome = files.load(Path(task.work), BatchOutcome)
    assert outcome is not None, "the worker ended without a word"
    assert (outcome.status, outcome.rows) == ("whole", count), outcome.reason
    shutil.rmtree(folder)
    where = f"a job of {count:,} rows into {output}"
    facts = {f"seconds of {where}": took, f"rows a second of {where}": count / took}
    return Findings((), (GoalRow.of(MEMORY, outcome.peak_mb, where),), facts)


def _source(path: Path, count: int, release: Release) -> Path:
    """Write entities in no order, with the columns of a release."""
    random = np.random.default_rng(0)
    names = [column.name for column in release.manifest.signature.columns]
    size = min(GROUP_ROWS, count // 8)
    writer: pq.ParquetWriter | None = None
    for start in range(0, count, size):
        number = np.arange(start, min(start + size, count))
        columns = {n: random.normal(size=len(number)).astype(np.float32) for n in names}
        users = [f"user-{i}" for i in (number * 7_919 % count).tolist()]
        table = pa.table({"user": users, **columns})
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
    assert writer is not None
    writer.close()
    return path
