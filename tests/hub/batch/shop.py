"""A hub with a batch job over a table of users, and its loop turned by hand."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from cloud_hub.batch.record import GenerationRecord
from cloud_hub.batch.task import BatchOutcome
from cloud_hub.batch.worker import outcome_of
from cloud_hub.hub import Hub
from tests.edge.builders import rows
from tests.waiting import PATIENCE

COLUMNS = ("f0", "f1", "f2", "f3")


def users(path: Path, count: int = 50, seed: int = 1, name: str = "user-{}") -> Path:
    """Write users as Parquet with the model's columns and a region."""
    matrix = rows(count, seed)
    table = {c: matrix[:, i] for i, c in enumerate(COLUMNS)}
    names = [name.format(i) for i in range(count)]
    regions = ["eu" if i % 2 else "us" for i in range(count)]
    new = path.with_suffix(".new")
    pq.write_table(pa.table({"user": names, "region": regions, **table}), new, row_group_size=1_000)
    new.replace(path)
    return path


def user_database(path: Path, count: int = 50, seed: int = 1) -> str:
    """Write the same as a table ``users`` of SQLite; return its URL."""
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE users (user TEXT, region TEXT, f0, f1, f2, f3, at)")
        matrix = rows(count, seed).tolist()
        table = [(f"user-{i}", "eu", *row, 100.0) for i, row in enumerate(matrix)]
        db.executemany("INSERT INTO users VALUES (?, ?, ?, ?, ?, ?, ?)", table)
    db.close()
    return f"sqlite:///{path}"


def declare(hub: Hub, text: str, model: str = "demo") -> None:
    """Put a policy in force."""
    hub.registry.set_policy(model, text, "test")


def job(source: str, more: str = "", name: str = "users") -> str:
    """Return a policy with one job."""
    return f"batch: {{{name}: {{source: {source}, entity: user{more and ', ' + more}}}}}"


def settled(hub: Hub, id_: int, now: float | None = None) -> GenerationRecord:
    """Turn the loop until a generation has ended."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        hub.batches.tick(time.time() if now is None else now)
        record = hub.batches.get(id_)
        if record.status not in ("waiting", "running"):
            return record
        time.sleep(0.02)
    raise AssertionError(f"generation {id_} did not end: {hub.batches.get(id_)}")


def computed(hub: Hub, model: str = "demo", name: str = "users") -> GenerationRecord:
    """Run a job to its end."""
    return settled(hub, hub.batches.run(model, name, actor="test").id)


def outcome_here(hub: Hub, model: str = "demo", name: str = "users") -> BatchOutcome:
    """Do in this process what a worker would do; that takes a second less."""
    record = hub.batches.run(model, name, actor="test")
    task, _ = hub.batches.task(record)
    Path(task.work).mkdir(parents=True, exist_ok=True)
    outcome = outcome_of(task)
    hub.batches.cancel(record.id, actor="test", reason="only tried")
    return outcome
