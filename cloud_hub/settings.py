"""Settings of a hub's process. Everything else is policy, per model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class WorkerSettings:
    """Rights of workers beyond the least, as the machine's operator gives them.

    Attributes:
        user: name of the user that workers run as; default ``nobody`` where the hub is root, else
            the hub's own.
        network: workers may use the network.
        environment: names of variables of the hub's environment that they see.
        reads: files and folders that they may read.
        trust_pipelines: load what pipelines send even where nothing isolates workers, and types
            that skops does not know.
    """

    user: str | None = None
    network: bool = False
    environment: tuple[str, ...] = ()
    reads: tuple[Path, ...] = ()
    trust_pipelines: bool = False


@dataclass(frozen=True)
class Settings:
    """Settings of one hub process.

    Attributes:
        data: folder of everything that the hub stores.
        database: SQLAlchemy URL of the tables; default SQLite inside ``data``.
        host: address to listen on.
        port: to listen on; 0 chooses a free one.
        tick_seconds: from one tick of the loop to the next; 0 switches it off in this process.
        trainings: workers that may train at once on this machine.
        workers: rights of the processes that train, convert and evaluate.
    """

    data: Path
    database: str | None = None
    host: str = "127.0.0.1"
    port: int = 8000
    tick_seconds: float = 1.0
    trainings: int = 1
    workers: WorkerSettings = WorkerSettings()

    @property
    def database_url(self) -> str:
        """SQLAlchemy URL of the tables."""
        return self.database or f"sqlite:///{self.data / 'hub.db'}"
