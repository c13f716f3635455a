"""Guardrails: conditions that take a candidate back at once. Pure; each is valid at every look.

The reason of a guardrail that does not trip begins with ``quiet``, or says that its arm has too few
devices: reports list all of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import numpy as np

from cloud_hub.experiments.verdict.error_guard import watch_errors
from cloud_hub.experiments.verdict.evidence import GROUPS, OFF, ArmEvidence
from cloud_hub.experiments.verdict.fairness_guard import watch_groups
from cloud_hub.experiments.verdict.figures import (
    FailedDevices,
    FailureExcess,
    Guard,
    LatencyQuantile,
    e_value_of,
    finite,
)
from cloud_hub.experiments.verdict.key_guardrails import watch_key_failures
from cloud_hub.experiments.verdict.measures import ExposureSums
from cloud_hub.experiments.verdict.spec import ExperimentSpec, LatencyGuard
from cloud_hub.statistics.failures import judge_failures, log_share_evidence
from cloud_hub.statistics.heterogeneity import Counts, FailureCounts
from cloud_hub.statistics.latency import compare_latency
from cloud_hub.statistics.samples import Floats
from edge_sdk.contract.plan import Measure
from edge_sdk.contract.window import LATENCY_BINS

FAILURES: Final[Mapping[str, Measure]] = {"errors": "errors", "wrong labels": "accuracy"}
"""Kinds of failure, and the outcome whose ``minimum_effect`` says how many more do not matter."""

SHARES: Final[Mapping[str, float]] = {
    "errors": 0.3,
    "failed devices": 0.3,
    "wrong labels": 0.15,
    GROUPS: 0.15,
    "latency": 0.05,
    OFF: 0.05,
}
"""Share of alpha that each guardrail has.

