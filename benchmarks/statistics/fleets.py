"""Simulated fleets: who is on which arm by the real plan evaluation, what they report by chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from cloud_hub.experiments.schedule import begin
from cloud_hub.experiments.verdict.evidence import ArmEvidence, Evidence, Row
from cloud_hub.experiments.verdict.spec import CANDIDATE, ArmSpec, ExperimentSpec
from cloud_hub.statistics.clustered import Sample
from edge_sdk.contract.names import CONTROL
from edge_sdk.contract.plan import Measure, Plan, ReleaseRef, assign

Floats = NDArray[np.float64]
SERVING = ReleaseRef("1.0", "a" * 64)
TRIED = ReleaseRef("1.1", "b" * 64)


def ab(**more: object) -> ExperimentSpec:
    """An A/B test of one arm against the control, half and half, judged at once."""
    arm = ArmSpec(CANDIDATE, TRIED.version, 0.5)
    options = {"soak_seconds": 0.0, "minimum_outcomes": 1, **more}
    return ExperimentSpec("fleet", "ab", arms=(arm,), **options)  # type: ignore[arg-type]


def candidates(spec: ExperimentSpec, units: Sequence[str], salt: str) -> NDArray[np.bool_]:
    """Which units the first plan of ``spec`` gives the candidate, [U]."""
    trial = begin(spec, "trial", {TRIED.version: TRIED}, salt)
    plan = Plan("fleet", 1, SERVING, trial)
    return np.array([assign(plan, unit, {}).arm == CANDIDATE for unit in units])


def split(n: Floats, total: Floats, inside: NDArray[np.bool_]) -> tuple[Sample, Sample]:
    """Control's and candidate's sample of 0/1 outcomes, [..., D]."""
    return (
        Sample.of_successes(total * ~inside, n * ~inside),
        Sample.of_successes(total * inside, n * inside),
    )


def seen(
    measure: Measure, n: Floats, total: Floats, inside: NDArray[np.bool_], **more: float
) -> Evidence:
    """What the hub knows when devices have reported ``n`` outcomes with sum ``total``, [D]."""
    arms: Mapping[str, ArmEvidence] = {
        name: _arm(measure, n[chosen], total[chosen], name)
        for name, chosen in ((CONTROL, ~inside), (CANDIDATE, inside))
    }
    return Evidence(arms, **more)  # type: ignore[arg-type]


def _arm(measure: Measure, n: Floats, total: Floats, name: str) -> ArmEvidence:
    rows: dict[str, Row] = {
        f"{name}-{i}": (float(a), float(b), float(b))
        for i, (a, b) in enumerate(zip(n, total, strict=True))
    }
    return ArmEvidence({measure: rows}, exposed=frozenset(rows), predictions=int(n.sum()))
