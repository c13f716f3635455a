"""The process that computes one generation: ``python -m cloud_hub.batch.worker`` with a task.

It reads the task from its standard input, and writes files in the task's work folder only, and to
the store; the hub reads those files and keeps the records. Exit status 3: another one is at work.
"""

from __future__ import annotations

import contextlib
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cloud_hub.batch import task as files
from cloud_hub.batch.answering import Answering
from cloud_hub.batch.computing import compute, model_threads
from cloud_hub.batch.sources.extract import remove_extracted
from cloud_hub.batch.stores.opening import open_store
from cloud_hub.batch.task import BatchOutcome, BatchProgress, BatchTask
from cloud_hub.database.engine import connect
from cloud_hub.engine.opening import engine_of
from cloud_hub.errors import EngineUnavailable, HubFault
from cloud_hub.features.entities import StoredEntities
from cloud_hub.settings import Settings
from edge_sdk.contract.codec import decode
from edge_sdk.errors import EdgeError
from edge_sdk.model.release import Release

if TYPE_CHECKING:
    from sqlalchemy import Engine

BUSY: Final = 3
TELL_SECONDS: Final = 0.5
AGAIN_SECONDS: Final = 5.0
"""Seconds after which an engine that was not there is tried again."""


def main() -> int:
    """Compute the generation that standard input tells of; 0 even if it cannot be computed."""
    task = decode(BatchTask, sys.stdin.buffer.read(), limit=files.LIMIT)
    os.environ.setdefault("SQLITE_TMPDIR", task.work)  # sorted runs of an index need the room
    work = Path(task.work)
    held = files.lock(work)
    if held is None:
        return BUSY
    with held:
        files.save(
            work, replace(outcome_of(task), peak_mb=_peak_mb(), core_seconds=_core_seconds())
        )
    return 0


def outcome_of(task: BatchTask) -> BatchOutcome:
    """Compute a generation as far as it can be; whatever is wrong becomes a reason in words."""
    work, told = Path(task.work), [0.0]
    last = BatchProgress(0, 0, 0)

    def tell(progress: BatchProgress) -> None:
        nonlocal last
        last = progress
        # Every part would be a file synced for nothing: who looks, looks once a second.
        if time.monotonic() - told[0] >= TELL_SECONDS:
            files.save(work, progress)
            told[0] = time.monotonic()

    try:
        while True:
            try:
                return _computed(task, tell)
            except EngineUnavailable as error:  # what is done stays done
                files.save(work, replace(last, waits=str(error)[:1_000]))
                time.sleep(AGAIN_SECONDS)
    except (HubFault, EdgeError, OSError, MemoryError) as error:
        # What is left of the source is of no use any more, and a full disk takes no outcome.
        remove_extracted(work)
        return BatchOutcome("failed", str(error)[:1_000] or repr(error))


def _computed(task: BatchTask, tell: Callable[[BatchProgress], None]) -> BatchOutcome:
    with _database(task) as database:
        store = open_store(task.job.output, Path(task.data), database)
        release = Release.open(task.release, verify=False)
        answering = Answering(release, task.job, model_threads(store))
        entities = StoredEntities(Path(task.data), Path(task.work))
        engine = engine_of(task.engine)
        return compute(task, answering, store, entities, tell, engine if engine.elsewhere else None)


@contextlib.contextmanager
def _database(task: BatchTask) -> Iterator[Engine | None]:
    """Give an engine of the hub's database while a block runs, where that holds predictions."""
    if task.database is None:
        yield None
        return
    engine = connect(Settings(Path(task.data), task.database))
    try:
        yield engine
    finally:
        engine.dispose()


def _peak_mb() -> int:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) >> 10
    except (OSError, StopIteration):
        # Not Linux. There it would be the hub's own peak too, from which this process was forked.
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 20


def _core_seconds() -> float:
    """Return the processor time of this process and of those that it waited for."""
    used = [resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return round(sum(each.ru_utime + each.ru_stime for each in used), 3)


if __name__ == "__main__":
    sys.exit(main())
