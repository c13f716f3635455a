"""The registry: the versions of every model, their artifacts, and the way in for new ones."""

from __future__ import annotations

import functools
import logging
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sqlalchemy import Engine, func, insert, select, tuple_, update
from sqlalchemy.exc import IntegrityError

from cloud_hub.database.engine import transaction
from cloud_hub.errors import Conflict, Invalid, NotFound
from cloud_hub.policy.schema.parse import parse_policy
from cloud_hub.registry import signing
from cloud_hub.registry.own_publishing import publish_on_newest
from cloud_hub.registry.release_report import ReleaseReport, release_report
from cloud_hub.registry.repository import Repository
from cloud_hub.registry.roles import RELEASES
from cloud_hub.registry.signing import parse_releases, sha256_of
from cloud_hub.registry.tables import models, versions
from cloud_hub.text.spelling import listed
from edge_sdk.contract.errors import ContractError, EdgeError
from edge_sdk.contract.manifest import MANIFEST, Manifest
from edge_sdk.contract.names import Version, check_digest, check_name
from edge_sdk.model.release import Release
from edge_sdk.system.files import folder_atomic

if TYPE_CHECKING:
    from cloud_hub.database.audit import Audit
    from cloud_hub.policy.schema.sections import Policy
    from cloud_hub.registry.blobs import BlobStore

log = logging.getLogger(__name__)

STATUSES: Final = ("published", "serving", "retired", "rolled_back")
NAMED: Final = 100
"""Versions that an error looks at, to name some of them."""

REPORTS: Final = 1_000
"""Releases whose reports are in memory, a few kilobytes each."""

OfflineGate = Callable[[str, Release], object]
"""Checks a candidate for a model against what serves; raises :class:`GateRefused`."""


@dataclass(frozen=True)
class VersionRecord:
    """One version of a model.

    Attributes:
        model: name of the line.
        version: ``MAJOR.MINOR``.
        manifest: SHA-256 of the release's manifest, which binds every other file.
        parent: version that it was trained from, if any.
        mode: ``stateful`` or ``stateless``.
        metrics: as the training reported them.
        rows: number of rows that it was trained on.
        status: one of :data:`STATUSES`.
        training_state: SHA-256 of what a stateful run continues from, if there is any.
        published_at: Unix seconds.
        actor: who published it.
        override: reason to publish it past the offline gate, if somebody gave one.
    """

    model: str
    version: str
    manifest: str
    parent: str | None
    mode: str
    metrics: dict[str, float]
    rows: int
    status: str
    training_state: str | None
    published_at: float
    actor: str
    override: str | None


