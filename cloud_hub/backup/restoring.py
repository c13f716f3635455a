"""A hub made of a backup: in an empty place, whole or not at all.

Order: everything is compared with the manifest before anything is written. Then the folder is made
under another name, artifacts go where they belong, the tables in one transaction; then what is new
is signed, the timestamp last; then the folder takes its name. Until that, no hub can be served.

A restore that was killed is simply run again: a note in the unfinished folder says which database
and bucket were empty when it began, so that what is there since is its own.

:mod:`cloud_hub.backup.counters` says how devices are kept from refusing what an older state says.
"""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection, Table
from sqlalchemy.engine import make_url

from cloud_hub.api.token_files import ADMIN_FILE, new_tokens
from cloud_hub.backup.appearing import check_empty, room_for, sync_below
from cloud_hub.backup.artifacts import KINDS, Progress, check_same, copied_before, copy_new
from cloud_hub.backup.counters import versions_ahead
from cloud_hub.backup.left_out import OmittedPredictions, forget_predictions
from cloud_hub.backup.manifest import (
    SECRETS_FILE,
    BackupManifest,
    SavedFile,
    check_files,
    manifest_digest,
    read_manifest,
)
from cloud_hub.backup.restored_tables import (
    check_no_tables,
    count_on,
    fill_database,
)
from cloud_hub.backup.saving import DATABASES
from cloud_hub.backup.secrets_file import unpack_secrets, write_secrets
from cloud_hub.errors import Conflict, Invalid
from cloud_hub.registry.clock_guard import AWAY
from cloud_hub.registry.keys.changes import next_releases
from cloud_hub.registry.metadata_folder import MetadataFolder
from cloud_hub.registry.metadata_store import TIMESTAMP
from cloud_hub.registry.repository import Repository, sign
from cloud_hub.registry.roles import RELEASES, YEAR
from cloud_hub.registry.signing import load_signer
from cloud_hub.storage.folder_store import FolderStore
from cloud_hub.storage.stores import ArtifactStores, open_stores
from edge_sdk.system.files import fsync_directory, write_atomic

if TYPE_CHECKING:
    from securesystemslib.signer import Signer

    from cloud_hub.settings import Settings
    from cloud_hub.storage.artifact_store import ArtifactStore
    from edge_sdk.contract.plan import Plan

log = logging.getLogger(__name__)

NOTE: Final = "restoring.json"


@dataclass(frozen=True)
class RestoreOptions:
    """How a hub is made of a backup.

    Attributes:
        passphrase: of the backup's private keys and tokens, where it has them locked.
        keys: folder of private keys that are kept elsewhere, for a backup without.
        signers: private keys of publishers that sign ``releases`` once more.
        counts_on: go on beyond what devices can have seen since; false where nothing can have been
            published since, because the hub does not run any more.
        confirm_clock: this machine's clock is right, however old the backup is.
        same_database: the tables stay where they are.
        same_artifacts: artifacts and metadata stay in their bucket.
    """

    passphrase: str | None = None
    keys: Path | None = None
    signers: tuple[Path, ...] = ()
    counts_on: bool = True
    confirm_clock: bool = False
    same_database: bool = False
    same_artifacts: bool = False


@dataclass(frozen=True)
class RestoredHub:
    """A hub that was made of a backup.

    Attributes:
        data: its folder.
        made_at: moment of the backup, Unix seconds; what came later is lost.
        rows: of all tables.
        tables: number of tables that were compared.
        artifacts: number of artifacts that were compared.
        new_tokens: the tokens are new, since the backup has none.
        releases_signed: ``releases`` counts on too; else its publisher has to sign it.
        left_out: what is not there and is computed again.
    """

    data: Path
    made_at: float
    rows: int
    tables: int
    artifacts: int
    new_tokens: bool
    releases_signed: bool
    left_out: OmittedPredictions = OmittedPredictions()


@dataclass(frozen=True)
class BackupContent:
    """A backup as it is read: its name, its folder and manifest, and where its artifacts are."""

    known_as: str
    folder: Path
    manifest: BackupManifest
    blobs: ArtifactStore
    targets: ArtifactStore


def open_backup(folder: Path, expect: str | None = None) -> BackupContent:
    """Return a backup every file of which is what its manifest says.

    Args:
        folder: of the backup.
        expect: SHA-256 of its manifest; ``None`` for any.

    Raises:
        NotFound: there is none.
        Invalid: it is torn, damaged, changed, of a newer hub, or another one than expected.
    """
    manifest = read_manifest(folder)
    if expect is not None and manifest_digest(folder) != expect:
        raise Invalid(f"{folder}: expected the backup {expect:.12}…, this is another one")
    check_files(folder, manifest)
    blobs, targets = (FolderStore(folder / kind) for kind in KINDS)
    return BackupContent(manifest_digest(folder), folder, manifest, blobs, targets)


