"""A worker on a node: like a worker here, with the same limits and the same end."""

from __future__ import annotations

import logging
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cloud_hub.engine.engine import Engine, SpreadTask, SpreadWork
from cloud_hub.engine.folders import (
    ENDED,
    FOLDER,
    LOG,
    FolderEnd,
    FolderOrder,
    packed_folder,
    unpack_folder,
)
from cloud_hub.errors import EngineUnavailable, HubFault
from edge_sdk.contract.codec import decode, encode
from edge_sdk.contract.errors import ContractError

if TYPE_CHECKING:
    from cloud_hub.isolation.process_limits import ProcessLimits
    from cloud_hub.settings import WorkerSettings

log = logging.getLogger(__name__)

AGAIN_SECONDS: Final = 5.0
END_BYTES: Final = 1 << 20


class RemoteProcess:
    """A process that works on a copy of a folder, on a node.

    See :class:`cloud_hub.isolation.workers.WorkerProcess`, whose methods these are. What it leaves
    is in the folder when it has ended; while the engine cannot be reached, it waits.

    Args:
        engine: that computes elsewhere.
        order: what to run.
        work: the folder, complete.
        log: file for its output.
    """

    def __init__(self, engine: Engine, order: FolderOrder, work: Path, log: Path) -> None:
        self._engine = engine
        self._order = order
        self._work = work
        self._log = log
        self._killed = threading.Event()
        self._spread: SpreadWork | None = None
        self._end = FolderEnd("", 0, "it was ended", "on a node of the cluster")
        self._thread = threading.Thread(target=self._run, name="remote-run", daemon=True)
        self._thread.start()

    @property
    def broke(self) -> str:
        """The limit that it broke; empty if none."""
        return self._end.broke

    @property
    def peak_mb(self) -> int:
        """The most that it held in RAM."""
        return self._end.peak_mb

    @property
    def isolation(self) -> str:
        """Rights that it has, in words; where it runs until that is known."""
        return self._end.isolation

    def running(self) -> bool:
        """Return whether it has not ended yet."""
        return self._thread.is_alive()

    def wait(self) -> None:
        """Wait until it has ended."""
        self._thread.join()

    def ended(self) -> str:
        """Describe its end for a person."""
        return self._end.ended

    def kill(self) -> None:
        """End it at once."""
        self._killed.set()
        if self._spread is not None:
            self._spread.cancel()
        self._thread.join()

    def _run(self) -> None:
        try:
            item = packed_folder(self._work)
            while not self._killed.is_set():
                try:
                    self._take(self._computed(item))
                    return
                except EngineUnavailable as error:
                    self._end = FolderEnd("", 0, str(error), f"waits: {error}")
                    self._killed.wait(AGAIN_SECONDS)
        except (HubFault, OSError, ContractError) as error:
            log.warning("%s: %s", self._order.module, error)
            self._end = FolderEnd("", 0, str(error), self._end.isolation)

    def _computed(self, item: bytes) -> bytes:
        task = SpreadTask("cloud_hub.engine.isolated:compute_folder", encode(self._order))
        self._spread = self._engine.spread(task, [item])
        if self._killed.is_set():
            raise HubFault("it was ended")
        [back] = self._spread
        return back

    def _take(self, back: bytes) -> None:
        with tempfile.TemporaryDirectory(prefix="edge-hub-back-") as name:
            folder = Path(name)
            unpack_folder(back, folder)
            if (folder / LOG).exists():
                with self._log.open("ab") as file:
                    file.write((folder / LOG).read_bytes())
            end = decode(FolderEnd, (folder / ENDED).read_bytes(), limit=END_BYTES)
            unpack_folder(packed_folder(folder / FOLDER), self._work)
        self._end = end


def start_remote(
    engine: Engine,
    module: str,
    work: Path,
    log: Path,
    limits: ProcessLimits,
    settings: WorkerSettings,
    *,
    takes: tuple[str, ...],
    foreign: bool,
    seed: int,
) -> RemoteProcess:
    """Start a module of this package as a worker on a node.

    Args:
        engine: that computes elsewhere.
        module: dotted name.
        work: folder with all that it reads; what it leaves comes back there.
        log: file for its output.
        limits: time, memory and output.
        settings: rights beyond the least.
        takes: names at the top of the folder that come back.
        foreign: it loads what a pipeline sent.
        seed: of the order of Python's sets.
    """
    order = FolderOrder(
        module, limits.seconds, limits.memory_mb, limits.folder_bytes, foreign, seed,
        settings.network, settings.trust_pipelines, takes,
    )  # fmt: skip
    return RemoteProcess(engine, order, work, log)