Of devices there are few, so a tenth of the share takes one more of them; of requests it takes a few
more in a hundred.
"""

MOST_NAMES: Final = 20
"""Failed devices that are named in the figures."""


def alpha_of(spec: ExperimentSpec, guard: str) -> float:
    """Chance with which one guardrail of one arm may trip on a healthy candidate.

    Together, over guards, arms, stages and steps, they have the declared alpha (Bonferroni).
    Failures count from step to step, so a stage is one test of them; latency begins anew with each
    step. After a pause a person has looked, and all begins anew.

    Args:
        spec: declares alpha.
        guard: one of :data:`SHARES`.
    """
    paired = spec.strategy in ("shadow", "interleave")
    watched = {"errors", "failed devices"} if paired else set(SHARES)
    watched = watched | {"latency"} if spec.guardrails.latency else watched - {"latency"}
    share = SHARES[guard] / sum(SHARES[name] for name in watched)
    tests = len(spec.tried)
    if spec.strategy == "canary":
        path = spec.path
        tests *= sum(len(stage.steps) for stage in path) if guard == "latency" else len(path)
    return spec.guardrails.alpha * share / tests


def watch(
    spec: ExperimentSpec,
    arm: str,
    control: ArmEvidence,
    candidate: ArmEvidence,
    *,
    past: Mapping[str, ExposureSums] | None = None,
) -> tuple[Guard, ...]:
    """Evaluate every guardrail of an arm, those that do not trip included.

    Args:
        spec: declares the guardrails, and by its outcomes' minimum effects how many more failures
            do not matter.
        arm: name of the candidate's arm.
        control: evidence of what serves.
        candidate: evidence of the arm.
        past: by device, what it reported of the version before.
    """
    rules = spec.guardrails
    guards = [watch_devices(spec, arm, candidate.failed, candidate.tried)]
    for kind, measure in FAILURES.items():
        mine, theirs = candidate.failures.get(kind, {}), control.failures.get(kind, {})
        margin, alpha = _margin(spec, measure), alpha_of(spec, kind)
        if candidate.key_failures:
            guards.append(watch_key_failures(alpha, arm, kind, control, candidate, margin))
            continue
        failures = FailureCounts.of(mine, theirs, _before(past or {}, kind))
        guards.append(_failures(alpha, arm, kind, failures, margin))
    pair = (arm, control, candidate)
    guards += watch_errors(alpha_of(spec, OFF), *pair, _margin(spec, "mae"))
    guards += watch_groups(alpha_of(spec, GROUPS), *pair, _margin(spec, "accuracy"))
    if rules.latency is not None:
        alpha = alpha_of(spec, "latency")
        guards.append(_latency(alpha, rules.latency, arm, control, candidate))
    return tuple(guards)


def _margin(spec: ExperimentSpec, measure: Measure) -> float:
    """By how much more does not matter, as the outcomes say."""
    return max((o.minimum_effect for o in spec.outcomes if o.metric == measure), default=0.0)


def watch_devices(
    spec: ExperimentSpec, arm: str, failed: frozenset[str], tried: frozenset[str]
) -> Guard:
    """The guardrail on devices that failed; alone, for a candidate that serves nobody.

    Args:
        spec: declares the guardrails.
        arm: name of the candidate's arm.
        failed: devices that could not activate the candidate or took it back.
        tried: devices on which it ran, was activated or failed.
    """
    allowed, devices = spec.guardrails.max_failed_devices, len(failed | tried)
    evidence = log_share_evidence(len(failed), devices, allowed)
    limit = 1 / alpha_of(spec, "failed devices")
    trips, e_value = evidence >= math.log(limit), e_value_of(evidence)
    counts = f"{len(failed)} of {devices} devices"
    reason = f"{arm} failed on {counts}, surely more than {allowed:.1%} of them"
    quiet = (
        f"quiet: {arm} failed on {counts}, e-value {e_value:.3g} < {limit:.3g} that it does on "
        f"more than {allowed:.1%}"
    )
    # A fleet-wide failure must not write a million names into every look.
    figures = FailedDevices(
        tuple(sorted(failed)[:MOST_NAMES]), len(failed), devices, allowed, e_value
    )
    return Guard("failed devices", arm, trips, reason if trips else quiet, figures)


def by_too_few(
    guards: tuple[Guard, ...], devices: Mapping[str, int], least: int
) -> tuple[Guard, ...]:
    """Hold back guardrails that trip on an arm of too few devices: the verdict is not theirs.

    Args:
        guards: of every arm.
        devices: on which each arm ran or failed.
        least: number of devices that a verdict needs.
    """
    return tuple(
        replace(guard, trips=False, reason=f"too few devices ({devices[guard.arm]} of {least}) to "
                f"take it back for everybody: {guard.reason}")
        if guard.trips and devices[guard.arm] < least
        else guard
        for guard in guards
    )  # fmt: skip


def too_few(arm: str, devices: int, least: int, *, failed: int = 0) -> str:
    """Say that an arm has too few devices for a verdict, and what a person can do.

    Args:
        arm: its name.
        devices: on which it ran.
        least: number of devices that a verdict needs.
        failed: devices on which it failed.
    """
    and_failed = f", failed on {failed}" if failed else ""
    return (
        f"too few devices: {arm} on {devices} of {least}{and_failed}; "
        "promote or stop it by hand, or declare minimum_devices: 1"
    )


def _before(past: Mapping[str, ExposureSums], kind: str) -> dict[str, Counts]:
    """Failures of a kind, of how many, by device under the version before."""
    if kind == "errors":
        return {device: (sums.errors, sums.requests) for device, sums in past.items()}
    return {device: (sums.wrong, sums.labelled) for device, sums in past.items()}


def _failures(alpha: float, arm: str, kind: str, failures: FailureCounts, margin: float) -> Guard:
    evidence = judge_failures(failures, margin=margin)
    limit = 1 / alpha
    trips, e_value = evidence.log_e >= math.log(limit), e_value_of(evidence.log_e)
    x, n, y, m = (int(total) for total in failures.by_period().sum(axis=1))
    beyond = f" by more than {margin:.3g}" if margin else ""
    counts = f"{x} of {n} against {y} of {m}"
    reason = f"{arm} has more {kind}{beyond}: {counts}, e-value {e_value:.3g} >= {limit:.3g}"
    quiet = f"quiet: {kind} of {arm}: {counts}, e-value {e_value:.3g} < {limit:.3g}"
    figures = FailureExcess((x, n), (y, m), e_value, margin)
    return Guard(kind, arm, trips, reason if trips else quiet, figures)


def _latency(
    alpha: float, guard: LatencyGuard, arm: str, control: ArmEvidence, candidate: ArmEvidence
) -> Guard:
    verdict = compare_latency(_histograms(control), _histograms(candidate), guard.quantile, alpha)
    trips = verdict.low > guard.at_most
    name = f"p{guard.quantile * 100:g} of latency"
    reason = f"{arm}: {name} is at least {verdict.low:.2f} times the control's"
    figures = LatencyQuantile(
        finite(verdict.low),
        finite(verdict.high),
        finite(verdict.control.value),
        finite(verdict.candidate.value),
        guard.at_most,
    )
    quiet = f"quiet: {reason}, more than {guard.at_most:g} would trip it"
    return Guard(name, arm, trips, reason if trips else quiet, figures)


def _histograms(arm: ArmEvidence) -> Floats:
    rows = np.array([*arm.latency.values()], dtype=np.float64)
    return rows.reshape(len(arm.latency), LATENCY_BINS)
