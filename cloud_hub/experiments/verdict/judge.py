"""Choice of the gate that judges an experiment, by its strategy. Pure."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from cloud_hub.experiments.verdict.device_weights import weighted
from cloud_hub.experiments.verdict.leave_one_out import without_any_one
from cloud_hub.experiments.verdict.paired import decide_interleave, decide_shadow
from cloud_hub.experiments.verdict.parallel import decide

if TYPE_CHECKING:
    from cloud_hub.experiments.verdict.decision import GateDecision, Looks
    from cloud_hub.experiments.verdict.evidence import Evidence
    from cloud_hub.experiments.verdict.spec import ExperimentSpec


def judge(
    spec: ExperimentSpec, evidence: Evidence, looks: Looks, dropped: Collection[str] = ()
) -> GateDecision:
    """Return the decision of the strategy's own gate, with which no single device decides.

    Args:
        spec: the declared experiment.
        evidence: of one look.
        looks: planned looks taken before, by ``outcome/arm``.
        dropped: arms that were taken back.
    """

    def gate(spec: ExperimentSpec, evidence: Evidence) -> GateDecision:
        if spec.strategy == "shadow":
            return decide_shadow(spec, evidence, looks)
        if spec.strategy == "interleave":
            return decide_interleave(spec, evidence)
        return decide(spec, evidence, looks, dropped)

    bounded = weighted(evidence)
    return without_any_one(spec, bounded, gate(spec, bounded), gate)
