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

from cloud_hub.experiments.verdict.evidence import ArmEvidence
from cloud_hub.experiments.verdict.figures import (
    FailedDevices,
    FailureExcess,
    Guard,
    LatencyQuantile,
    finite,
)
from cloud_hub.experiments.verdict.key_guardrails import watch_key_failures
from cloud_hub.experiments.verdict.spec import ExperimentSpec, Guardrails, LatencyGuard
from cloud_hub.statistics.clustered import Floats
from cloud_hub.statistics.failures import judge_failures, log_share_evidence
from cloud_hub.statistics.heterogeneity import FailureCounts
from cloud_hub.statistics.latency import compare_latency
from edge_sdk.contract.plan import Measure
from edge_sdk.contract.window import LATENCY_BINS

FAILURES: Final[Mapping[str, Measure]] = {"errors": "errors", "wrong labels": "accuracy"}
"""Kinds of failure, and the outcome whose ``minimum_effect`` says how many more do not matter."""

MOST_NAMES: Final = 20
"""Failed devices that are named in the figures."""


def watch(
    spec: ExperimentSpec, arm: str, control: ArmEvidence, candidate: ArmEvidence
) -> tuple[Guard, ...]:
    """Evaluate every guardrail of an arm, those that do not trip included.

    Args:
        spec: declares the guardrails, and by its outcomes' minimum effects how many more failures
            do not matter.
        arm: name of the candidate's arm.
        control: evidence of what serves.
        candidate: evidence of the arm.
    """
    rules = spec.guardrails
    guards = [watch_devices(rules, arm, candidate.failed, candidate.tried)]
    for kind, measure in FAILURES.items():
        mine, theirs = candidate.failures.get(kind, {}), control.failures.get(kind, {})
        margins = [o.minimum_effect for o in spec.outcomes if o.metric == measure]
        margin = max(margins, default=0.0)
        if candidate.key_failures:
            guards.append(watch_key_failures(rules, arm, kind, control, candidate, margin))
            continue
        failures = FailureCounts.of(mine, theirs)
        guards.append(_failures(rules, arm, kind, failures, margin))
    if rules.latency is not None:
        guards.append(_latency(rules, rules.latency, arm, control, candidate))
    return tuple(guards)


def watch_devices(
    rules: Guardrails, arm: str, failed: frozenset[str], tried: frozenset[str]
) -> Guard:
    """The guardrail on devices that failed; alone, for a candidate that serves nobody.

    Args:
        rules: the declared guardrails.
        arm: name of the candidate's arm.
        failed: devices that could not activate the candidate or took it back.
        tried: devices on which it ran, was activated or failed.
    """
    allowed, devices = rules.max_failed_devices, len(failed | tried)
    evidence = log_share_evidence(len(failed), devices, allowed)
    limit = 1 / rules.alpha
    trips, e_value = evidence >= math.log(limit), _e_value(evidence)
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


def _failures(
    rules: Guardrails, arm: str, kind: str, failures: FailureCounts, margin: float
) -> Guard:
    evidence = judge_failures(failures, margin=margin)
    limit = 1 / rules.alpha
    trips, e_value = evidence.log_e >= math.log(limit), _e_value(evidence.log_e)
    x, n, y, m = (int(total) for total in failures.by_period().sum(axis=1))
    beyond = f" by more than {margin:.3g}" if margin else ""
    counts = f"{x} of {n} against {y} of {m}"
    reason = f"{arm} has more {kind}{beyond}: {counts}, e-value {e_value:.3g} >= {limit:.3g}"
    quiet = f"quiet: {kind} of {arm}: {counts}, e-value {e_value:.3g} < {limit:.3g}"
    figures = FailureExcess((x, n), (y, m), e_value, margin, evidence.design_effect)
    return Guard(kind, arm, trips, reason if trips else quiet, figures)


def _latency(
    rules: Guardrails, guard: LatencyGuard, arm: str, control: ArmEvidence, candidate: ArmEvidence
) -> Guard:
    verdict = compare_latency(
        _histograms(control), _histograms(candidate), guard.quantile, rules.alpha
    )
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


def _e_value(log_e: float) -> float:
    # exp(709.8) is the largest double: capped below it, or the figure would be infinite.
    return math.exp(min(log_e, 690.0))


def _histograms(arm: ArmEvidence) -> Floats:
    rows = np.array([*arm.latency.values()], dtype=np.float64)
    return rows.reshape(len(arm.latency), LATENCY_BINS)
