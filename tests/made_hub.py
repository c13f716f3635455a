"""A hub's folder that is made at once: its tables are a copy of those of an empty database."""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from pathlib import Path

from cloud_hub.database.migrate import open_engine
from cloud_hub.hub import initialise
from cloud_hub.settings import Settings


def make_hub(settings: Settings) -> None:
    """Initialise a hub as ``edge-hub init`` does; SQLite has its tables afterwards.

    A hub makes them when it opens an empty database, by every revision that there ever was: that
    takes longer than all the rest of its start, and is the subject of few tests.
    """
    initialise(settings)
    if settings.database is None:
        shutil.copyfile(_empty_database(), settings.data / "hub.db")


@functools.cache
def _empty_database() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="empty-hub-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    open_engine(Settings(folder)).dispose()
    return folder / "hub.db"
