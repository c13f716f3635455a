"""New hubs for tests, whose tables are copied.

Each revision of the schema is applied once in a process: two dozen of them take longer than most
tests of the hub.
"""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

from cloud_hub import hub
from cloud_hub.database.migrate import open_engine
from cloud_hub.registry.key_folder import OfflineKeys
from cloud_hub.settings import Settings


def initialise(settings: Settings, offline: OfflineKeys | None = None) -> None:
    """Make a new hub's data, as :func:`cloud_hub.hub.initialise`, and its tables in SQLite."""
    hub.initialise(settings, offline)
    if settings.database is None:
        made = settings.data / "hub.db"
        made.touch(0o600)  # as SQLite's own is where the folder is private
        made.write_bytes(_tables())


@functools.cache
def _tables() -> bytes:
    """A database of SQLite as the revisions make it, before there is anything in it."""
    with tempfile.TemporaryDirectory() as folder:
        open_engine(Settings(Path(folder))).dispose()
        return (Path(folder) / "hub.db").read_bytes()
