"""The offline gate with its data: holdout, fresh shared rows, the two releases."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloud_hub.errors import GateRefused
from cloud_hub.plans.service import Plans
from cloud_hub.registry.service import Dataset, Registry
from cloud_hub.runs.gate import Check, Slice, as_table, failures, judge
from cloud_hub.telemetry.service import Telemetry
from edge_sdk.inference import Model
from edge_sdk.release import Release
from edge_sdk.schema import InputSchema

LOOKBACK_SECONDS = 7 * 86_400.0
"""How old shared rows may be to count as fresh for a version that is published by hand."""


class OfflineGate:
    """Holds candidates to what serves."""

    def __init__(self, registry: Registry, plans: Plans, telemetry: Telemetry) -> None:
        self._registry = registry
        self._plans = plans
        self._telemetry = telemetry

    def __call__(self, model: str, candidate: Release) -> list[dict[str, Any]]:
        """The gate's table for a version published by hand.

        Raises:
            GateRefused: a check failed.
        """
        fresh = self._telemetry.samples(model, since=time.time() - LOOKBACK_SECONDS)
        checks = self.check(model, candidate, fresh)
        said = failures(checks)
        if said:
            raise GateRefused(f"{model} {candidate.manifest.version}: {said}", as_table(checks))
        return as_table(checks)

    def check(self, model: str, candidate: Release, fresh: Dataset | None) -> list[Check]:
        """Every check of ``candidate`` against what serves; none if nothing serves yet."""
        plan = self._plans.current(model)
        if plan is None:
            return []
        incumbent = self._registry.release(model, plan.serving.version)
        if incumbent.manifest.signature.columns != candidate.manifest.signature.columns:
            return [Check("columns", 0, None, None, None, None, True, "other inputs: not compared")]
        slices = {}
        for name, rows in (("fresh", fresh), ("history", self._registry.dataset(model, "holdout"))):
            if rows is not None and rows.labels is not None and len(rows):
                slices[name] = Slice(correct(candidate, rows), correct(incumbent, rows))
        size = candidate.model_path.stat().st_size
        return judge(slices, self._registry.policy(model).gate, candidate_bytes=size)


def correct(release: Release, data: Dataset) -> NDArray[np.bool_]:
    """Which rows the release answers rightly, [N]; through the device's own runtime."""
    missing = release.manifest.training.get("missing") == "allowed"
    schema = InputSchema(release.manifest.signature, missing=missing)
    labels = Model.load(release).run(schema.batch(data.rows))["label"]
    assert data.labels is not None
    right: NDArray[np.bool_] = labels.astype(str) == data.labels.astype(str)
    return right
