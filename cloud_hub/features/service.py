"""Batch features of models: taken in, written for each release that a plan names, signed.

Invariant: a file of features belongs to one release. Whatever release a plan names, it names the
features for it too, as far as there are any; so a device never joins columns of another version.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from cloud_hub.database.audit import Audit
from cloud_hub.errors import Invalid, NotFound
from cloud_hub.features.store import FeatureStore, Kept
from cloud_hub.features.table import FeatureTable, check_names, known_columns, typed
from cloud_hub.packs.publishing import FEATURES, publish_pack
from cloud_hub.plans.service import Plans
from cloud_hub.registry.repository import RELEASES
from cloud_hub.registry.service import Registry
from edge_sdk.contract.plan import PackRef, Plan, ReleaseRef
from edge_sdk.errors import PackError
from edge_sdk.model.release import Release
from edge_sdk.packs.entity_features import write_entity_features

ACTION: Final = "features"


class Features:
    """Batch features of all models."""

    def __init__(self, data: Path, audit: Audit, registry: Registry, plans: Plans) -> None:
        self._store = FeatureStore(data / "features.db")
        self._audit = audit
        self._registry = registry
        self._plans = plans
        self._built: dict[tuple[str, float], PackRef | None] = {}

    def status(self, model: str) -> dict[str, Any]:
        """What is kept of a model, and which file each release of its plan has; raises NotFound."""
        about, plan = self._store.about(model), self._plans.current(model)
        if about is None:
            raise NotFound(f"{model}: has no batch features; give some with edge-hub features")
        out = {ref.version: ref.features for ref in _references(plan)} if plan else {}
        return {
            "model": model,
            "entities": self._store.count(model),
            "defaults": about.defaults,
            "updated_at": about.updated_at,
            "expires": about.expires,
            "files": {
                version: {"sha256": file.file.sha256, "bytes": file.file.length}
                for version, file in out.items()
                if file is not None
            },
        }

    def put(
        self,
        model: str,
        table: FeatureTable,
        *,
        actor: str,
        expires: int | None = None,
        replace_all: bool = False,
    ) -> dict[str, Any]:
        """Take features in and let devices have them with the next plan.

        Raises:
            NotFound: nothing serves yet.
            Invalid: the model has no such column, values do not fit, or this hub holds no key to
                sign them; nothing is kept.
        """
        plan = self._plans.current(model)
        if plan is None:
            raise NotFound(f"{model}: nothing serves yet; promote a version first")
        now = time.time()
        if expires is not None and expires <= now:
            raise Invalid(f"expires: expected a time to come, got {expires}")
        release = self._registry.release(model, plan.serving.version)
        check_names(tuple(table.columns), release.manifest.signature)
        self._registry.repository.signer(RELEASES)  # without its key nothing could be handed out
        about = Kept(dict(table.defaults), now, expires)
        with tempfile.TemporaryDirectory() as folder:  # what does not fit is not kept
            _write(Path(folder) / "try", release, table, about)
        known = self._store.about(model)
        if known is not None and not replace_all and set(known.defaults) != set(table.columns):
            raise Invalid(
                f"columns: kept are {sorted(known.defaults)}, these are {sorted(table.columns)}; "
                "give all of them, or replace what is kept"
            )
        self._store.keep(model, table, now=now, expires=expires, replace=replace_all)
        self._audit.record(actor, ACTION, model, {"entities": len(table.entities)})
        reason = f"features of {len(table.entities)} entities"
        self._plans.change(model, self._renewed, actor=actor, reason=reason)
        return self.status(model)

    def reference(self, model: str, version: str) -> PackRef | None:
        """The signed file of features for a version, ``None`` where there are none for it.

        Raises:
            NotFound: no such version.
            Invalid: what is kept does not fit it, or this hub holds no key to sign it.
        """
        about = self._store.about(model)
        if about is None:
            return None
        manifest = self._registry.version(model, version).manifest
        made = (manifest, about.updated_at)
        if made not in self._built:
            self._built[made] = self._build(model, version, about)
        return self._built[made]

    def _build(self, model: str, version: str, about: Kept) -> PackRef | None:
        table = self._store.table(model)
        release = self._registry.release(model, version)
        if table is None or not known_columns(tuple(table.columns), release.manifest.signature):
            return None
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "new.pack"
            _write(path, release, table, about)
            return publish_pack(self._registry, self._plans, model, path, FEATURES).pack

    def _renewed(self, plan: Plan) -> Plan:
        """The plan with each release's newest features."""

        def renewed(ref: ReleaseRef) -> ReleaseRef:
            return replace(ref, features=self.reference(plan.model, ref.version))

        trial = plan.experiment
        if trial is not None:
            arms = tuple(replace(arm, release=renewed(arm.release)) for arm in trial.arms)
            trial = replace(trial, arms=arms)
        return replace(plan, serving=renewed(plan.serving), experiment=trial)


def _references(plan: Plan) -> list[ReleaseRef]:
    arms = plan.experiment.arms if plan.experiment else ()
    return [plan.serving, *(arm.release for arm in arms)]


def _write(path: Path, release: Release, table: FeatureTable, about: Kept) -> None:
    columns = known_columns(tuple(table.columns), release.manifest.signature)
    try:
        write_entity_features(
            path,
            release,
            table.entities,
            {column.name: typed(column, table.columns[column.name]) for column in columns},
            defaults={c.name: typed(c, [table.defaults[c.name]])[0] for c in columns},
            computed_by="batch features",
            expires=about.expires,
        )
    except PackError as error:
        raise Invalid(str(error)) from error
