"""The signed repository: metadata and targets as plain files that any web server could serve.

Roles and keys: ``root`` and ``targets`` (offline key; targets only delegates), ``releases``
(publisher's key), ``plans``, ``snapshot``, ``timestamp`` (online key). Invariants:

* The order of writing is target files, role, snapshot, timestamp; each file appears whole. A crash
  in between leaves the old timestamp, which verifies; the next publish goes on from what is there.
* Nothing that ``releases`` once listed is ever changed or removed.
"""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

from securesystemslib.signer import CryptoSigner, Signer
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)

from cloud_hub.errors import Conflict, HubFault, Invalid
from cloud_hub.registry.signing import YEAR, load_signer
from cloud_hub.storage.artifact_store import ArtifactStore, read
from cloud_hub.storage.folder_store import FolderStore
from edge_sdk.contract.plan import Plan
from edge_sdk.system.files import write_atomic
from edge_sdk.update.trust import SIGNED_AT

RELEASES: Final = "releases"
PLANS: Final = "plans"
PATHS: Final = {RELEASES: ["models/*/*/*", "models/*/*", "packs/*/*"], PLANS: ["plans/*"]}
WEEK: Final = datetime.timedelta(days=7)
DAY: Final = datetime.timedelta(days=1)
S = TypeVar("S", Root, Targets, Snapshot, Timestamp)


