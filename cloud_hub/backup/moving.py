"""A hub moves: from SQLite and a folder to PostgreSQL and a bucket, or back, all of it compared.

The old place is only read, and refuses to be served afterwards. Order: nobody serves the old place
(its lock is held all the time); the new one is made as from a backup of this moment, artifacts from
store to store; the old place is marked; the new folder takes its name. A move that was killed is
run again.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from cloud_hub.backup.appearing import check_empty, room_for
from cloud_hub.backup.artifacts import Progress
from cloud_hub.backup.restoring import BackupContent, RestoredHub, RestoreOptions, restore
from cloud_hub.backup.saving import SavingOptions, save
from cloud_hub.database.inspection import inspect_database
from cloud_hub.database.serve_lock import sole_server
from cloud_hub.errors import Conflict, NotFound
from cloud_hub.storage.moved import MOVED_FILE, note_moved
from cloud_hub.storage.stores import open_stores

if TYPE_CHECKING:
    from cloud_hub.settings import Settings

log = logging.getLogger(__name__)


def move(old: Settings, new: Settings, *, told: Progress = lambda _: None) -> RestoredHub:
    """Bring a hub that nobody serves to another place.

    Args:
        old: where it is; only a note is written there.
        new: where it comes: a new folder, and a database and a bucket that are empty, or the same
            as before.
        told: hears what is done.

    Raises:
        Conflict: the hub is served, here or elsewhere; a new place is not empty.
        Invalid: something is not the same there; the old place stays the hub.
        HubFault: a place cannot be read or written; the old place stays the hub.
    """
    if not old.data.is_dir():
        raise NotFound(f"{old.data}: holds no hub")
    check_empty(new.data)
    with sole_server(old.data), room_for(new.data):
        _check_unused(old)
        between = new.data.with_name(f".{new.data.name}.moving")
        shutil.rmtree(between, ignore_errors=True)
        try:
            moved = _by_way_of(between, old, new, told)
        except BaseException:
            if not new.data.exists():
                (old.data / MOVED_FILE).unlink(missing_ok=True)
            raise
        finally:
            shutil.rmtree(between, ignore_errors=True)
        note_moved(old.data, new.data, done=True)
    log.info("hub %s moved to %s", old.data, new.data)
    return moved


def _by_way_of(between: Path, old: Settings, new: Settings, told: Progress) -> RestoredHub:
    stores = open_stores(old)
    saved = save(old, between, SavingOptions(secrets=True, artifacts=False), told=told)
    # The name of the place and not of its content: a move that goes on after a kill is the same.
    name = hashlib.sha256(f"{old.data.absolute()} {old.database_url}".encode()).hexdigest()
    content = BackupContent(name, between, saved.manifest, stores.blobs, stores.targets)
    options = RestoreOptions(
        counts_on=False,
        same_database=old.database is not None and old.database == new.database,
        same_artifacts=old.artifacts is not None and old.artifacts == new.artifacts,
    )
    return restore(
        content, new, options, told=told,
        before_it_appears=lambda: note_moved(old.data, new.data, done=False),
    )  # fmt: skip


def _check_unused(settings: Settings) -> None:
    """Raise Conflict if hubs on other machines use the database."""
    if not settings.on_server:
        return
    processes = inspect_database(settings).processes
    if processes:
        raise Conflict(
            f"{settings.data}: {len(processes)} processes of this hub use its database, such as "
            f"{processes[0]}; end them first"
        )
