"""Code of users on a node: in a process without rights, as on the hub's own machine."""

from __future__ import annotations

import atexit
import hashlib
import threading
from typing import Final, TypeAlias

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
from cloud_hub.engine.kept_process import KeptProcess
from cloud_hub.engine.node import LIMIT
from cloud_hub.engine.node_folder import node_workers, scratch_folder
from cloud_hub.isolation.process_limits import ProcessLimits
from cloud_hub.settings import WorkerSettings
from edge_sdk.contract.codec import decode, encode

LOG_BYTES: Final = 1 << 20

_Work: TypeAlias = tuple[str, bytes, IsolatedLimits]
_kept: Final[dict[_Work, KeptProcess]] = {}
_lock: Final = threading.Lock()


def compute_isolated(function: str, common: bytes, item: bytes, limits: IsolatedLimits) -> bytes:
    """Compute an item in an isolated process, and return what it returned.

    The process is kept for the next item of the same work, and ends with this one.

    Args:
        function: ``module:name``, of this package.
        common: what all items share.
        item: to be computed.
        limits: of the process.

    Raises:
        HubFault: it failed, broke a limit, or nothing here isolates it.
    """
    work = (function, hashlib.sha256(common).digest(), limits)
    process = _taken(work) or KeptProcess(node_workers(), function, common, limits)
    try:
        result = process.compute(item)
    except BaseException:
        process.close()
        raise
    _keep(work, process)
    return result


def _taken(work: _Work) -> KeptProcess | None:
    """Return the process that is kept for some work, which is the caller's now."""
    with _lock:
        process = _kept.pop(work, None)
    if process is None or process.running():
        return process
    process.close()
    return None


def _keep(work: _Work, process: KeptProcess) -> None:
    """Keep a process, and end those of other works: one after the other is computed here."""
    with _lock:
        others = [_kept.pop(other) for other in list(_kept)]
        _kept[work] = process
    for other in others:
        other.close()


@atexit.register
def end_kept() -> None:
    """End the processes that are kept."""
    with _lock:
        kept = [_kept.pop(work) for work in list(_kept)]
    for process in kept:
        process.close()


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
    with node_workers(settings) as (workers, work, log), scratch_folder() as back:
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
