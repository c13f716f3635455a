"""The processes that compute generations, one for each that runs on this machine."""

from __future__ import annotations

import contextlib
import logging
import shutil
import subprocess
import sys
from collections.abc import Container, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cloud_hub.batch import task as files
from cloud_hub.batch.task import BatchOutcome, BatchProgress, BatchTask
from cloud_hub.errors import HubFault
from cloud_hub.settings import EngineSettings
from edge_sdk.contract.codec import decode, encode
from edge_sdk.contract.errors import ContractError
from edge_sdk.system.files import make_folder, write_atomic

if TYPE_CHECKING:
    from subprocess import Popen

    from cloud_hub.batch.record import GenerationRecord

log = logging.getLogger(__name__)

MOST_DEATHS: Final = 3
"""Ends without a word, and without one more part, after which a generation is given up."""

STOP_SECONDS: Final = 20.0


class BatchWorkers:
    """Workers of one hub; their work folders are below ``data/batch``.

    A worker outlives a hub that is killed, and goes on; the lock of its folder says that it does.

    Args:
        data: the hub's folder.
        engine: where parts are answered.
    """

    def __init__(self, data: Path, engine: EngineSettings = EngineSettings()) -> None:
        self._folder = data / "batch"
        self._engine = engine
        self._running: dict[int, Popen[bytes]] = {}
        self._deaths: dict[int, tuple[int, int]] = {}
        self._waits: dict[int, str] = {}

    def folder(self, id_: int) -> Path:
        """Return the work folder of a generation."""
        return self._folder / str(id_)

    def folders(self) -> Iterator[int]:
        """Yield the numbers of generations that have a work folder."""
        for path in self._folder.glob("*"):
            if path.name.isdecimal():
                yield int(path.name)

    def task(self, id_: int) -> BatchTask | None:
        """Return the task that a generation was begun with; ``None`` if it was not."""
        try:
            return decode(BatchTask, (self.folder(id_) / "task.json").read_bytes(), limit=1 << 20)
        except (OSError, ContractError):
            return None

    def start(self, task: BatchTask) -> None:
        """Begin, or go on with, a generation. What it reads and how is kept for the next time.

        Raises:
            HubFault: the disk does not take it, or there is no room for a process.
        """
        work, task = Path(task.work), replace(task, engine=self._engine)
        public = replace(task, database=None, source=None)  # those may hold passwords
        try:
            make_folder(work)
            write_atomic(work / "task.json", encode(public))
            with (work / "log.txt").open("ab") as out:
                process = subprocess.Popen(
                    [sys.executable, "-P", "-m", "cloud_hub.batch.worker"],
                    stdin=subprocess.PIPE, stdout=out, stderr=out, start_new_session=True,
                )  # fmt: skip
        except OSError as error:
            raise HubFault(f"{work}: no worker can be started; {error}") from error
        assert process.stdin is not None
        # One that ends before it has read its task is noticed as one that ends later.
        with contextlib.suppress(BrokenPipeError), process.stdin:
            process.stdin.write(encode(task))
        self._running[task.id] = process

    def busy(self, id_: int) -> bool:
        """Return whether a worker is at work, of this hub or of one that was killed."""
        process = self._running.get(id_)
        if process is not None and process.poll() is None:
            return True
        if not self.folder(id_).exists():
            return False
        held = files.lock(self.folder(id_))
        if held is None:
            return True
        held.close()
        return False

    def outcome(self, id_: int) -> BatchOutcome | None:
        """Return how a generation ended; ``None`` if a worker has to go on with it."""
        outcome = files.load(self.folder(id_), BatchOutcome)
        process = self._running.pop(id_, None)
        if outcome is not None or process is None:
            return outcome
        done = self.progress(id_).done
        before, deaths = self._deaths.get(id_, (-1, 0))
        deaths = deaths + 1 if before == done else 1
        self._deaths[id_] = (done, deaths)
        log.warning("generation %d: its worker ended with status %s", id_, process.returncode)
        if deaths < MOST_DEATHS:
            return None
        return BatchOutcome("failed", f"its worker ended {deaths} times; {self._said(id_)}")

    def progress(self, id_: int) -> BatchProgress:
        """Return how far a generation is."""
        return files.load(self.folder(id_), BatchProgress) or BatchProgress(0, 0, 0)

    def news(self, record: GenerationRecord) -> dict[str, Any]:
        """Return what a record does not say yet of how its generation goes on, by column."""
        progress = self.progress(record.id)
        counts = {"partitions": progress.parts, "done": progress.done, "rows": progress.rows}
        news: dict[str, Any] = {n: c for n, c in counts.items() if getattr(record, n) != c}
        if progress.waits != self._waits.get(record.id, ""):
            self._waits[record.id] = news["reason"] = progress.waits
        return news

    def end(self, id_: int) -> None:
        """End a worker of this hub, if there is one."""
        process = self._running.pop(id_, None)
        if process is not None:
            process.kill()
            process.wait(STOP_SECONDS)

    def end_others(self, ids: Container[int]) -> list[int]:
        """End the workers of this hub whose generation is none of ``ids``; return theirs."""
        others = [id_ for id_ in self._running if id_ not in ids]
        for id_ in others:
            self.end(id_)
        return others

    def remove(self, id_: int) -> None:
        """Remove a work folder."""
        self._deaths.pop(id_, None)
        shutil.rmtree(self.folder(id_), ignore_errors=True)

    def stop(self) -> None:
        """End all workers of this hub; another one goes on with their generations."""
        for id_ in list(self._running):
            self.end(id_)

    def _said(self, id_: int) -> str:
        try:
            lines = (self.folder(id_) / "log.txt").read_text(errors="replace").splitlines()
        except OSError:
            lines = []
        return lines[-1][:300] if lines else "it was killed, or memory ran out"
