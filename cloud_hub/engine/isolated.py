"""Code of users on a node: in a process without rights, as on the hub's own machine."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from cloud_hub.engine import child
from cloud_hub.engine.engine import IsolatedLimits
from cloud_hub.engine.folders import (
    ENDED,
    FOLDER,
    LOG,
    FolderEnd,
    FolderOrder,
    packed_folder,
    unpack_folder,
)
from cloud_hub.engine.node import LIMIT, fault_of
from cloud_hub.errors import HubFault
from cloud_hub.isolation.handback import opened, printable
from cloud_hub.isolation.process_limits import ProcessLimits
from cloud_hub.isolation.workers import Workers
from cloud_hub.settings import WorkerSettings
from edge_sdk.contract.codec import decode, encode

RESULT_BYTES: Final = 1 << 30
LOG_BYTES: Final = 1 << 20


def compute_isolated(function: str, common: bytes, item: bytes, limits: IsolatedLimits) -> bytes:
    """Compute an item in an isolated process, and return what it returned.

    Args:
        function: ``module:name``, of this package.
        common: what all items share.
        item: to be computed.
        limits: of the process.

    Raises:
        HubFault: it failed, broke a limit, or nothing here isolates it.
    """
    with _workers() as (workers, work, log):
        (work / child.COMMON).write_bytes(common)
        (work / child.ITEM).write_bytes(item)
        process = workers.start(
            "cloud_hub.engine.child", [function], work, log,
            ProcessLimits(limits.seconds, limits.memory_mb), foreign=False, seed=limits.seed,
        )  # fmt: skip
        process.wait()
        with opened(work) as left:
            fault = left.read(child.FAULT, 4 * child.REASON)
            result = left.read(child.RESULT, RESULT_BYTES)
    if process.broke or (fault is None and result is None):
        raise HubFault(f"a task was ended: it {process.ended()}" if process.broke
                       else f"a task failed: {process.ended()}")  # fmt: skip
    if result is None:
        raise fault_of(*printable((fault or b"").decode(errors="replace"), 2_000).split(" ", 1))
    return result


def compute_folder(common: bytes, item: bytes) -> bytes:
    """Run a process on a folder.

    Args:
        common: a :class:`FolderOrder`.
        item: the folder, packed.

    Returns:
        A packed folder with ``left/`` (what it left), ``log.txt`` and ``ended.json``.
    """
    order = decode(FolderOrder, common, limit=LIMIT)
    settings = WorkerSettings(network=order.network, trust_pipelines=order.trust_pipelines)
    with _workers(settings) as (workers, work, log), _scratch() as back:
        unpack_folder(item, work)
        limits = ProcessLimits(order.seconds, order.memory_mb, folder_bytes=order.folder_bytes)
        process = workers.start(
            order.module, [], work, log, limits, foreign=order.foreign, seed=order.seed
        )
        process.wait()
        end = FolderEnd(process.broke, process.peak_mb, process.ended(), str(process.isolation))
        (back / FOLDER).mkdir()
        unpack_folder(packed_folder(work, order.takes), back / FOLDER)
        if log.exists():
            (back / LOG).write_bytes(log.read_bytes()[-LOG_BYTES:])
        (back / ENDED).write_bytes(encode(end))
        return packed_folder(back)


@contextlib.contextmanager
def _workers(
    settings: WorkerSettings = WorkerSettings(),
) -> Iterator[tuple[Workers, Path, Path]]:
    """Give workers of a node, which has no data of a hub, with a folder and a log."""
    with _scratch() as own:
        (own / "data").mkdir()
        workers = Workers(own / "data", settings)
        work = workers.new_folder()
        try:
            yield workers, work, own / LOG
        finally:
            workers.remove(work)


@contextlib.contextmanager
def _scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="edge-hub-node-") as name:
        yield Path(name).resolve()
