"""Guardrail on failures of a test by key, and what such a test may lack. Pure.

The keys of an arm stay on it, so a key that fails often does so day after day: no evidence from day
to day can tell that from a bad version. What was drawn by chance is which keys an arm got, so arms
are compared by bucket of keys, as their outcomes are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from cloud_hub.experiments.verdict.evidence import ArmEvidence, of_all_devices
from cloud_hub.experiments.verdict.figures import FailureExcess, Guard, e_value_of
from cloud_hub.statistics.keys import LEAST, compare_buckets, filled, log_excess

if TYPE_CHECKING:
    from cloud_hub.statistics.samples import Contrast, Floats


def watch_key_failures(
    alpha: float,
    arm: str,
    kind: str,
    control: ArmEvidence,
    candidate: ArmEvidence,
    margin: float,
) -> Guard:
    """Evaluate the guardrail on one kind of failure.

    Args:
        alpha: chance with which it may trip on a healthy candidate.
        arm: name of the candidate's arm.
        kind: of failure, as in :attr:`ArmEvidence.key_failures`.
        control: evidence of what serves.
        candidate: evidence of the arm.
        margin: how many more do not matter, a share of requests.
    """
    theirs, mine = (of_all_devices(e.key_failures.get(kind, {})) for e in (control, candidate))
    (m, y, _), (n, x, _) = theirs.sum(axis=0).tolist(), mine.sum(axis=0).tolist()
    contrast = compare_buckets(theirs, mine)
    evidence, effect = float(log_excess(contrast, margin)), _design_effect(contrast, (x, n), (y, m))
    limit = 1 / alpha
    trips, e_value = evidence >= math.log(limit), e_value_of(evidence)
    beyond = f" by more than {margin:.3g}" if margin else ""
    counts = f"{round(x)} of {round(n)} against {round(y)} of {round(m)}, by bucket of keys"
    reason = f"{arm} has more {kind}{beyond}: {counts}, e-value {e_value:.3g} >= {limit:.3g}"
    quiet = f"quiet: {kind} of {arm}: {counts}, e-value {e_value:.3g} < {limit:.3g}"
    figures = FailureExcess((round(x), round(n)), (round(y), round(m)), e_value, margin, effect)
    return Guard(kind, arm, trips, reason if trips else quiet, figures)


def too_few_keys(arm: str, outcome: str, by_device: Mapping[str, Floats]) -> str:
    """Say that the keys of an arm are too few for a verdict; empty if they are not, or unknown.

    Args:
        arm: its name.
        outcome: name of the outcome.
        by_device: its outcomes by bucket of keys; empty where units are devices.
    """
    have = int(filled(of_all_devices(by_device)))
    if not by_device or have >= LEAST:
        return ""
    return (
        f"no verdict: {arm} has outcomes of {outcome} from {have} bucket(s) of keys, expected "
        f"{LEAST} at least: few keys, however often they ask, are few outcomes"
    )


def older(arm: ArmEvidence) -> str:
    """Say how many devices report no buckets of keys, to append to a reason; else empty."""
    devices = len(arm.without_buckets)
    if not devices:
        return ""
    return (
        f"; {devices} device(s) have software that reports no buckets of keys, and count for "
        "nothing: update edge_sdk there"
    )


def _design_effect(
    contrast: Contrast, candidate: tuple[float, float], control: tuple[float, float]
) -> float:
    """The variance as a multiple of that of as many independent requests; at least 1."""
    (x, n), (y, m) = candidate, control
    rate = (x + y) / (n + m) if n + m else 0.0
    alone = rate * (1 - rate) * (1 / n + 1 / m) if n and m else 0.0
    known = alone > 0 and math.isfinite(float(contrast.variance))
    return max(1.0, float(contrast.variance) / alone) if known else 1.0
