"""Batch features of models: stored, written to a file for each release of a plan, signed.

Invariant: a file of features belongs to one release. A plan names with each release its own file,
as far as there is one; so a device never joins columns of another version.
"""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cloud_hub.errors import Invalid, NotFound
from cloud_hub.features.store import FeatureInfo, FeatureStore
from cloud_hub.features.table import FeatureTable, Value, check_names, known_columns, typed
from cloud_hub.packs.publishing import FEATURES, publish_pack
from cloud_hub.registry.roles import RELEASES
from edge_sdk.errors import PackError
from edge_sdk.packs.entity_features import write_entity_features

if TYPE_CHECKING:
    from cloud_hub.database.audit import Audit
    from cloud_hub.plans.service import Plans
    from cloud_hub.registry.service import Registry
    from edge_sdk.contract.plan import PackRef, Plan, ReleaseRef
    from edge_sdk.model.release import Release

log = logging.getLogger(__name__)

ACTION: Final = "features"


@dataclass(frozen=True)
class FeatureFile:
    """A signed file of features: its SHA-256 and length."""

    sha256: str
    bytes: int


@dataclass(frozen=True)
class FeatureStatus:
    """The features of a model.

    Attributes:
        model: name of the line.
        entities: number of those stored.
        defaults: for each column, the value of other entities.
        updated_at: Unix seconds.
        expires: Unix seconds after which devices stop using them; ``None`` for never.
        files: by version, the file that devices of the plan download.
    """

    model: str
    entities: int
    defaults: Mapping[str, Value]
    updated_at: float
    expires: int | None
    files: Mapping[str, FeatureFile]


