"""Versions of training code of all models: noted with each run, and gone back to by a command.

A version is the content of ``train.path``, of the files that ``train.command`` names, and how they
are called. Code behind a webhook is elsewhere, and its versions are names that it tells. A model
trains with what its policy names, or is *held* at an older version until somebody lets it follow
the policy again. Invariant: a held model never trains with another code, and a version whose files
are damaged trains nothing.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine, delete, insert, select
from sqlalchemy.exc import IntegrityError

from cloud_hub.database.engine import transaction
from cloud_hub.errors import Conflict, NotFound
from cloud_hub.runs.code.environment import differences, packages
from cloud_hub.runs.code.tables import held_pipelines, pipelines
from cloud_hub.runs.code.tree import CodeTree, read_code

if TYPE_CHECKING:
    from cloud_hub.database.audit import Audit
    from cloud_hub.policy.schema.sections import TrainPolicy
    from cloud_hub.registry.blobs import BlobStore


@dataclass(frozen=True)
class PipelineVersion:
    """A version of a model's training code.

    Attributes:
        model: whose training it is.
        number: 1 for the first.
        digest: SHA-256 of the files and of how they are called.
        lock: SHA-256 of the files that pin packages; empty without any.
        entry: ``module:function``, if it is a function.
        command: program and arguments, if it is one; ``{code}`` is where its files are.
        elsewhere: name that a pipeline behind a webhook gave its code, which is not here.
        blob: SHA-256 of the kept files.
        files: SHA-256 of each file, by path.
        left_out: files beside them that are not kept: data, and links.
        packages: versions of what was installed when it was first seen.
        created_at: Unix seconds.
    """

    model: str
    number: int
    digest: str
    lock: str
    entry: str | None
    command: tuple[str, ...] | None
    elsewhere: str | None
    blob: str
    files: Mapping[str, str]
    left_out: int
    packages: Mapping[str, str]
    created_at: float


@dataclass(frozen=True)
class HeldPipeline:
    """Version that a model is held at, by whom, why, and since when (Unix seconds)."""

    model: str
    number: int
    actor: str
    reason: str
    at: float


class Pipelines:
    """Versions of training code of all models.

    Args:
        engine: of the hub's database.
        audit: where changes are noted.
        blobs: where files are kept.
    """

    def __init__(self, engine: Engine, audit: Audit, blobs: BlobStore) -> None:
        self._engine = engine
        self._audit = audit
        self._blobs = blobs

    def current(self, model: str, policy: TrainPolicy) -> PipelineVersion | None:
        """Return the version that the model trains with now; a new one is stored.

        ``None`` for a webhook, which says afterwards what it has trained with.

        Raises:
            Invalid: ``train.path`` is no folder of code.
            Conflict: the model is held at code that is elsewhere, where no webhook is named.
        """
        held = self.held(model)
        if held is not None:
            version = self.get(model, held.number)
            if version.elsewhere is not None and policy.webhook is None:
                raise Conflict(
                    f"{model}: is held at pipeline {held.number}, whose code {version.elsewhere} "
                    f"is elsewhere; train names no webhook; edge-hub pipeline follow {model}"
                )
            return version
        if policy.webhook is not None:
            return None
        folder = Path(policy.path).absolute() if policy.path else None
        return self._stored(model, read_code(folder, policy.entry, policy.command))

    def declared(self, model: str, name: str) -> PipelineVersion:
        """Return the version of code elsewhere that its pipeline calls ``name``; stored if new.

        Raises:
            Conflict: the model is held at another version.
        """
        held = self.held(model)
        wanted = None if held is None else self.get(model, held.number)
        if wanted is not None and wanted.elsewhere != name:
            raise Conflict(
                f"{model}: is held at pipeline {wanted.number}, {wanted.elsewhere or 'kept here'}, "
                f"but the webhook's trained with {name or 'code that it does not name'}"
            )
        digest = hashlib.sha256(f"elsewhere {name}".encode()).hexdigest()
        row: dict[str, Any] = {
            "model": model, "digest": digest, "lock": "", "elsewhere": name, "blob": "",
            "files": {}, "left_out": 0, "packages": {}, "created_at": time.time(),
        }  # fmt: skip
        return wanted or self.by_digest(model, digest) or self._add(model, row)

    def held(self, model: str) -> HeldPipeline | None:
        """Return the version that a model is held at, if it is."""
        query = select(held_pipelines).where(held_pipelines.c.model == model)
        with self._engine.connect() as db:
            row = db.execute(query).mappings().first()
        return None if row is None else HeldPipeline(**row)

    def hold(self, model: str, number: int, *, actor: str, reason: str) -> PipelineVersion:
        """Train with an older version from now on.

        Args:
            model: name of the line.
            number: of the version.
            actor: who asks.
            reason: stays in the audit.

        Raises:
            NotFound: there is no such version, or its files are gone.
        """
        version = self.get(model, number)
        if version.elsewhere is None:
            self._blobs.get(version.blob)
        row = {"number": number, "actor": actor, "reason": reason, "at": time.time()}
        with transaction(self._engine) as db:
            db.execute(delete(held_pipelines).where(held_pipelines.c.model == model))
            db.execute(insert(held_pipelines).values(model=model, **row))
        self._audit.record(actor, "pipeline held", model, {"pipeline": number, "reason": reason})
        return version

    def follow(self, model: str, *, actor: str, reason: str) -> None:
        """Train with what the policy names again.

        Raises:
            NotFound: the model is not held.
        """
        if self.held(model) is None:
            raise NotFound(f"{model}: is not held at a pipeline; it follows its policy")
        with transaction(self._engine) as db:
            db.execute(delete(held_pipelines).where(held_pipelines.c.model == model))
        self._audit.record(actor, "pipeline follows the policy", model, {"reason": reason})

    def versions(self, model: str) -> list[PipelineVersion]:
        """Return all versions of a model, oldest first."""
        query = select(pipelines).where(pipelines.c.model == model).order_by(pipelines.c.number)
        with self._engine.connect() as db:
            return [_version(row) for row in db.execute(query).mappings()]

    def get(self, model: str, number: int) -> PipelineVersion:
        """Return a version; raises NotFound."""
        found = [each for each in self.versions(model) if each.number == number]
        if not found:
            raise NotFound(f"{model}: has no pipeline {number}; see edge-hub pipeline list {model}")
        return found[0]

    def by_digest(self, model: str, digest: str) -> PipelineVersion | None:
        """Return the version of a digest, if there is one."""
        return next((each for each in self.versions(model) if each.digest == digest), None)

    def files(self, version: PipelineVersion) -> bytes:
        """Return the files of a version as a ZIP; raises NotFound."""
        if version.elsewhere is not None:
            raise NotFound(
                f"{version.model}: the code of pipeline {version.number} is elsewhere, where it is "
                f"called {version.elsewhere}"
            )
        return self._blobs.get(version.blob)

    def kept_files(self, model: str, version: PipelineVersion | None) -> bytes | None:
        """Return the files that a model which is held trains with; those in place need no copy."""
        if version is None or version.elsewhere is not None or self.held(model) is None:
            return None
        return self.files(version)

    def other_packages(self, version: PipelineVersion) -> tuple[str, ...]:
        """Return in words which packages are others now than when a version was first seen."""
        if version.elsewhere is not None:
            return ()
        return differences(version.packages, packages())

    def _stored(self, model: str, tree: CodeTree) -> PipelineVersion:
        known = self.by_digest(model, tree.digest)
        if known is not None:
            return known
        row: dict[str, Any] = {
            "model": model, "digest": tree.digest, "lock": tree.lock, "entry": tree.entry,
            "command": None if tree.command is None else list(tree.command),
            "blob": self._blobs.put(tree.to_zip()), "files": dict(tree.digests),
            "left_out": tree.left_out, "packages": dict(packages()), "created_at": time.time(),
        }  # fmt: skip
        return self._add(model, row)

    def _add(self, model: str, row: Mapping[str, Any]) -> PipelineVersion:
        number = len(self.versions(model)) + 1
        try:
            with transaction(self._engine) as db:
                db.execute(insert(pipelines).values(number=number, **row))
        except IntegrityError:  # another process of the hub stored it at the same moment
            known = self.by_digest(model, row["digest"])
            if known is None:
                raise
            return known
        return self.get(model, number)


def _version(row: Any) -> PipelineVersion:
    values = {name: value for name, value in row.items() if name != "id"}
    command = values["command"]
    return PipelineVersion(**{**values, "command": None if command is None else tuple(command)})
