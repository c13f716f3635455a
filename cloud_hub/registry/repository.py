"""The signed repository: metadata and targets as plain files that any web server could serve, in a
folder or in a bucket.

Roles and keys: ``root`` and ``targets`` (offline keys; targets only delegates), ``releases``
(publisher's key), ``plans``, ``snapshot``, ``timestamp`` (online key). Invariants:

* The order of writing is target files, role, snapshot, timestamp; each file appears whole. A crash
  in between leaves the old timestamp, which verifies; the next publish goes on from what is there.
* Nothing that ``releases`` once listed is ever changed or removed.
* Nothing is signed while the clock cannot be believed (:mod:`cloud_hub.registry.clock_guard`).
* No offline key is needed to open, to serve or to publish.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from securesystemslib.signer import Signer
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp

from cloud_hub.errors import Conflict, Invalid
from cloud_hub.registry import roles
from cloud_hub.registry.clock_guard import ClockGuard
from cloud_hub.registry.key_folder import KeyFolder, new_key
from cloud_hub.registry.metadata_folder import MetadataFolder
from cloud_hub.registry.metadata_store import TIMESTAMP, MetadataStore
from cloud_hub.registry.roles import DAY, LONG, PLANS, RELEASES, VALIDITY, WEEK, YEAR
from cloud_hub.registry.signing import parse_releases, sha256_of
from cloud_hub.storage.artifact_store import ArtifactStore, read
from cloud_hub.storage.folder_store import FolderStore
from edge_sdk.contract.entity_index import index_in_force
from edge_sdk.contract.plan import Plan
from edge_sdk.contract.version import SIGNED_AT

HOUR: Final = datetime.timedelta(hours=1)


class Repository:
    """Signed metadata, the targets that it lists, and the keys that sign.

    Args:
        folder: holds ``metadata`` and ``targets``, unless they are elsewhere.
        keys: folder of the private keys that are here.
        targets: where the targets are; default the folder ``targets``.
        metadata: where the metadata is; default the folder ``metadata``.
        clock: Unix seconds.
    """

    def __init__(
        self,
        folder: Path,
        keys: Path,
        targets: ArtifactStore | None = None,
        metadata: MetadataStore | None = None,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.files: MetadataStore = metadata or MetadataFolder(folder / "metadata")
        self.targets = targets or FolderStore(folder / "targets")
        self.keys = KeyFolder(keys)
        self.clock = clock
        self.guard = ClockGuard(folder / "clock.json")
        self._look_again = datetime.datetime.min.replace(tzinfo=datetime.UTC)

    @property
    def is_complete(self) -> bool:
        """True when the first metadata is all there; the timestamp is written last."""
        return self.files.exists(TIMESTAMP)

    def initialise(self, offline: Sequence[Signer] = (), threshold: int = 1) -> None:
        """Make keys and the first metadata, anew where that was interrupted.

        Args:
            offline: keys that sign root and targets; default one that is made here.
            threshold: number of them that it takes.

        Raises:
            Conflict: there is a repository already.
        """
        if self.is_complete:
            raise Conflict(f"{self.files.place}: holds a repository already")
        folder = self.keys.path
        offline = offline or [new_key(folder / "offline.pem", replace=True)]
        releases, online = (
            new_key(folder / f"{n}.pem", replace=True) for n in (RELEASES, "online")
        )
        public, year = [s.public_key for s in offline], self.later(YEAR)
        root = roles.first_root(public, threshold, online.public_key, year)
        targets = roles.first_targets(releases.public_key, online.public_key, year)
        self.files.write("1.root.json", signed(root, offline))
        self.files.write("1.targets.json", signed(targets, offline))
        self.files.write(f"1.{RELEASES}.json", signed(Targets(expires=year), [releases]))
        self.files.write(f"1.{PLANS}.json", signed(Targets(expires=self.later(WEEK)), [online]))
        self._seal()

    def recover(self) -> None:
        """Complete a change of keys that a kill interrupted."""
        with self.locked():
            self.adopt_keys()

    def root(self) -> str:
        """Return the newest root, from which a new device's trust starts.

        An older one would do too, and would let keys that were stolen since speak once more.
        """
        version = max(1, self.files.version("root"))
        return self.files.raw(f"{version}.root.json").decode()

    def identity(self) -> str:
        """Return what names this hub for good: a digest of its first root, in hexadecimal."""
        return hashlib.sha256(self.files.raw("1.root.json")).hexdigest()[:16]

    def releases(self) -> Metadata[Targets]:
        """Return the newest ``releases`` metadata."""
        return self.files.newest(RELEASES)

    def signer(self, name: str) -> Signer:
        """Return a key that is on this machine and may sign (``releases``, ``online``).

        Raises:
            Invalid: there is none.
        """
        role = RELEASES if name == RELEASES else "timestamp"
        return next(iter(self.held(role)), None) or self.keys.signer(name)

    def held(self, role: str) -> list[Signer]:
        """Return the keys of a role that are on this machine."""
        if not self.is_complete:
            return []
        here = self.keys.held()
        return [here[keyid] for keyid in self.role(role).keyids if keyid in here]

    def role(self, role: str) -> Any:
        """Return key ids and threshold of a role, from who delegates to it."""
        parent = "targets" if role in (RELEASES, PLANS) else "root"
        return self.files.newest(parent).signed.get_delegated_role(role)

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
                meanwhile; or nothing is signed for now.
            NotFound: the content of a new target was not uploaded.
        """
        with self.locked():
            self.check_clock()  # or the list would be there, and nothing that leads to it
            offered, current = self.check_releases(raw), self.releases()
            new = [path for path in offered.signed.targets if path not in current.signed.targets]
            # Targets before the metadata that names them: a device never reads of a missing file.
            for path in new:
                self.put_target(path, offered.signed.targets[path], fetch)
            self.files.write(f"{offered.signed.version}.{RELEASES}.json", raw)
            self._seal()
            return new

    def check_releases(self, raw: bytes) -> Metadata[Targets]:
        """Return ``releases`` that may follow the newest; raises as :meth:`accept_releases`.

        Args:
            raw: the signed metadata.
        """
        offered, current = parse_releases(raw), self.releases()
        targets = self.files.newest("targets")
        try:
            targets.signed.verify_delegate(RELEASES, offered.signed_bytes, offered.signatures)
        except RepositoryError as error:
            raise Invalid(f"releases: not signed with the releases key; {error}") from error
        roles.check_successor(offered.signed, current.signed)
        return offered

    def publish_plan(self, plan: Plan) -> None:
        """Sign and publish the plan of a model; raises Conflict while nothing is signed."""
        with self.locked():
            plans = self.files.newest(PLANS)
            self._list(plan, plans)
            self._publish_plans(plans)

    def publish_ahead(self, plans: Sequence[Plan], versions: int) -> None:
        """Sign and publish plans in metadata whose versions are far beyond those that are here.

        For a hub that was restored: devices may have seen versions that it does not know of.

        Args:
            plans: one for each model.
            versions: by which those of plans, snapshot and timestamp rise.

        Raises:
            Conflict: nothing is signed for now.
        """
        with self.locked():
            metadata = self.files.newest(PLANS)
            for plan in plans:
                self._list(plan, metadata)
            metadata.signed.version += versions - 1
            self._publish_plans(metadata, versions)

    def publish_entities(self, model: str, raw: bytes) -> None:
        """Sign and publish which index of answers by entity is in force.

        Args:
            model: name of the line.
            raw: an index that ``releases`` lists; empty for none.

        Raises:
            Conflict: nothing is signed for now.
        """
        path = index_in_force(model)
        with self.locked():
            plans = self.files.newest(PLANS)
            if raw:
                target = TargetFile.from_data(path, raw)
                self.put_target(path, target, lambda _: raw)
                plans.signed.targets[path] = target
            else:
                plans.signed.targets.pop(path, None)
            self._publish_plans(plans)

    def entities(self, model: str) -> bytes | None:
        """Return the index of answers by entity that devices see; ``None`` if there is none."""
        path = index_in_force(model)
        target = self._sealed_plans().signed.targets.get(path)
        if target is None:
            return None
        folder, _, name = path.rpartition("/")
        return self.read_target(f"{folder}/{sha256_of(path, target)}.{name}")

    def has_plan(self, plan: Plan) -> bool:
        """Return true if devices see this very plan."""
        target = self._sealed_plans().signed.targets.get(f"plans/{plan.model}.json")
        return target is not None and target == TargetFile.from_data(target.path, plan.to_json())

    def renew(self, now: datetime.datetime) -> bool:
        """Sign anew what is past half of its validity, as far as its keys are here.

        Args:
            now: when it is.

        Raises:
            Conflict: nothing is signed while the clock cannot be believed.
        """
        # Asked before the lock is taken: each tick of the loop comes by.
        due = self._due(now)
        if not due:
            return False
        with self.locked():
            if any(role in LONG for role in due):
                self.commit({role: self.files.newest(role) for role in due if role in LONG})
            elif PLANS in due:  # publishing them writes a new timestamp too
                self._publish_plans(self.files.newest(PLANS))
            else:
                self._seal()
        return True

    def _due(self, now: datetime.datetime) -> list[str]:
        """Return the roles that are past half of their validity and whose keys are here."""
        newest = {PLANS: self.files.newest(PLANS), "timestamp": self.files.read(TIMESTAMP)}
        # Once an hour: releases may list thousands of files, and half a year is not short.
        if now >= self._look_again:
            self._look_again = now + HOUR
            newest |= {role: self.files.newest(role) for role in LONG}
        old = [r for r, m in newest.items() if m.signed.expires - now < VALIDITY[r] / 2]
        return [role for role in old if self.holds(role)]

    def holds(self, role: str) -> bool:
        """Return whether as many keys of a role are here as it takes."""
        return len(self.held(role)) >= int(self.role(role).threshold)

    def commit(self, changed: Mapping[str, Metadata[Any]], *, signed_already: bool = False) -> None:
        """Put the next versions of offline roles and of what the online key signs in force.

        The lock is held.

        Args:
            changed: metadata by role: as it is in force, to be signed anew; or ``signed_already``
                as the next version.
            signed_already: whoever holds the keys has signed.
        """
        self.check_clock()
        files: dict[str, bytes] = {}
        for role, metadata in changed.items():
            if not signed_already:
                metadata.signed.version += 1
                metadata.signed.expires = self.later(YEAR)
                sign(metadata, self.held(role))
            files[f"{metadata.signed.version}.{role}.json"] = metadata.to_bytes()
        root = changed.get("root") or self.files.newest("root")
        targets = changed.get("targets") or self.files.newest("targets")
        plans = self.files.newest(PLANS)
        if targets.signed.get_delegated_role(PLANS).keyids != self.role(PLANS).keyids:
            # Whoever had the old key may have written these: the hub publishes its own again.
            plans.signed.targets.clear()
        plans.signed.version += 1
        plans.signed.expires = self.later(WEEK)
        sign(plans, self._online(targets, PLANS))
        files[f"{plans.signed.version}.{PLANS}.json"] = plans.to_bytes()
        versions = {r: m.signed.version for r, m in changed.items()} | {PLANS: plans.signed.version}
        sealed = self._sealed(root, versions)
        # The chain of roots is asked for by number, so the root is in force once it is there: it
        # comes just before the timestamp, which its keys sign.
        last = f"{root.signed.version}.root.json"
        ends = {name: files.pop(name) for name in [last] if name in files}
        timestamp = {TIMESTAMP: sealed.pop(TIMESTAMP)}
        self.files.commit({**files, **sealed, **ends, **timestamp})
        self.adopt_keys()
        self.guard.note(self.clock())

    def adopt_keys(self) -> None:
        """Give new keys their names, where metadata lists them."""
        root, targets = self.files.newest("root").signed, self.files.newest("targets").signed
        self.keys.adopt({*root.keys, *targets.delegations.keys})

    def put_target(self, path: str, target: TargetFile, fetch: Callable[[str], bytes]) -> None:
        """Put a target's content where devices download it, under a name with its hash.

        Args:
            path: of the target, as the metadata lists it.
            target: its length and hashes.
            fetch: returns the content of a blob by its SHA-256.

        Raises:
            Invalid: the content has another length or hash, or the hash is none.
        """
        digest = sha256_of(path, target)
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

    def check_clock(self) -> None:
        """Raise Conflict while the clock cannot be believed."""
        self.guard.check(self.clock(), self.signed_at())

    def signed_at(self) -> float:
        """Return the newest time that this hub signed, Unix seconds; 0 if there is none."""
        if not self.is_complete:
            return 0.0
        timestamp = self.files.read(TIMESTAMP)
        return float(timestamp.signed.unrecognized_fields.get(SIGNED_AT, 0))

    def later(self, span: datetime.timedelta) -> datetime.datetime:
        """Return a moment from now, in whole seconds."""
        now = datetime.datetime.fromtimestamp(self.clock(), datetime.UTC)
        return now.replace(microsecond=0) + span

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Let one publisher work at a time, over all processes of this folder."""
        with self.files.locked():
            yield

    def _list(self, plan: Plan, plans: Metadata[Targets]) -> None:
        raw, path = plan.to_json(), f"plans/{plan.model}.json"
        target = TargetFile.from_data(path, raw)
        self.put_target(path, target, lambda _: raw)
        plans.signed.targets[path] = target

    def _publish_plans(self, plans: Metadata[Targets], versions: int = 1) -> None:
        self.check_clock()
        plans.signed.version += 1
        plans.signed.expires = self.later(WEEK)
        sign(plans, self._online(self.files.newest("targets"), PLANS))
        self.files.write(f"{plans.signed.version}.{PLANS}.json", plans.to_bytes())
        self._seal(versions)

    def _seal(self, versions: int = 1) -> None:
        """Write the snapshot over the newest roles, then the timestamp: now devices see them."""
        self.check_clock()
        for name, raw in self._sealed(self.files.newest("root"), {}, versions).items():
            self.files.write(name, raw)
        self.guard.note(self.clock())

    def _sealed(
        self, root: Metadata[Root], versions: Mapping[str, int], further: int = 1
    ) -> dict[str, bytes]:
        """Return snapshot and timestamp over the newest roles, signed as ``root`` says.

        Args:
            root: that is in force with them.
            versions: of roles that are not written yet.
            further: by which their own versions rise.
        """
        listed = {
            f"{role}.json": MetaFile(versions.get(role) or self.files.version(role))
            for role in ("targets", RELEASES, PLANS)
        }
        number = self.files.version("snapshot") + further
        snapshot = Snapshot(number, expires=self.later(WEEK), meta=listed)
        timestamp = Timestamp(number, expires=self.later(DAY), snapshot_meta=MetaFile(number))
        # A device without a reliable clock learns from this how late it is at least.
        timestamp.unrecognized_fields[SIGNED_AT] = int(self.clock())
        return {
            f"{number}.snapshot.json": signed(snapshot, self._online(root, "snapshot")),
            TIMESTAMP: signed(timestamp, self._online(root, "timestamp")),
        }

    def _online(self, delegator: Metadata[Any], role: str) -> list[Signer]:
        """Return the keys here that sign a role; raises Invalid, Conflict if there are too few."""
        wanted, here = delegator.signed.get_delegated_role(role), self.keys.held()
        keys = [here[keyid] for keyid in wanted.keyids if keyid in here]
        if not keys:
            self.keys.signer("online")  # says what is wrong with the file
        if len(keys) < wanted.threshold:
            ids = ", ".join(keyid[:12] for keyid in wanted.keyids)
            raise Conflict(
                f"{role}: it takes {wanted.threshold} of the keys {ids}, and {len(keys)} are in "
                f"{self.keys.path}; put them there, or edge-hub keys rotate online"
            )
        return keys

    def _sealed_plans(self) -> Metadata[Targets]:
        """Return the plans that devices see; a hub that was killed may have left newer ones."""
        timestamp: Metadata[Timestamp] = self.files.read(TIMESTAMP)
        version = timestamp.signed.snapshot_meta.version
        snapshot: Metadata[Snapshot] = self.files.read(f"{version}.snapshot.json")
        version = snapshot.signed.meta[f"{PLANS}.json"].version
        return self.files.read(f"{version}.{PLANS}.json")


def sign(metadata: Metadata[Any], keys: Sequence[Signer]) -> None:
    """Sign with all of ``keys``, in place of what signed it before."""
    metadata.signatures.clear()
    for key in keys:
        metadata.sign(key, append=True)


def signed(content: Any, keys: Sequence[Signer]) -> bytes:
    """Return the metadata of a role, signed."""
    metadata: Metadata[Any] = Metadata(content)
    sign(metadata, keys)
    return metadata.to_bytes()
