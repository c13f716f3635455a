"""Parts of a batch job that are answered elsewhere: rows travel, and answers come back.

The hub's side reads each part and stores its answers, so that nodes need neither the source nor the
store. Batches keep their boundaries on the way, and the runtime its number of threads: what is
stored is the same to the byte as if it were answered here.
"""

from __future__ import annotations

import io
import struct
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from cloud_hub.batch.answering import BATCH_ROWS, Answering
from cloud_hub.batch.sources.parts import Part, read_part
from cloud_hub.engine.engine import Engine, SpreadTask
from cloud_hub.engine.folders import packed_folder, unpack_folder
from cloud_hub.policy.schema.batch import BatchJob
from edge_sdk.contract.codec import decode, encode
from edge_sdk.model.release import Release

if TYPE_CHECKING:
    from cloud_hub.batch.stores.store import Store
    from cloud_hub.batch.task import BatchTask

LIMIT: Final = 1 << 20
_LENGTH: Final = struct.Struct("<Q")
_loaded: dict[bytes, Answering] = {}
"""The model that this process of a node answers with, by what was sent of it."""


@dataclass(frozen=True)
class AnswerOrder:
    """What is kept of a model's answers, and the threads of its runtime."""

    job: BatchJob
    threads: int


def spread_parts(
    engine: Engine, task: BatchTask, parts: Sequence[Part], answering: Answering, store: Store,
    threads: int,
) -> Iterator[tuple[Part, int]]:  # fmt: skip
    """Have parts answered elsewhere and store them; yield each with its rows, in order.

    Args:
        engine: that computes.
        task: the generation.
        parts: that are missing.
        answering: the model that answers.
        store: of its rows.
        threads: of the runtime.

    Raises:
        EngineUnavailable: the engine cannot be reached.
        Invalid: rows or answers are of no use; says which.
        HubFault: a disk or database does not take it.
    """
    order = encode(AnswerOrder(task.job, threads))
    common = _LENGTH.pack(len(order)) + order + packed_folder(Path(task.release))
    columns = answering.wanted.columns
    items = (batches_to_bytes(read_part(part, columns, BATCH_ROWS)) for part in parts)
    spread = engine.spread(SpreadTask(f"{__name__}:answer_rows", common), items)
    for part, answers in zip(parts, spread, strict=True):
        batches = batches_from_bytes(answers)
        yield part, store.write(task.place, answering.layout, part.number, batches)


def answer_rows(common: bytes, item: bytes) -> bytes:
    """Answer the rows of one part.

    Args:
        common: an :class:`AnswerOrder` and a packed release.
        item: batches of rows.

    Returns:
        Batches of the table.
    """
    return batches_to_bytes(_answering(common).answer(batches_from_bytes(item)))


def batches_to_bytes(batches: Iterable[pa.RecordBatch]) -> bytes:
    """Return batches as one Arrow stream; nothing if there are none."""
    raw, writer = io.BytesIO(), None
    for batch in batches:
        writer = writer or pa.ipc.new_stream(raw, batch.schema)
        writer.write_batch(batch)
    if writer is not None:
        writer.close()
    return raw.getvalue()


def batches_from_bytes(raw: bytes) -> Iterator[pa.RecordBatch]:
    """Yield the batches of :func:`batches_to_bytes`."""
    if raw:
        with pa.ipc.open_stream(raw) as reader:
            yield from reader


def _answering(common: bytes) -> Answering:
    if common not in _loaded:
        (length,) = _LENGTH.unpack_from(common)
        end = _LENGTH.size + length
        order = decode(AnswerOrder, common[_LENGTH.size : end], limit=LIMIT)
        with tempfile.TemporaryDirectory(prefix="edge-hub-release-") as name:
            unpack_folder(common[end:], Path(name))
            made = Answering(Release.open(name), order.job, order.threads)
        _loaded.clear()  # of the job before: one model is in memory
        _loaded[common] = made
    return _loaded[common]
