"""SIGKILL of batch jobs at random moments: they go on, nothing is there by halves, nothing twice.

``python -m tests.campaigns.batch_kills --kills 200``

Four in five kills are of workers: of a job over Parquet or over a table that changes after each
kill, into SQLite or into Parquet. Parts that were whole stay; a generation is read whole or not at
all; what ends as whole has each entity once, with the answers of one state of its source. The other
kills are of a hub with a job on a schedule, with its worker or without. Whatever answers then must
be one generation, whole, and never an older one than before; in the end every generation that was
begun is whole or was dropped for a newer one, and no file is left that belongs to none.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import random
import shutil
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np

from cloud_hub.batch import task as files
from cloud_hub.batch import worker
from cloud_hub.batch.answering import Answering
from cloud_hub.batch.stores.opening import open_store
from cloud_hub.batch.task import BatchOutcome, BatchTask
from cloud_hub.errors import HubFault, NotFound
from cloud_hub.hub import initialise, open_hub
from cloud_hub.policy.schema import BatchJob, BatchSource
from cloud_hub.settings import Settings
from edge_sdk.contract.codec import encode
from edge_sdk.model.release import Release
from tests.campaigns.harness.forked import Child, in_child
from tests.edge.builders import make_release, rows, softmax
from tests.hub.batch.shop import declare, job, user_database, users
from tests.waiting import PATIENCE

COUNT: Final = 6_000
PARTS: Final = 6
Source = Literal["parquet", "query"]
Output = Literal["sql", "parquet"]
KINDS: Final[list[tuple[Source, Output]]] = [
    ("parquet", "sql"), ("parquet", "parquet"), ("query", "sql"), ("query", "parquet"),
]  # fmt: skip


@dataclass
class Tally:
    """What came of the kills.

    Attributes:
        kills: by what was killed.
        late: of these, how many came after the end.
        wholes: generations that became whole.
        broken: a sentence for everything that was wrong.
    """

    kills: Counter[str] = field(default_factory=Counter)
    late: int = 0
    wholes: int = 0
    broken: list[str] = field(default_factory=list)


class JobUnderFire:
    """One generation after the other of a job whose worker is killed.

    Args:
        folder: for everything.
        source: kind of source.
        output: kind of store.
        tally: is added to.
    """

    def __init__(self, folder: Path, source: Source, output: Output, tally: Tally) -> None:
        self.name = f"{source} into {output}"
        self._folder, self._tally = folder, tally
        self._data = folder / "data"
        self._release = str(make_release(folder / "made").folder)
        self._url = user_database(folder / "shop.db", COUNT) if source == "query" else None
        path = users(folder / "users.parquet", COUNT)
        read = (
            BatchSource(parquet=str(path))
            if self._url is None
            else BatchSource(query="SELECT * FROM users", url=self._url)
        )
        self._job = BatchJob(read, entity="user", output=output, partition_rows=COUNT // PARTS)
        self._store = open_store(output, self._data, None)
        self._number = 0
        self._task = self._next()
        self._before: dict[int, int] = {}

    def _next(self) -> BatchTask:
        self._number += 1
        work = self._data / "batch" / str(self._number)
        work.mkdir(parents=True)
        self._before = {}
        return BatchTask(
            self._number, "demo", "users", self._job, 0.0, "demo 1.0", self._release,
            str(self._data), str(work), source=self._url,
        )  # fmt: skip

    def seconds(self) -> float:
        """Compute one generation undisturbed; return what it took."""
        began = time.monotonic()
        Child(self._work).go().wait()
        took = time.monotonic() - began
        self._look()
        return took

    def kill(self, after: float) -> None:
        """Begin, or go on, and kill after so many seconds."""
        child = Child(self._work).go()
        time.sleep(after)
        ended = child.kill()
        self._tally.kills[self.name] += 1
        self._tally.late += not ended.killed
        self._look()

    def _work(self) -> int:
        sys.stdin = io.TextIOWrapper(io.BytesIO(encode(self._task)))
        return worker.main()

    def _look(self) -> None:
        """Judge what is there; begin another generation if this one has ended."""
        found = in_child(self._state)  # libraries with threads are not opened here: this one forks
        done = {int(part): count for part, count in found["done"].items()}
        if not self._before.items() <= done.items():
            self._wrong(f"parts {self._before} were whole, and now {done}")
        self._before = done
        if found["wrong"]:
            self._wrong(found["wrong"])
        self._change()
        if found["ended"]:
            self._tally.wholes += not found["wrong"]
            shutil.rmtree(self._task.work)
            self._task = self._next()

    def _change(self) -> None:
        """Change the table under a job that has been killed."""
        if self._url is None:
            return
        with contextlib.closing(sqlite3.connect(self._folder / "shop.db")) as db, db:
            db.execute("UPDATE users SET f0 = f0 + 1, f1 = f1 + 1, f2 = f2 + 1, f3 = f3 + 1")

    def _state(self) -> dict[str, Any]:
        done = self._store.done(self._task.place)
        outcome = files.load(Path(self._task.work), BatchOutcome)
        wrong = ""
        if outcome is not None and (outcome.status, outcome.rows) != ("whole", COUNT):
            wrong = f"expected {COUNT} rows, it ended with {outcome}"
        answers = self._answers()
        if outcome is None and answers is not None and sum(done.values()) != COUNT:
            wrong = f"it can be read, and only the parts {done} are whole"
        elif answers is not None:
            wrong = wrong or wrong_answers(*answers)
        elif outcome is not None:
            wrong = wrong or "it has ended and cannot be read"
        return {"done": done, "ended": outcome is not None, "wrong": wrong}

    def _answers(self) -> tuple[list[str], np.ndarray] | None:
        """Return entities and probabilities; ``None`` if they cannot be read."""
        layout = Answering(Release.open(self._release, verify=False), self._job).layout
        try:
            found = list(self._store.read(self._task.place, layout, layout.columns, COUNT))
        except (NotFound, HubFault):
            return None
        names = [name for batch in found for name in batch.column(0).to_pylist()]
        shares = [np.stack([b.column(i).to_numpy() for i in (2, 3, 4)], axis=1) for b in found]
        return names, np.concatenate([np.empty((0, 3)), *shares])

    def _wrong(self, what: str) -> None:
        kills = self._tally.kills[self.name]
        self._tally.broken.append(f"{self.name}, kill {kills}: {what}")


def wrong_answers(names: Sequence[str], shares: np.ndarray) -> str:
    """Return what is wrong with the answers to all users, of some state of their table.

    Args:
        names: of entities.
        shares: their probabilities, [N, 3].

    Returns:
        A sentence; empty if each user is there once, and all are of one state.
    """
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        return f"{twice[:3]} are there twice"
    if set(names) != {f"user-{i}" for i in range(COUNT)}:
        return f"expected {COUNT} users, got {len(names)}"
    place = np.array([int(name.partition("-")[2]) for name in names])
    for changes in range(1_000):
        expected = softmax(rows(COUNT) + np.float32(changes), 0)[place]
        if np.allclose(shares[:1], expected[:1], atol=1e-4):
            same = np.isclose(shares, expected, atol=1e-4).all(axis=1)
            return "" if same.all() else f"{int((~same).sum())} answers are of another state"
    return "the answers are of no state that there was"


class HubUnderFire:
    """A hub that computes one generation after the other, and is killed.

    Args:
        folder: for everything.
        tally: is added to.
    """

    def __init__(self, folder: Path, tally: Tally) -> None:
        self._tally = tally
        self._settings = Settings(folder / "hub", tick_seconds=0)
        self._newest = 0
        self._workers: set[int] = set()
        in_child(lambda: self._begin(folder))

    def _begin(self, folder: Path) -> None:
        initialise(self._settings)
        hub = open_hub(self._settings)
        hub.registry.publish(make_release(folder / "hub-made"), actor="campaign")
        hub.plans.promote("demo", "1.0", actor="campaign", reason="first")
        path = users(folder / "hub-users.parquet", COUNT)
        more = f"every: 0.2s, keep: 2, partition_rows: {COUNT // PARTS}"
        declare(hub, job(f"{{parquet: {path}}}", more))
        hub.close()

    def kill(self, after: float, *, worker_too: bool) -> None:
        """Turn the hub's loop and kill it after so many seconds."""
        child = Child(self._turn).go()
        time.sleep(after)
        self._workers |= _children(child.pid)
        child.kill()
        if worker_too:
            for pid in self._workers:
                _kill_worker(pid)
            self._workers.clear()
        self._tally.kills["hub and worker" if worker_too else "hub"] += 1
        self._look()

    def finish(self) -> None:
        """Let what was begun end; then everything must be accounted for."""
        found = in_child(self._finish)
        self._look()
        self._tally.wholes += found["wholes"]
        self._tally.broken += found["wrong"]

    def _turn(self) -> None:
        hub = open_hub(self._settings)
        while True:
            hub.batches.tick(time.time())
            time.sleep(0.01)

    def _look(self) -> None:
        found = in_child(self._state)
        if found["newest"] < self._newest:
            self._wrong(f"generation {self._newest} answered, and now {found['newest']}")
        self._newest = found["newest"]
        if found["wrong"]:
            self._wrong(found["wrong"])

    def _wrong(self, what: str) -> None:
        self._tally.broken.append(f"hub, kill {sum(self._tally.kills.values())}: {what}")

    def _state(self) -> dict[str, Any]:
        hub = open_hub(self._settings)
        current = hub.generations.current("demo", "users")
        if current is None:
            return {"newest": 0, "wrong": ""}
        [answers] = current.stream(["probabilities"], rows=COUNT)
        wrong = wrong_answers(answers.entities, answers.columns["probabilities"])
        link = self._settings.data / "predictions" / "demo" / "users" / "predictions.db"
        if link.exists():  # before the first is shown, a kill may leave none
            with contextlib.closing(sqlite3.connect(f"file:{link}?mode=ro", uri=True)) as db:
                seen = db.execute(
                    "SELECT count(*), count(DISTINCT entity), count(DISTINCT generation)"
                    " FROM predictions"
                ).fetchone()
            if seen != (COUNT, COUNT, 1):
                wrong = f"whoever opens the file finds {seen}"
        return {"newest": current.record.id, "wrong": wrong}

    def _finish(self) -> dict[str, Any]:
        hub = open_hub(self._settings)
        declare(hub, job("{parquet: none}", "keep: 2"))  # no more are asked for
        end = time.monotonic() + PATIENCE
        while any(r.status in ("waiting", "running") for r in hub.batches.records("demo")):
            if time.monotonic() > end:
                return {"wholes": 0, "wrong": ["a generation does not end"]}
            hub.batches.tick(time.time())
            time.sleep(0.05)
        records, data = hub.batches.records("demo", limit=1_000), self._settings.data
        bad = [r for r in records if r.status not in ("whole", "dropped")]
        wrong = [f"generation {r.id} is {r.status}: {r.reason}" for r in bad]
        wrong += [f"generation {r.id} has {r.rows} rows" for r in records if r.rows != COUNT]
        kept = {f"predictions-{r.id}.db" for r in records if r.status == "whole"}
        left = {path.name for path in (data / "predictions").rglob("predictions-*.db")}
        if left != kept:
            wrong.append(f"expected the files {sorted(kept)}, there are {sorted(left)}")
        if works := [path.name for path in (data / "batch").glob("*")]:
            wrong.append(f"the folders {works} are left of workers")
        hub.close()
        return {"wholes": sum(r.status in ("whole", "dropped") for r in records), "wrong": wrong}


