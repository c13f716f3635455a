"""Gives devices the session features that are declared for their model, with its plan.

Invariant: what the plan has is compared with what is declared, and nothing else is remembered; a
hub that is killed at any moment makes up for it at its next tick.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING

from cloud_hub.errors import Conflict
from cloud_hub.registry.per_model import for_each
from edge_sdk.contract.dtypes import STRING

if TYPE_CHECKING:
    from cloud_hub.features.declaration import FeatureSet
    from cloud_hub.features.history_store import FeatureHistory
    from cloud_hub.plans.service import Plans
    from cloud_hub.registry.service import Registry
    from edge_sdk.contract.personal.session_features import SessionFeatures

log = logging.getLogger(__name__)


class SessionGiving:
    """Session features of all models.

    Args:
        history: sets.
        plans: of models, which carry them.
        registry: models and versions.
    """

    def __init__(self, history: FeatureHistory, plans: Plans, registry: Registry) -> None:
        self._history = history
        self._plans = plans
        self._registry = registry
        self._given: set[str] | None = None

    def declared(self, model: str) -> SessionFeatures | None:
        """Return what the plan of a model is to declare; ``None`` for nothing."""
        for each in self._history.sets():
            if each.declared.session is not None and model in each.declared.models:
                return each.declared.sessions_at(each.version)
        return None

    def give(self, model: str) -> None:
        """Make the next plan of a model, if its plan declares something else."""
        plan = self._plans.current(model)
        if plan is None or plan.sessions == self.declared(model):
            return
        now = self.declared(model)
        reason = "no session features" if now is None else f"session features {now.ref}"
        try:
            self._plans.change(model, lambda plan: plan, actor="hub", reason=reason)
        except Conflict:
            # Another plan came at this moment, perhaps by the loop's own tick: either it declares
            # the same, or the next tick gives it. The declaration is stored, so nothing failed.
            log.info("%s: the plan changed meanwhile; %s with the next one", model, reason)
            return
        log.info("%s: %s", model, reason)

    def tick(self) -> None:
        """Give what a hub that was killed did not.

        Raises:
            ExceptionGroup: it failed for some models; the others had their turn.
        """
        if self._given is None:  # plans may declare what no set does any more
            self._given = set(self._registry.models())
        sets = (each.declared for each in self._history.sets())
        named = {model for each in sets if each.session is not None for model in each.models}
        for_each(sorted(self._given | named), self.give)
        self._given = named

    def misfits(self, declared: FeatureSet, models: Iterable[str]) -> list[str]:
        """Return why what serves of some models cannot take all features of a set."""
        warnings = []
        for model in models:
            plan = self._plans.current(model)
            if plan is None:
                continue
            manifest = self._registry.release(model, plan.serving.version).manifest
            columns = {column.name: column.dtype for column in manifest.signature.columns}
            where = f"{model} {plan.serving.version}"
            absent = [name for name in declared.names if name not in columns]
            if absent:
                warnings.append(f"{where}: has no columns {absent}: they are joined once one has")
            for name, dtype in declared.dtypes.items():
                if name in columns and (dtype == STRING) != (columns[name] == STRING):
                    warnings.append(f"{where}: {name} is {columns[name]} there, not {dtype}")
        return warnings