class Registry:
    """Models and versions. The signed repository is the truth; the tables follow it.

    Args:
        engine: of the hub's database.
        audit: where publications are noted.
        blobs: uploads, rows of datasets and training states.
        repository: signed metadata and targets.
        cache: folder of release folders, made of blobs or targets when they are needed.
        offline_gate: asked before a version that no run has checked is taken in.
    """

    def __init__(
        self,
        engine: Engine,
        audit: Audit,
        blobs: BlobStore,
        repository: Repository,
        cache: Path,
        *,
        offline_gate: OfflineGate,
    ) -> None:
        self._engine = engine
        self._audit = audit
        self.blobs = blobs
        self.repository = repository
        self._cache = cache
        self._offline_gate = offline_gate
        self._reports: dict[str, ReleaseReport] = {}
        self._reconcile()

    def models(self) -> list[str]:
        """Return the names of all models, in order."""
        with self._engine.connect() as db:
            return list(db.execute(select(models.c.model).order_by(models.c.model)).scalars())

    def versions(self, model: str) -> list[VersionRecord]:
        """Return all versions of ``model``, oldest first."""
        query = select(versions).where(versions.c.model == model).order_by(versions.c.published_at)
        with self._engine.connect() as db:
            return [VersionRecord(**row) for row in db.execute(query).mappings()]

    def page(self, model: str, limit: int, *, before: str | None = None) -> list[VersionRecord]:
        """Return the newest versions of ``model``, oldest first.

        Args:
            model: name of the line.
            limit: versions at most.
            before: only those that were published before this one.

        Raises:
            NotFound: ``before`` is not published.
        """
        place = (versions.c.published_at, versions.c.version)
        query = select(versions).where(versions.c.model == model)
        if before is not None:
            last = self.version(model, before)
            query = query.where(tuple_(*place) < (last.published_at, last.version))
        newest = query.order_by(*(column.desc() for column in place)).limit(limit)
        with self._engine.connect() as db:
            rows = [VersionRecord(**row) for row in db.execute(newest).mappings()]
        return rows[::-1]

    def count(self, model: str) -> int:
        """Return how many versions of ``model`` there are."""
        t = versions.c
        query = select(func.count()).select_from(versions).where(t.model == model)
        with self._engine.connect() as db:
            return int(db.execute(query).scalar_one())

    def children(self, model: str, version: str) -> list[str]:
        """Return the versions that were trained from ``version``, oldest first."""
        t = versions.c
        query = select(t.version).where(t.model == model, t.parent == version)
        with self._engine.connect() as db:
            return list(db.execute(query.order_by(t.published_at)).scalars())

    def version(self, model: str, version: str) -> VersionRecord:
        """Return one version; raises NotFound."""
        one = select(versions).where(versions.c.model == model, versions.c.version == version)
        with self._engine.connect() as db:
            row = db.execute(one).mappings().first()
        if row is None:
            there = [record.version for record in self.page(model, NAMED)]
            raise NotFound(
                f"{model} {version}: not published"
                + (f"; there are {listed(there)}" if there else "")
            )
        return VersionRecord(**row)

    def set_status(self, model: str, version: str, status: str) -> None:
        """Note what became of a version.

        Args:
            model: name of the line.
            version: one of its versions.
            status: one of :data:`STATUSES`.
        """
        assert status in STATUSES
        change = update(versions).where(versions.c.model == model, versions.c.version == version)
        with transaction(self._engine) as db:
            db.execute(change.values(status=status))

    def next_version(self, model: str, parent: str, mode: str) -> str:
        """Return the name for a successor: a new minor if stateful, else a new major.

        Args:
            model: name of the line; it has at least one version.
            parent: version that the successor is trained from.
            mode: ``stateful`` or ``stateless``.
        """
        versions = [Version.parse(name) for name in self._names(model)]
        if mode == "stateful":
            major = Version.parse(parent).major
            return str(Version(major, 1 + max(v.minor for v in versions if v.major == major)))
        return str(Version(1 + max(v.major for v in versions), 0))

    def _names(self, model: str) -> list[str]:
        query = select(versions.c.version).where(versions.c.model == model)
        with self._engine.connect() as db:
            return list(db.execute(query).scalars())

    def release(self, model: str, version: str) -> Release:
        """Return the release folder of a version, made of the published files; raises NotFound."""
        return self._release(self.version(model, version))

    def _release(self, record: VersionRecord) -> Release:
        folder = self._folder(record.manifest)
        if not folder.exists():
            self._materialise(record.model, record.version, record.manifest, folder)
        # The files were verified when they were published, and nobody else writes there.
        return Release.open(folder, verify=False)

    def report(self, model: str, version: str) -> ReleaseReport:
        """Return what a version's release holds; raises NotFound."""
        return self._report(self.version(model, version))

    def reports(self, model: str, limit: int, *, before: str | None = None) -> list[ReleaseReport]:
        """Return what the releases of a :meth:`page` hold; raises as that does."""
        return [self._report(record) for record in self.page(model, limit, before=before)]

    def _report(self, record: VersionRecord) -> ReleaseReport:
        # A digest binds all that a release holds, so it is read once; its status changes.
        known = self._reports.get(record.manifest)
        if known is None:
            known = release_report(record, self._release(record))
            self._reports[record.manifest] = known
            for digest in list(self._reports)[:-REPORTS]:
                self._reports.pop(digest, None)
        return replace(known, version=record)

    def training_state(self, model: str, version: str) -> bytes | None:
        """Return the state that a stateful run continues from, if there is any."""
        digest = self.version(model, version).training_state
        return self.blobs.get(digest) if digest else None

    def publish(
        self,
        release: Release,
        *,
        actor: str,
        training_state: bytes | None = None,
        gated: bool = False,
        override: str | None = None,
    ) -> VersionRecord:
        """Sign and publish with the key on this machine, as a run does; see :meth:`accept`.

        Args:
            release: folder of the version.
            actor: who publishes it.
            training_state: what a later stateful run continues from.
            gated: the offline gate has passed it already.
            override: reason to pass over the offline gate.
        """
        for path in signing.release_targets(release).values():
            self.blobs.put(path)
        state = self.blobs.put(training_state) if training_state is not None else None
        signer = self.repository.signer(RELEASES)
        now, manifest = self.repository.clock(), release.manifest
        return publish_on_newest(
            self.repository,
            lambda newest: signing.add_release(newest, release, signer, now=now),
            lambda raw: self.accept(
                raw, manifest.model, manifest.version,
                actor=actor, state=state, gated=gated, override=override,
            ),
        )  # fmt: skip

    def accept(
        self,
        raw: bytes,
        model: str,
        version: str,
        *,
        actor: str,
        state: str | None = None,
        override: str | None = None,
        gated: bool = False,
    ) -> VersionRecord:
        """Take in a version whose blobs were uploaded and whose metadata a publisher signed.

        A version that is published already, with the same content, is returned as it is.

        Args:
            raw: ``releases`` metadata that lists it, signed.
            model: name of the line.
            version: that is new.
            actor: who publishes it.
            state: SHA-256 of the blob from which a stateful run continues.
            override: reason to pass over the offline gate.
            gated: the offline gate has passed it already.

        Raises:
            Invalid: bad signature or manifest.
            Conflict: the version exists with other content, or somebody else published meanwhile.
            GateRefused: the offline gate says no, and ``override`` gives no reason.
            NotFound: a blob was not uploaded.
        """
        manifest = self._offered_manifest(raw, model, version)
        with self._engine.connect() as db:
            where = (versions.c.model == model) & (versions.c.version == version)
            published = db.execute(select(versions.c.manifest).where(where)).scalar()
        if published is not None:
            if published == manifest:
                return self.version(model, version)
            raise Conflict(f"{model} {version}: published already, with other content")
        # Before anything that it names is looked for: nobody vouches for unsigned metadata.
        self.repository.check_releases(raw)
        if state is not None:
            check_digest("state", state)
        candidate = self._candidate(manifest)
        if not (override or gated):
            self._offline_gate(model, candidate)
        # The repository first: it is the truth, and _reconcile notes what a kill leaves out here.
        self.repository.accept_releases(raw, self.blobs.get)
        self._insert(candidate.manifest, manifest, actor, state, override)
        detail = {"version": version, "manifest": manifest, "override": override}
        self._audit.record(actor, "publish", model, detail)
        log.info("%s %s published by %s", model, version, actor)
        return self.version(model, version)

    def policy(self, model: str) -> Policy:
        """Return the policy in force; the defaults until one was set."""
        return _parsed(self.policy_text(model))

    def policy_text(self, model: str) -> str:
        """Return the policy as it was written; empty until one was set."""
        with self._engine.connect() as db:
            text = db.execute(select(models.c.policy).where(models.c.model == model)).scalar()
        return text or ""

    def set_policy(self, model: str, text: str, actor: str, override: str | None = None) -> Policy:
        """Set the policy of a model, without a look at what that changes.

        Args:
            model: name of the line; it may be new.
            text: YAML.
            actor: who sets it.
            override: reason for a training that cannot begin on this machine.

        Raises:
            Invalid: the text is no policy.
        """
        policy = parse_policy(text)
        self.ensure_model(model)
        with transaction(self._engine) as db:
            db.execute(update(models).where(models.c.model == model).values(policy=text))
        self._audit.record(actor, "policy", model, {"policy": text, "override": override})
        return policy

    def _offered_manifest(self, raw: bytes, model: str, version: str) -> str:
        target = parse_releases(raw).signed.targets.get(f"models/{model}/{version}/{MANIFEST}")
        if target is None:
            raise Invalid(f"releases: expected a target models/{model}/{version}/{MANIFEST}")
        return sha256_of(target.path, target)

    def _candidate(self, manifest: str) -> Release:
        """Return a release folder made of uploaded blobs; raises Invalid, NotFound."""
        folder = self._folder(manifest)
        if not folder.exists():
            raw = self.blobs.get(manifest)
            try:
                parsed = Manifest.from_json(raw)
            except ContractError as error:
                raise Invalid(f"manifest: {error}") from error
            files = {n: self.blobs.get(ref.sha256) for n, ref in parsed.files.items()}
            _fill(folder, {**files, MANIFEST: raw})
        try:
            return Release.open(folder)
        except EdgeError as error:
            # Or the next upload under this digest would be judged by the damaged folder.
            shutil.rmtree(folder, ignore_errors=True)
            raise Invalid(str(error)) from error

    def _folder(self, manifest: str) -> Path:
        """Return the place of a release's folder; raises Invalid unless a SHA-256 names it."""
        try:
            check_digest("manifest", manifest)
        except ContractError as error:
            raise Invalid(str(error)) from error
        return self._cache / manifest

    def _materialise(self, model: str, version: str, manifest: str, folder: Path) -> None:
        prefix = f"models/{model}/{version}"
        raw = self.repository.read_target(f"{prefix}/{manifest}.{MANIFEST}")
        refs = Manifest.from_json(raw).files
        files = {
            name: self.repository.read_target(f"{prefix}/{ref.sha256}.{name}")
            for name, ref in refs.items()
        }
        _fill(folder, {**files, MANIFEST: raw})

    def _insert(
        self, manifest: Manifest, digest: str, actor: str, state: str | None, override: str | None
    ) -> None:
        self.ensure_model(manifest.model)
        row = {
            "model": manifest.model,
            "version": manifest.version,
            "manifest": digest,
            "parent": manifest.lineage.parent,
            "mode": manifest.lineage.mode,
            "metrics": dict(manifest.metrics),
            "rows": manifest.lineage.rows,
            "status": "published",
            "training_state": state,
            "published_at": time.time(),
            "actor": actor,
            "override": override,
        }
        with transaction(self._engine) as db:
            db.execute(insert(versions).values(**row))

    def ensure_model(self, model: str) -> None:
        """Add a model unless it is there; raises Invalid for what is no name."""
        try:
            check_name("model", model)
        except ContractError as error:
            raise Invalid(str(error)) from error
        try:
            with transaction(self._engine) as db:
                db.execute(insert(models).values(model=model, policy=""))
        except IntegrityError:  # it is there already
            return

    def _reconcile(self) -> None:
        """Add versions that were published but not noted, because the hub was killed in between."""
        with self._engine.connect() as db:
            noted = {tuple(row) for row in db.execute(select(versions.c.model, versions.c.version))}
        for path, target in self.repository.releases().signed.targets.items():
            parts = path.split("/")
            if parts[0] != "models" or parts[-1] != MANIFEST:
                continue
            _, model, version, _ = parts
            if (model, version) not in noted:
                digest = sha256_of(path, target)
                name = f"models/{model}/{version}/{digest}.{MANIFEST}"
                manifest = Manifest.from_json(self.repository.read_target(name))
                self._insert(manifest, digest, "recovery", None, None)
                log.warning("%s %s was published and not noted; it is now", model, version)


def _fill(folder: Path, files: dict[str, bytes]) -> None:
    """Write a cache folder; two processes may do it at once, one of them wins."""
    try:
        with folder_atomic(folder) as temporary:
            for name, raw in files.items():
                (temporary / name).write_bytes(raw)
    except OSError:
        if not folder.exists():  # the other process has not won either: the disk is full, say
            raise


@functools.lru_cache(maxsize=1_024)
def _parsed(text: str) -> Policy:
    """Parse a policy once: the loop asks every second, and reading YAML takes milliseconds."""
    return parse_policy(text)
