"""What a hub can be told at its start. Everything else is policy, per model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    """One hub process.

    ``data`` is the folder of everything that it keeps. ``database`` is an SQLAlchemy URL; by
    default SQLite inside ``data``. ``tick_seconds`` is how often triggers, runs, experiments and
    packs are looked at; 0 switches the loop off in this process. ``trainings`` is how many workers
    may train at once on this machine.
    """

    data: Path
    database: str | None = None
    host: str = "127.0.0.1"
    port: int = 8000
    tick_seconds: float = 1.0
    trainings: int = 1

    @property
    def database_url(self) -> str:
        """Where the tables are."""
        return self.database or f"sqlite:///{self.data / 'hub.db'}"