class Repository:
    """Signed metadata in a folder, the targets that it lists, and the keys that sign.

    Args:
        folder: holds ``metadata``, and ``targets`` unless they are elsewhere.
        keys: folder of the private keys.
        targets: where the targets are; default the folder ``targets``.
    """

    def __init__(self, folder: Path, keys: Path, targets: ArtifactStore | None = None) -> None:
        self.metadata = folder / "metadata"
        self.targets = targets or FolderStore(folder / "targets")
        self._keys = keys

    @property
    def is_complete(self) -> bool:
        """True when the first metadata is all there; the timestamp is written last."""
        return (self.metadata / "timestamp.json").exists()

    def initialise(self) -> None:
        """Make keys and the first metadata, anew where that was interrupted.

        Raises:
            Conflict: there is a repository already.
        """
        if self.is_complete:
            raise Conflict(f"{self.metadata.parent}: holds a repository already")
        self.metadata.mkdir(parents=True, exist_ok=True)
        offline, releases, online = (self._new_key(n) for n in ("offline", RELEASES, "online"))
        # Consistent snapshots: every file has a version or a hash in its name, so a device that
        # downloads while somebody publishes never meets a mixture.
        root = Root(expires=_later(YEAR), consistent_snapshot=True)
        for role, signer in (
            ("root", offline), ("targets", offline), ("snapshot", online), ("timestamp", online),
        ):  # fmt: skip
            root.add_key(signer.public_key, role)
        self._write("1.root.json", _signed(root, offline))
        self._write("1.targets.json", _signed(_delegating(releases, online), offline))
        self._write(f"1.{RELEASES}.json", _signed(Targets(expires=_later(YEAR)), releases))
        self._write(f"1.{PLANS}.json", _signed(Targets(expires=_later(WEEK)), online))
        self._seal()

    def root(self) -> str:
        """Return the first root, from which a new device's trust starts."""
        return (self.metadata / "1.root.json").read_text()

    def releases(self) -> Metadata[Targets]:
        """Return the newest ``releases`` metadata."""
        return self._newest(RELEASES)

    def signer(self, name: str) -> Signer:
        """Return a key that is on this machine (``releases``, ``online``); raises Invalid."""
        return load_signer(self._keys / f"{name}.pem")

    def accept_releases(self, raw: bytes, fetch: Callable[[str], bytes]) -> list[str]:
        """Take new ``releases`` metadata from a publisher.

        Args:
            raw: the signed metadata.
            fetch: returns the content of a blob by its SHA-256; raises :class:`NotFound`.

        Returns:
            The paths of the targets that are new.

        Raises:
            Invalid: not signed by the releases key, or not the next version.
            Conflict: a target that was published is changed or missing, or somebody else published
                meanwhile.
            NotFound: the content of a new target was not uploaded.
        """
        with self._locked():
            offered = parse_releases(raw)
            current = self.releases()
            self._check_offer(raw, offered, current)
            new = [path for path in offered.signed.targets if path not in current.signed.targets]
            # Targets before the metadata that names them: a device never reads of a missing file.
            for path in new:
                self.put_target(path, offered.signed.targets[path], fetch)
            self._write(f"{offered.signed.version}.{RELEASES}.json", raw)
            self._seal()
            return new

    def publish_plan(self, plan: Plan) -> None:
        """Sign and publish the plan of a model."""
        with self._locked():
            raw = plan.to_json()
            path = f"plans/{plan.model}.json"
            target = TargetFile.from_data(path, raw)
            self.put_target(path, target, lambda _: raw)
            plans = self._newest(PLANS)
            plans.signed.targets[path] = target
            self._publish_plans(plans)

    def has_plan(self, plan: Plan) -> bool:
        """Return true if devices see this very plan."""
        target = self._sealed_plans().signed.targets.get(f"plans/{plan.model}.json")
        return target is not None and target == TargetFile.from_data(target.path, plan.to_json())

    def renew(self, now: datetime.datetime) -> bool:
        """Sign anew what the online key signs, if it is past half of its validity."""
        with self._locked():
            timestamp: Metadata[Timestamp] = self._read("timestamp.json")
            plans = self._newest(PLANS)
            # Plans first: publishing them writes a new timestamp too.
            if plans.signed.expires - now < WEEK / 2:
                self._publish_plans(plans)
                return True
            if timestamp.signed.expires - now < DAY / 2:
                self._seal()
                return True
            return False

    def put_target(self, path: str, target: TargetFile, fetch: Callable[[str], bytes]) -> None:
        """Put a target's content where devices download it, under a name with its hash.

        Args:
            path: of the target, as the metadata lists it.
            target: its length and hashes.
            fetch: returns the content of a blob by its SHA-256.

        Raises:
            Invalid: the content has another length or hash.
        """
        digest = target.hashes["sha256"]
        folder, _, name = path.rpartition("/")
        destination = f"{folder}/{digest}.{name}"
        # Its name has its hash, so what is there is the same: left by a hub that was killed.
        if self.targets.exists(destination):
            return
        raw = fetch(digest)
        try:
            target.verify_length_and_hashes(raw)
        except RepositoryError as error:
            raise Invalid(f"{path}: {error}") from error
        self.targets.put(destination, raw)

    def read_target(self, path: str) -> bytes:
        """Return the content of a target by the path that devices ask for; raises NotFound."""
        return read(self.targets, path)

    def _check_offer(
        self, raw: bytes, offered: Metadata[Targets], current: Metadata[Targets]
    ) -> None:
        targets = self._newest("targets")
        try:
            targets.signed.verify_delegate(RELEASES, offered.signed_bytes, offered.signatures)
        except RepositoryError as error:
            raise Invalid(f"releases: not signed with the releases key; {error}") from error
        # The version is the lock of publishers who sign elsewhere: the second one starts again.
        expected = current.signed.version + 1
        if offered.signed.version != expected:
            raise Conflict(
                f"releases: expected version {expected}, got {offered.signed.version}; "
                "somebody else published meanwhile, fetch it again"
            )
        for path, target in current.signed.targets.items():
            # Floors rise: the one target that a publisher may replace.
            if path.endswith("/floor.json"):
                continue
            if offered.signed.targets.get(path) != target:
                raise Conflict(f"{path}: a published target cannot be changed or removed")

    def _publish_plans(self, plans: Metadata[Targets]) -> None:
        plans.signed.version += 1
        plans.signed.expires = _later(WEEK)
        plans.sign(self.signer("online"))
        self._write(f"{plans.signed.version}.{PLANS}.json", plans.to_bytes())
        self._seal()

    def _seal(self) -> None:
        """Write the snapshot over the newest roles, then the timestamp: now devices see them."""
        online = self.signer("online")
        roles = ("targets", RELEASES, PLANS)
        meta = {f"{role}.json": MetaFile(self._version(role)) for role in roles}
        snapshot = Snapshot(self._version("snapshot") + 1, expires=_later(WEEK), meta=meta)
        self._write(f"{snapshot.version}.snapshot.json", _signed(snapshot, online))
        timestamp = Timestamp(
            snapshot.version, expires=_later(DAY), snapshot_meta=MetaFile(snapshot.version)
        )
        # A device without a reliable clock learns from this how late it is at least.
        timestamp.unrecognized_fields[SIGNED_AT] = int(time.time())
        self._write("timestamp.json", _signed(timestamp, online))

    def _sealed_plans(self) -> Metadata[Targets]:
        """Return the plans that devices see; a hub that was killed may have left newer ones."""
        timestamp: Metadata[Timestamp] = self._read("timestamp.json")
        version = timestamp.signed.snapshot_meta.version
        snapshot: Metadata[Snapshot] = self._read(f"{version}.snapshot.json")
        version = snapshot.signed.meta[f"{PLANS}.json"].version
        return self._read(f"{version}.{PLANS}.json")

    def _newest(self, role: str) -> Metadata[Any]:
        return self._read(f"{self._version(role)}.{role}.json")

    def _read(self, name: str) -> Metadata[Any]:
        """Return metadata on disk; raises HubFault if it is missing or damaged."""
        path = self.metadata / name
        try:
            return Metadata.from_bytes(path.read_bytes())
        except (OSError, RepositoryError) as error:
            raise HubFault(
                f"{path}: expected signed metadata, it is missing or damaged; restore the folder "
                "of the hub from a backup"
            ) from error

    def _version(self, role: str) -> int:
        """Return the newest version of ``role`` on disk, 0 if there is none."""
        # The folder is asked and not the snapshot, which lacks what was written just before a kill.
        names = (path.name for path in self.metadata.glob(f"*.{role}.json"))
        versions = [name.split(".")[0] for name in names]
        return max((int(version) for version in versions if version.isdecimal()), default=0)

    def _write(self, name: str, raw: bytes) -> None:
        write_atomic(self.metadata / name, raw)

    def _new_key(self, name: str) -> CryptoSigner:
        signer = CryptoSigner.generate_ed25519()
        self._keys.mkdir(parents=True, exist_ok=True)
        path = self._keys / f"{name}.pem"
        write_atomic(path, signer.private_bytes)
        path.chmod(0o600)
        return signer

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Let one publisher work at a time, over all processes of this folder."""
        handle = os.open(self.metadata.parent / "lock", os.O_RDWR | os.O_CREAT)
        try:
            # A lock of the system ends with its process, however that ends; a file would stay.
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)


def _delegating(releases: Signer, online: Signer) -> Targets:
    """Return targets metadata that lists nothing and delegates everything."""
    keys: Mapping[str, Signer] = {RELEASES: releases, PLANS: online}
    roles = {
        name: DelegatedRole(name, [key.public_key.keyid], 1, terminating=True, paths=PATHS[name])
        for name, key in keys.items()
    }
    public = {key.public_key.keyid: key.public_key for key in keys.values()}
    return Targets(expires=_later(YEAR), delegations=Delegations(public, roles))


def _signed(signed: S, signer: Signer) -> bytes:
    metadata = Metadata(signed)
    metadata.sign(signer)
    return metadata.to_bytes()


def parse_releases(raw: bytes) -> Metadata[Targets]:
    """Parse ``releases`` metadata, without verifying anything; raises Invalid."""
    try:
        metadata = Metadata[Targets].from_bytes(raw)
    except RepositoryError as error:
        raise Invalid(f"releases: expected signed metadata; {error}") from error
    if not isinstance(metadata.signed, Targets):
        raise Invalid("releases: expected metadata of type targets")
    return metadata


def _later(span: datetime.timedelta) -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC).replace(microsecond=0) + span