class Features:
    """Batch features of all models.

    Args:
        data: folder of the hub.
        audit: where changes are noted.
        registry: versions and the signed repository.
        plans: which name the files.
    """

    def __init__(self, data: Path, audit: Audit, registry: Registry, plans: Plans) -> None:
        self._store = FeatureStore(data / "features.db")
        self._audit = audit
        self._registry = registry
        self._plans = plans
        self._built: dict[str, tuple[tuple[float, str], PackRef | None]] = {}

    def status(self, model: str) -> FeatureStatus:
        """Return the features of a model and the file of each release of its plan.

        Raises:
            NotFound: it has none.
        """
        info, plan = self._store.info(model), self._plans.current(model)
        if info is None:
            raise NotFound(f"{model}: has no batch features; give some with edge-hub features")
        named = {ref.version: ref.features for ref in _references(plan)} if plan else {}
        return FeatureStatus(
            model,
            self._store.count(model),
            info.defaults,
            info.updated_at,
            info.expires,
            {
                version: FeatureFile(pack.file.sha256, pack.file.length)
                for version, pack in named.items()
                if pack is not None
            },
        )

    def put(
        self,
        model: str,
        table: FeatureTable,
        *,
        actor: str,
        expires: int | None = None,
        replace_all: bool = False,
    ) -> FeatureStatus:
        """Store features, and let devices have them with the next plan.

        Args:
            model: name of the line.
            table: entities, values and defaults.
            actor: who brings them.
            expires: Unix seconds after which devices stop using them; ``None`` for never.
            replace_all: forget all other entities.

        Raises:
            NotFound: nothing serves yet.
            Invalid: the model has no such column, values do not fit, or this hub holds no key to
                sign them; nothing is stored.
        """
        plan = self._plans.current(model)
        if plan is None:
            raise NotFound(f"{model}: nothing serves yet; promote a version first")
        now = time.time()
        if expires is not None and expires <= now:
            raise Invalid(f"expires: expected a time to come, got {expires}")
        release = self._registry.release(model, plan.serving.version)
        check_names(tuple(table.columns), release.manifest.signature)
        # Both are tried before anything is stored: the key that signs, and whether the values fit.
        self._registry.repository.signer(RELEASES)
        with tempfile.TemporaryDirectory() as folder:
            info = FeatureInfo(dict(table.defaults), now, expires)
            _write(Path(folder) / "try", release, table, info)
        if not replace_all:
            self._check_columns(model, table)
        self._store.write(model, table, now=now, expires=expires, replace=replace_all)
        self._audit.record(actor, ACTION, model, {"entities": len(table.entities)})
        reason = f"features of {len(table.entities)} entities"
        self._plans.change(model, self._renewed, actor=actor, reason=reason)
        log.info("%s: %s published by %s", model, reason, actor)
        return self.status(model)

    def give(self, model: str, table: FeatureTable, now: float, made_of: str = "") -> list[str]:
        """Store the newest values of a model's sets, and let devices have them with the next plan.

        Unlike :meth:`put`, a version takes those columns that it has, and there need not be one.

        Args:
            model: name of the line.
            table: of all entities; others are forgotten.
            now: Unix seconds: what came later is not in it.
            made_of: names what the table was made of.

        Returns:
            The versions whose devices have them.

        Raises:
            Invalid: the version that serves cannot take them; nothing is stored.
        """
        plan = self._plans.current(model)
        if plan is not None:
            release = self._registry.release(model, plan.serving.version)
            if known_columns(tuple(table.columns), release.manifest.signature):
                self._registry.repository.signer(RELEASES)
                with tempfile.TemporaryDirectory() as folder:
                    info = FeatureInfo(dict(table.defaults), now, None)
                    _write(Path(folder) / "try", release, table, info)
        self._store.write(model, table, now=now, expires=None, replace=True, made_of=made_of)
        if plan is not None:
            reason = f"features of {len(table.entities)} entities"
            self._plans.change(model, self._renewed, actor="hub", reason=reason)
        # Last: whoever is killed before it gives them once more.
        self._store.note_published(model, made_of)
        return self.served(model)

    def served(self, model: str) -> list[str]:
        """Return the versions whose devices have features."""
        plan = self._plans.current(model)
        named = [] if plan is None else _references(plan)
        return [ref.version for ref in named if ref.features is not None]

    def info(self, model: str) -> FeatureInfo | None:
        """Return the facts about what devices of a model were given last; ``None`` if nothing."""
        return self._store.info(model)

    def reference(self, model: str, version: str) -> PackRef | None:
        """Return the signed file of features for a version, ``None`` if there are none for it.

        Raises:
            NotFound: no such version.
            Invalid: the features do not fit it, or this hub holds no key to sign them.
        """
        info = self._store.info(model)
        if info is None:
            return None
        manifest = self._registry.version(model, version).manifest
        # Every change of a plan asks for every release's file; only new values make a new one.
        values = (info.updated_at, info.made_of)
        before, built = self._built.get(manifest, (None, None))
        if before != values:
            built = self._build(model, version, info)
            self._built[manifest] = (values, built)
        return built

    def _check_columns(self, model: str, table: FeatureTable) -> None:
        """Raise Invalid unless new entities have the columns of those that are stored."""
        info = self._store.info(model)
        if info is not None and set(info.defaults) != set(table.columns):
            raise Invalid(
                f"columns: stored are {sorted(info.defaults)}, got {sorted(table.columns)}; give "
                "all of them, or replace what is stored"
            )

    def _build(self, model: str, version: str, info: FeatureInfo) -> PackRef | None:
        table = self._store.table(model)
        release = self._registry.release(model, version)
        if table is None or not known_columns(tuple(table.columns), release.manifest.signature):
            return None
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "new.pack"
            _write(path, release, table, info)
            return publish_pack(self._registry, self._plans, model, path, FEATURES).pack

    def _renewed(self, plan: Plan) -> Plan:
        """Return the plan with each release's newest features."""

        def renewed(ref: ReleaseRef) -> ReleaseRef:
            return replace(ref, features=self.reference(plan.model, ref.version))

        experiment = plan.experiment
        if experiment is not None:
            arms = tuple(replace(arm, release=renewed(arm.release)) for arm in experiment.arms)
            experiment = replace(experiment, arms=arms)
        return replace(plan, serving=renewed(plan.serving), experiment=experiment)


def _references(plan: Plan) -> list[ReleaseRef]:
    arms = plan.experiment.arms if plan.experiment else ()
    return [plan.serving, *(arm.release for arm in arms)]


def _write(path: Path, release: Release, table: FeatureTable, info: FeatureInfo) -> None:
    columns = known_columns(tuple(table.columns), release.manifest.signature)
    try:
        write_entity_features(
            path,
            release,
            table.entities,
            {column.name: typed(column, table.columns[column.name]) for column in columns},
            defaults={c.name: typed(c, [table.defaults[c.name]])[0] for c in columns},
            computed_by="batch features",
            expires=info.expires,
            computed_at=table.computed_at,
            stale_at=table.stale_at,
        )
    except PackError as error:
        raise Invalid(str(error)) from error
