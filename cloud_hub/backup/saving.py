"""A backup of a hub that goes on serving.

What one moment is, and in which order it is read:

1. All artifacts, which takes long. They never change, and almost none is ever removed.
2. Under the lock of whoever publishes, for some milliseconds: a transaction is begun that sees the
   tables of one moment to its end, and the signed metadata is read. So the metadata has whatever
   the tables say was published before.
3. The tables, out of that transaction. The hub writes on.
4. The artifacts that are new since the first step. So whatever the tables or the metadata name is
   there: it was stored before it was named.

The folder appears whole or not at all, and its manifest has the digest of every file in it.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection, Engine, column, select, table
from tuf.api.metadata import Metadata

from cloud_hub.backup.appearing import appearing, check_empty, room_for
from cloud_hub.backup.artifacts import KINDS, Progress, copy_new
from cloud_hub.backup.left_out import OmittedPredictions, left_out
from cloud_hub.backup.manifest import (
    FORMAT,
    MANIFEST_FILE,
    SECRETS_FILE,
    BackupManifest,
    SavedFile,
    SavedTable,
    manifest_digest,
)
from cloud_hub.backup.portable_rows import SUFFIX, dump_table, tables_of
from cloud_hub.backup.secrets_file import pack_secrets, read_secrets
from cloud_hub.database.engine import connect, database_errors, is_sqlite
from cloud_hub.database.migrate import inspect_schema
from cloud_hub.errors import HubFault, NotFound
from cloud_hub.registry.metadata_store import TIMESTAMP
from cloud_hub.registry.opening import open_repository
from cloud_hub.registry.roles import PLANS, RELEASES
from cloud_hub.storage.folder_store import FolderStore
from cloud_hub.storage.stores import ArtifactStores, open_stores
from edge_sdk.contract.codec import encode
from edge_sdk.system.files import sha256_file, write_atomic

if TYPE_CHECKING:
    from cloud_hub.registry.metadata_store import MetadataStore
    from cloud_hub.settings import Settings

log = logging.getLogger(__name__)

DATABASES: Final = ("features.db", "predictions.db")
"""Databases of the folder that stay SQLite whatever the tables are in."""

BLOB_COLUMNS: Final = (
    ("dataset_versions", "blob"),
    ("pipelines", "blob"),
    ("versions", "training_state"),
)
"""Where tables name blobs by their SHA-256."""


@dataclass(frozen=True)
class SavingOptions:
    """What a backup holds beside the tables and what is signed.

    Attributes:
        secrets: private keys and tokens too.
        passphrase: that locks them; ``None`` leaves them open to whoever reads the backup.
        artifacts: false where whoever asks copies them himself.
    """

    secrets: bool = False
    passphrase: str | None = None
    artifacts: bool = True


@dataclass(frozen=True)
class SavedBackup:
    """A backup that was made: its folder, its manifest, the digest by which it is known, and what
    of the hub is not in it.
    """

    folder: Path
    manifest: BackupManifest
    sha256: str
    left_out: OmittedPredictions = OmittedPredictions()


def save(
    settings: Settings,
    out: Path,
    options: SavingOptions = SavingOptions(),
    *,
    clock: Callable[[], float] = time.time,
    told: Progress = lambda _: None,
) -> SavedBackup:
    """Make a backup of a hub, be it served or not.

    Args:
        settings: of the hub.
        out: folder that does not exist yet.
        options: what it holds.
        clock: Unix seconds.
        told: hears what is done.

    Raises:
        NotFound: the settings name no hub.
        Conflict: there is something in the folder already.
        HubFault: the disk is full, or something of the hub cannot be read; nothing is left.
    """
    stores = open_stores(settings)
    if not open_repository(settings, stores).is_complete:
        raise NotFound(f"{settings.data}: holds no hub")
    check_empty(out)
    with room_for(out), appearing(out, "backup") as folder:
        work = _Saving(settings, stores, folder, told)
        manifest = work.run(options, clock)
        write_atomic(folder / MANIFEST_FILE, encode(manifest))
    log.info("%s: backup of %s, %d files", out, settings.data, len(manifest.files))
    return SavedBackup(out, manifest, manifest_digest(out), work.left_out)


class _Saving:
    """One backup under way, in a folder that has no name yet."""

    def __init__(
        self, settings: Settings, stores: ArtifactStores, folder: Path, told: Progress
    ) -> None:
        self._settings, self._stores, self._folder, self._told = settings, stores, folder, told
        self._artifacts: dict[str, dict[str, SavedFile]] = {kind: {} for kind in KINDS}
        self.left_out = OmittedPredictions()

    def run(self, options: SavingOptions, clock: Callable[[], float]) -> BackupManifest:
        repository = open_repository(self._settings, self._stores)
        if options.artifacts:
            self._told("artifacts")
            self._copy_artifacts()
        with database_errors(self._settings):
            engine = connect(self._settings)
            try:
                revision = inspect_schema(engine).current
                if revision is None:
                    raise NotFound(f"{self._settings.data}: was never served, nothing is in it yet")
                with contextlib.ExitStack() as stack:
                    with repository.locked():
                        db = stack.enter_context(one_moment(engine))
                        made_at, metadata = clock(), sealed_metadata(repository.files)
                    tables, self.left_out = self._dump(db), left_out(db)
                    named = _named_blobs(db) if options.artifacts else ()
            finally:
                engine.dispose()
        self._write_all("metadata", metadata)
        if options.artifacts:
            self._copy_artifacts()
        self._copy_databases()
        secrets = self._keep_secrets(options)
        missing = tuple(name for name in named if name not in self._artifacts["blobs"])
        if missing:
            log.warning("%d blobs that tables name are not there: %s", len(missing), missing[:5])
        files = {**self._other_files(), **self._artifact_files()}
        return BackupManifest(
            FORMAT, made_at, revision, tables, dict(sorted(files.items())), secrets, missing
        )

    def _dump(self, db: Connection) -> dict[str, SavedTable]:
        (self._folder / "tables").mkdir()
        found = {}
        for each in tables_of(db):
            self._told(f"table {each.name}")
            found[each.name] = dump_table(
                db, each, self._folder / "tables" / f"{each.name}{SUFFIX}"
            )
        return found

    def _copy_artifacts(self) -> None:
        for kind, known in self._artifacts.items():
            store = FolderStore(self._folder / kind)
            for name in copy_new(getattr(self._stores, kind), store, known):
                self._told(f"{kind}: {name}")

    def _copy_databases(self) -> None:
        for name in DATABASES:
            if (self._settings.data / name).exists():
                copy_sqlite(self._settings.data / name, self._folder / name)

    def _write_all(self, name: str, files: Mapping[str, bytes]) -> None:
        (self._folder / name).mkdir()
        for file, raw in files.items():
            write_atomic(self._folder / name / file, raw)

    def _keep_secrets(self, options: SavingOptions) -> str:
        if not options.secrets:
            return "none"
        packed = pack_secrets(read_secrets(self._settings.data), options.passphrase)
        write_atomic(self._folder / SECRETS_FILE, packed)
        return "plain" if options.passphrase is None else "encrypted"

    def _other_files(self) -> dict[str, SavedFile]:
        """Digest what was written here, but for the artifacts, whose digests are known."""
        paths = [
            path
            for path in self._folder.rglob("*")
            if path.is_file() and path.relative_to(self._folder).parts[0] not in KINDS
        ]
        return {
            path.relative_to(self._folder).as_posix(): SavedFile(
                path.stat().st_size, sha256_file(path)
            )
            for path in paths
        }

    def _artifact_files(self) -> dict[str, SavedFile]:
        return {
            f"{kind}/{name}": saved
            for kind, known in self._artifacts.items()
            for name, saved in known.items()
        }


@contextlib.contextmanager
def one_moment(engine: Engine) -> Iterator[Connection]:
    """Give a connection that sees the tables as they are now, to its end, and writes nothing."""
    with engine.connect() as db:
        if is_sqlite(engine):
            driver: Any = db.connection.dbapi_connection
            driver.isolation_level = None  # else it would begin no transaction for reading
            db.exec_driver_sql("BEGIN")
        else:
            db.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        # The first read fixes the moment, not the BEGIN.
        db.execute(select(column("version_num")).select_from(table("alembic_version"))).all()
        try:
            yield db
        finally:
            db.rollback()
            db.invalidate()  # its mode was changed: the pool must not hand it out again


def sealed_metadata(store: MetadataStore) -> dict[str, bytes]:
    """Return the metadata that devices see, by name, and every root; the lock is held.

    Raises:
        HubFault: some of it is missing or damaged.
    """
    timestamp: Any = store.read(TIMESTAMP).signed
    number = timestamp.snapshot_meta.version
    snapshot: Metadata[Any] = store.read(f"{number}.snapshot.json")
    names = [f"{n}.root.json" for n in range(1, store.version("root") + 1)]
    for role in ("targets", RELEASES, PLANS):
        names.append(f"{snapshot.signed.meta[f'{role}.json'].version}.{role}.json")
    return {name: store.raw(name) for name in (*names, f"{number}.snapshot.json", TIMESTAMP)}


def copy_sqlite(source: Path, target: Path) -> None:
    """Copy a SQLite database that others may write meanwhile, as it is at one moment."""
    address = f"{source.absolute().as_uri()}?mode=ro"
    try:
        with (
            contextlib.closing(sqlite3.connect(address, uri=True)) as old,
            contextlib.closing(sqlite3.connect(target)) as new,
        ):
            old.backup(new)  # all of it in one step: writers wait for no page of it
    except sqlite3.Error as error:
        raise HubFault(f"{source}: cannot be copied; {error}") from error
    target.chmod(0o600)


def _named_blobs(db: Connection) -> tuple[str, ...]:
    names: set[str] = set()
    there = {each.name: each for each in tables_of(db)}
    for name, blob in BLOB_COLUMNS:
        if name in there:
            found = db.execute(select(there[name].c[blob]).distinct()).scalars()
            names.update(f"{digest[:2]}/{digest}" for digest in found if digest)
    return tuple(sorted(names))
