"""Which gate judges an experiment. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from cloud_hub.experiments.verdict.evidence import Evidence
from cloud_hub.experiments.verdict.judgement import Look
from cloud_hub.experiments.verdict.paired import decide_interleave, decide_shadow
from cloud_hub.experiments.verdict.parallel import GateDecision, Looks, decide
from cloud_hub.experiments.verdict.spec import ExperimentSpec


def judge(
    spec: ExperimentSpec, evidence: Evidence, looks: Looks, dropped: Collection[str] = ()
) -> GateDecision:
    """The verdict of the strategy's own gate; ``dropped`` are arms that were taken back."""
    if spec.strategy == "shadow":
        return decide_shadow(spec, evidence, looks)
    if spec.strategy == "interleave":
        return decide_interleave(spec, evidence)
    return decide(spec, evidence, looks, dropped)


def looks_of(state: Mapping[str, Any]) -> dict[str, tuple[Look, ...]]:
    """The planned looks that a record remembers."""
    kept = state.get("looks", {})
    return {name: tuple(Look(**look) for look in found) for name, found in kept.items()}
