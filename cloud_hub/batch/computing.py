"""Computes a generation: reads its source, answers its parts, completes it.

Each step finds what an earlier process has finished, so a kill costs the part under way. Parts
know nothing of each other: an engine may have them answered elsewhere.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import TYPE_CHECKING

from cloud_hub.batch import task as files
from cloud_hub.batch.ahead import ahead
from cloud_hub.batch.answering import BATCH_ROWS, Answering
from cloud_hub.batch.cores import cores
from cloud_hub.batch.sources.extract import extract, remove_extracted
from cloud_hub.batch.sources.parts import Part, files_of, parts_of, read_part
from cloud_hub.batch.sources.readers import csv_batches, sql_batches
from cloud_hub.batch.spreading.answers import spread_parts
from cloud_hub.batch.stores.store import Stamp
from cloud_hub.batch.task import BatchOutcome, BatchProgress, BatchTask, Parts
from cloud_hub.errors import Invalid

if TYPE_CHECKING:
    import pyarrow as pa

    from cloud_hub.batch.sources.entity_source import EntitySource
    from cloud_hub.batch.stores.store import Store
    from cloud_hub.engine.engine import Engine


def compute(
    task: BatchTask,
    answering: Answering,
    store: Store,
    entities: EntitySource,
    tell: Callable[[BatchProgress], None] = lambda progress: None,
    engine: Engine | None = None,
) -> BatchOutcome:
    """Compute what is missing of a generation, until it can be read whole.

    Args:
        task: the generation.
        answering: the model that answers.
        store: of its rows.
        entities: the feature store.
        tell: called as it goes on.
        engine: has parts answered elsewhere; ``None``: here.

    Raises:
        EngineUnavailable: the engine cannot be reached; what is done stays.
        Invalid: source, rows or answers are of no use; says which.
        HubFault: a disk or database does not take it.
    """
    place, layout = task.place, answering.layout
    store.begin(place, layout)
    done = dict(store.done(place))
    parts = _parts(task, answering, entities, lambda rows: tell(BatchProgress(0, 0, rows)))
    missing = [part for part in parts if part.number not in done]
    if engine is not None:
        counted = spread_parts(engine, task, missing, answering, store, model_threads(store))
    else:
        counted = computed(missing, store, lambda p: compute_part(task, p, answering, store))
    for part, count in counted:
        done[part.number] = count
        tell(BatchProgress(len(parts), len(done), sum(done.values())))
    rows = sum(done.values())
    if not rows:
        raise Invalid("source: expected at least one row, got none; the generation before stays")
    now = time.time()
    until = now + task.job.valid_seconds
    stamp = Stamp(task.id, task.model, task.name, task.version, now, until)
    store.complete(place, layout, stamp)
    return BatchOutcome("whole", f"{rows:,} entities", rows, len(parts), now)


def compute_part(task: BatchTask, part: Part, answering: Answering, store: Store) -> int:
    """Answer the rows of one part and store them whole; return how many entities they are."""
    batches = read_part(part, answering.wanted.columns, BATCH_ROWS)
    if store.several:  # other parts keep the other cores busy while this one waits
        answers = answering.answer(batches)
    else:
        answers = ahead(answering.answer(ahead(batches)))
    return store.write(task.place, answering.layout, part.number, answers)


def model_threads(store: Store) -> int:
    """Return the threads of onnxruntime: parts that are computed at once share the cores."""
    return 1 if store.several else cores()


def computed(
    parts: Sequence[Part], store: Store, work: Callable[[Part], int]
) -> Iterator[tuple[Part, int]]:
    """Do the work of each part, several at once where the store takes them; yield what is done."""
    # One more than there are cores: while one waits for the disk, another computes.
    with ThreadPoolExecutor(cores() + 1 if store.several else 1, "part") as pool:
        futures = {pool.submit(work, part): part for part in parts}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        finally:
            # After an error: no more parts are begun.
            pool.shutdown(cancel_futures=True)


def _parts(
    task: BatchTask, answering: Answering, entities: EntitySource, tell: Callable[[int], None]
) -> tuple[Part, ...]:
    """Return the parts as they were fixed when the source was read first."""
    work, job = Path(task.work), task.job
    fixed = files.load(work, Parts)
    if fixed is not None:
        return fixed.parts
    if job.source.parquet is not None and job.item is None:
        parts = parts_of(files_of(job.source.parquet), job.partition_rows)
    else:
        remove_extracted(work)  # of a process that was killed while it read
        together = answering.wanted.entity if job.item is not None else None
        parts = extract(
            _rows(task, answering, entities), work, answering.wanted.columns, job.partition_rows,
            together=together, tell=tell,
        )  # fmt: skip
    files.save(work, Parts(tuple(parts)))
    return tuple(parts)


def _rows(
    task: BatchTask, answering: Answering, entities: EntitySource
) -> Iterator[pa.RecordBatch]:
    source = task.job.source
    if source.csv is not None:
        yield from csv_batches(files_of(source.csv), answering.wanted)
    elif source.parquet is not None:
        for part in parts_of(files_of(source.parquet), task.job.partition_rows):
            yield from read_part(part, answering.wanted.columns, BATCH_ROWS)
    elif source.entities is not None:
        yield from entities.entities(task.model, source.entities, task.as_of)
    else:
        yield from sql_batches(task.source or "", source, task.as_of, answering.wanted)
