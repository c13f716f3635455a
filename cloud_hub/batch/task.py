"""What a batch worker is told, and the files by which it tells how it goes.

A generation's work folder holds ``lock`` (held while a worker runs), ``parts.json`` (the parts,
fixed from then on), ``progress.json`` and in the end ``result.json``; each file appears whole.
"""

from __future__ import annotations

import fcntl
import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Literal, TypeVar

from cloud_hub.batch.sources.parts import Part
from cloud_hub.policy.schema.batch import BatchJob
from cloud_hub.settings import EngineSettings
from edge_sdk.contract.codec import decode, encode
from edge_sdk.contract.errors import ContractError
from edge_sdk.system.files import write_atomic

LIMIT = 64 << 20
T = TypeVar("T")


@dataclass(frozen=True)
class BatchTask:
    """One generation to be computed.

    Attributes:
        id: number of the generation.
        model: whose entities are answered.
        name: of the job.
        job: as the policy had it.
        as_of: moment that it is for, in Unix seconds.
        version: that answers, as ``MODEL MAJOR.MINOR``.
        release: folder of that version's release.
        data: the hub's folder.
        work: folder for the generation's own files.
        database: SQLAlchemy URL of the hub's database, where that is PostgreSQL; it may hold a
            password, so a task is handed over by a pipe.
        source: SQLAlchemy URL of the source's database, if it has one.
        engine: where parts are answered.
    """

    id: int
    model: str
    name: str
    job: BatchJob
    as_of: float
    version: str
    release: str
    data: str
    work: str
    database: str | None = None
    source: str | None = None
    engine: EngineSettings = EngineSettings()

    @property
    def place(self) -> PurePosixPath:
        """Where stores keep it."""
        return PurePosixPath(self.model) / self.name / str(self.id)


@dataclass(frozen=True)
class Parts:
    """All parts of a source."""

    parts: tuple[Part, ...]


@dataclass(frozen=True)
class BatchProgress:
    """Parts in all (0: the source is being read), those that are whole, and the rows so far.

    ``waits`` says in words what it waits for; empty while it goes on.
    """

    parts: int
    done: int
    rows: int
    waits: str = ""


@dataclass(frozen=True)
class BatchOutcome:
    """The end of a generation: ``whole`` with its rows, or ``failed`` with a reason in words.

    ``peak_mb`` is the memory of the last process and ``core_seconds`` its processor time, ``parts``
    how many there were.
    """

    status: Literal["whole", "failed"]
    reason: str
    rows: int = 0
    parts: int = 0
    computed_at: float = 0.0
    peak_mb: int = 0
    core_seconds: float = 0.0


def save(work: Path, value: Parts | BatchProgress | BatchOutcome) -> None:
    """Write one of the files."""
    write_atomic(work / _file(type(value)), encode(value))


def load(work: Path, cls: type[T]) -> T | None:
    """Return one of the files; ``None`` if it is not there."""
    try:
        return decode(cls, (work / _file(cls)).read_bytes(), limit=LIMIT)
    except (FileNotFoundError, ContractError):
        # Damaged is as good as not there: all of it can be made once more.
        return None


def _file(cls: type) -> str:
    return {Parts: "parts.json", BatchProgress: "progress.json", BatchOutcome: "result.json"}[cls]


def lock(work: Path) -> IO[bytes] | None:
    """Take the lock of a work folder until the file is closed; ``None`` if somebody has it.

    The system gives it back however its holder ends, so it never lies about who is at work.
    """
    file = (work / "lock").open("wb")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return None
    os.set_inheritable(file.fileno(), False)
    return file