def _children(pid: int) -> set[int]:
    """Return the processes that a process started."""
    try:
        text = " ".join(p.read_text() for p in Path(f"/proc/{pid}/task").glob("*/children"))
    except OSError:
        return set()
    return {int(child) for child in text.split()}


def _kill_worker(pid: int) -> None:
    with contextlib.suppress(OSError):
        if b"cloud_hub.batch.worker" in Path(f"/proc/{pid}/cmdline").read_bytes():
            import os
            import signal

            os.kill(pid, signal.SIGKILL)


def run(folder: Path, kills: int, seed: int) -> Tally:
    """Kill so many times.

    Args:
        folder: empty; for everything.
        kills: one in five of a hub, the others of workers.
        seed: of the moments.
    """
    tally, chance = Tally(), random.Random(seed)
    of_hub = max(kills // 5, 1)
    for i, (source, output) in enumerate(KINDS):
        fired = JobUnderFire(_made(folder / f"{source}-{output}"), source, output, tally)
        longest = fired.seconds()
        for _ in range(len(range(i, kills - of_hub, len(KINDS)))):
            fired.kill(chance.uniform(0, longest))
    hub = HubUnderFire(_made(folder / "hub"), tally)
    for number in range(of_hub):
        hub.kill(chance.uniform(0.5, 5.0), worker_too=number % 2 == 0)
    hub.finish()
    return tally


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def told(tally: Tally, seconds: float) -> str:
    """Return the figures as text."""
    during = ", ".join(f"{kind} {count}" for kind, count in tally.kills.most_common())
    return (
        f"{sum(tally.kills.values())} kills ({during}; {tally.late} after the end) in "
        f"{seconds:.0f} s\n{tally.wholes} generations whole; {len(tally.broken)} broken"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run it; 0 if nothing was broken."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(argv)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="batch-kills-") as folder:
        tally = run(Path(folder), arguments.kills, arguments.seed)
    print(told(tally, time.monotonic() - began), *tally.broken, sep="\n")
    return 1 if tally.broken else 0


if __name__ == "__main__":
    sys.exit(main())