def restore(
    content: BackupContent,
    settings: Settings,
    options: RestoreOptions = RestoreOptions(),
    *,
    clock: Callable[[], float] = time.time,
    told: Progress = lambda _: None,
    before_it_appears: Callable[[], object] = lambda: None,
) -> RestoredHub:
    """Make a hub of a backup.

    Args:
        content: that was opened, and so was compared with its manifest.
        settings: of the new hub; its folder, its database and its bucket are empty.
        options: where keys are, and what is known of the backup.
        clock: Unix seconds.
        told: hears what is done.
        before_it_appears: called when all is done but the name of the folder.

    Raises:
        Conflict: one of the places is not empty; the clock is behind the backup.
        Invalid: the key that signs plans is missing; a table or an artifact is another one.
        HubFault: a place cannot be written; what was written is of no use to anybody.
    """
    check_empty(settings.data)
    work = _Restoring(content, settings, options, clock, told)
    with room_for(settings.data):
        work.begin()
        try:
            restored = work.run()
            before_it_appears()
        except BaseException:
            work.give_up()
            raise
        work.end()
    log.info("%s: restored from the backup of %.0f", settings.data, content.manifest.made_at)
    return restored


class _Restoring:
    """One restore under way."""

    def __init__(
        self,
        content: BackupContent,
        settings: Settings,
        options: RestoreOptions,
        clock: Callable[[], float],
        told: Progress,
    ) -> None:
        self._content, self._final, self._options = content, settings, options
        self._clock, self._told = clock, told
        data = settings.data
        self._folder = data.with_name(f".{data.name}.restoring")
        self._settings = replace(settings, data=self._folder)
        self._elsewhere = settings.on_server or settings.artifacts is not None
        self._again, self._left_out = False, OmittedPredictions()

    def begin(self) -> None:
        """Make the unfinished folder; raises Conflict where a place is not empty."""
        note = self._note()
        path = self._folder / NOTE
        self._again = path.exists() and json.loads(path.read_bytes()) == note
        if path.exists() and not self._again and self._elsewhere:
            raise Conflict(
                f"{self._folder}: is left from a restore to other places, or of another backup; "
                "empty those places, remove it, and try again"
            )
        if not self._again:
            self._check_places()
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.parent.mkdir(parents=True, exist_ok=True)
        self._folder.mkdir(mode=0o700)
        write_atomic(path, json.dumps(note).encode())

    def run(self) -> RestoredHub:
        """Do everything but the last step."""
        options, manifest = self._options, self._content.manifest
        has_tokens = self._place_secrets()
        self._place_metadata()
        repository = Repository(
            self._folder / "repository", self._folder / "keys", self._stores().targets
        )
        signers = self._check_keys(repository)
        now = self._clock()
        ahead = versions_ahead(manifest.made_at, now) if options.counts_on else 0
        if options.counts_on and not options.confirm_clock:
            _check_clock(now, repository.signed_at())
        artifacts = self._place_artifacts()
        for name in DATABASES:
            if name in manifest.files:
                shutil.copyfile(self._content.folder / name, self._folder / name)
        plans: list[Plan] = []
        self._told("tables")
        rows = 0 if options.same_database else self._fill(plans, now)
        releases_signed = not options.counts_on
        if options.counts_on:
            self._told("signatures")
            repository.guard.note(now)
            releases_signed = self._sign_releases(repository, signers, ahead)
            repository.publish_ahead(plans, ahead)
        self._publish_metadata()
        return RestoredHub(
            self._final.data, manifest.made_at, rows, len(manifest.tables), artifacts,
            not has_tokens, releases_signed, self._left_out,
        )  # fmt: skip

    def end(self) -> None:
        """Give the folder its name: now there is a hub."""
        (self._folder / NOTE).unlink()
        sync_below(self._folder)
        if self._final.data.is_dir():
            self._final.data.rmdir()
        self._folder.rename(self._final.data)
        fsync_directory(self._final.data.parent)

    def give_up(self) -> None:
        """Remove the unfinished folder, but for a note of what may be in other places."""
        for path in self._folder.iterdir():
            if path.name != NOTE:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        if not self._elsewhere:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _note(self) -> dict[str, str]:
        url = make_url(self._final.database_url)
        return {
            "backup": self._content.known_as,
            "database": url.render_as_string(hide_password=True),
            "artifacts": str(self._final.artifacts or ""),
        }

    def _check_places(self) -> None:
        if not self._options.same_database:
            check_no_tables(self._settings)
        metadata = open_stores(self._final).metadata
        if self._options.same_artifacts or metadata is None:
            return
        if any(True for _ in metadata.list()):
            raise Conflict(
                f"{metadata.place}: expected no signed metadata there, a hub has some; nothing is "
                "ever overwritten, name another bucket or prefix"
            )

    def _stores(self) -> ArtifactStores:
        return open_stores(self._settings)

    def _place_secrets(self) -> bool:
        """Put keys and tokens into the folder; return whether the tokens are those of before."""
        path = self._content.folder / SECRETS_FILE
        if self._content.manifest.secrets != "none":
            write_secrets(self._folder, unpack_secrets(path, self._options.passphrase))
        if self._options.keys is not None:
            given = sorted(self._options.keys.glob("*.pem"))
            write_secrets(self._folder, {f"keys/{each.name}": each.read_text() for each in given})
        if (self._folder / ADMIN_FILE).exists():
            return True
        new_tokens(self._folder)
        return False

    def _place_metadata(self) -> None:
        files = MetadataFolder(self._folder / "repository" / "metadata")
        for path in sorted((self._content.folder / "metadata").glob("*.json")):
            files.write(path.name, path.read_bytes())

    def _check_keys(self, repository: Repository) -> list[Signer]:
        """Return the publishers' keys that were given; raises Invalid without the online key."""
        if not repository.holds("timestamp"):
            raise Invalid(
                "keys: the backup has none of the keys that sign plans and timestamps, and without "
                "them no device would believe the hub; give --keys FOLDER with online.pem, or a "
                "backup that was made --with-keys"
            )
        return [load_signer(path) for path in self._options.signers]

    def _place_artifacts(self) -> int:
        count = 0
        for kind in () if self._options.same_artifacts else KINDS:
            source: ArtifactStore = getattr(self._content, kind)
            target: ArtifactStore = getattr(self._stores(), kind)
            known: dict[str, SavedFile] = {}
            if self._again:
                known = copied_before(source, target)
            for name in copy_new(source, target, known):
                self._told(f"{kind}: {name}")
            count += check_same(target, known)
        return count

    def _fill(self, plans: list[Plan], now: float) -> int:
        return fill_database(
            self._settings, self._content.folder, self._content.manifest,
            mark=self._content.known_as, again=self._again,
            edit=lambda db, tables: plans.extend(self._edit(db, tables, now)),
        )  # fmt: skip

    def _edit(self, db: Connection, tables: Mapping[str, Table], now: float) -> list[Plan]:
        made_at = self._content.manifest.made_at
        reason = "its rows are not in a backup; it is computed again"
        self._left_out = forget_predictions(db, tables, now, reason)
        if not self._options.counts_on:
            return []
        return count_on(db, tables, made_at, now, self._content.manifest.missing)

    def _sign_releases(self, repository: Repository, given: Sequence[Signer], ahead: int) -> bool:
        """Let ``releases`` count on as well; return false where its keys are not at hand."""
        role = repository.role(RELEASES)
        at_hand = [*repository.held(RELEASES), *given]
        signers = {s.public_key.keyid: s for s in at_hand if s.public_key.keyid in role.keyids}
        if len(signers) < role.threshold:
            return False
        releases = next_releases(repository.releases().signed, repository.later(YEAR))
        releases.signed.version += ahead - 1
        sign(releases, [*signers.values()])
        repository.files.write(f"{releases.signed.version}.{RELEASES}.json", releases.to_bytes())
        return True

    def _publish_metadata(self) -> None:
        """Put the metadata into the bucket, if there is one, the timestamp last."""
        bucket, here = self._stores().metadata, self._folder / "repository" / "metadata"
        if bucket is None:
            return
        names = sorted(path.name for path in here.glob("*.json") if path.name != TIMESTAMP)
        for name in () if self._options.same_artifacts else (*names, TIMESTAMP):
            bucket.put(name, (here / name).read_bytes())
        shutil.rmtree(here)


def _check_clock(now: float, signed_at: float) -> None:
    """Raise Conflict where nobody can tell by the backup whether the clock is right.

    Devices keep the newest signed time as a floor: a clock that is a month ahead would cost them a
    month of updates.
    """
    if now - signed_at > AWAY:
        moment = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(now))
        raise Conflict(
            f"clock: it says {moment}, {(now - signed_at) / 86_400:.0f} days after the backup; if "
            "that is right, say so with --confirm-clock: what is signed now is believed by devices"
        )
