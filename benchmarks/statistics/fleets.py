"""Simulated fleets: arms by the real plan evaluation, reports by chance."""

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
    """Mask of the units to which the first plan gives the candidate, [U].

    Args:
        spec: the declared experiment.
        units: names.
        salt: of the hash that gives units to slots.
    """
    trial = begin(spec, "trial", {TRIED.version: TRIED}, salt)
    plan = Plan("fleet", 1, SERVING, trial)
    return np.array([assign(plan, unit, {}).arm == CANDIDATE for unit in units])


def split(n: Floats, total: Floats, inside: NDArray[np.bool_]) -> tuple[Sample, Sample]:
    """Split 0/1 outcomes into the control's and the candidate's sample, [..., D].

    Args:
        n: outcomes by device.
        total: their sums.
        inside: mask of the devices with the candidate, [D].
    """
    return (
        Sample.of_successes(total * ~inside, n * ~inside),
        Sample.of_successes(total * inside, n * inside),
    )


def seen(
    measure: Measure, n: Floats, total: Floats, inside: NDArray[np.bool_], **more: float
) -> Evidence:
    """Evidence that the hub has when devices have reported.

    Args:
        measure: of the outcomes.
        n: outcomes by device, [D].
        total: their sums, [D].
        inside: mask of the devices with the candidate, [D].
        more: fields of the evidence.
    """
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
