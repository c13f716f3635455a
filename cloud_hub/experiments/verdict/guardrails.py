"""What takes a candidate back at once. Pure; each guardrail is valid at every look."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from cloud_hub.experiments.verdict.evidence import ArmEvidence
from cloud_hub.experiments.verdict.spec import ExperimentSpec, Guardrails, LatencyGuard
from cloud_hub.statistics.clustered import Floats
from cloud_hub.statistics.failures import judge_failures
from cloud_hub.statistics.heterogeneity import FailureCounts
from cloud_hub.statistics.latency import compare_latency
from edge_sdk.contract.plan import Measure
from edge_sdk.contract.window import LATENCY_BINS

FAILURES: Final[Mapping[str, Measure]] = {"errors": "errors", "wrong labels": "accuracy"}
"""Kinds of failure, and the outcome whose ``minimum_effect`` says how many more do not matter."""


@dataclass(frozen=True)
class Guard:
    """One guardrail on one arm: whether it trips, why, and on which figures."""

    name: str
    arm: str
    trips: bool
    reason: str
    figures: dict[str, Any]


def watch(
    spec: ExperimentSpec, arm: str, control: ArmEvidence, candidate: ArmEvidence
) -> tuple[Guard, ...]:
    """Every guardrail of an arm, those that do not trip included."""
    rules = spec.guardrails
    guards = [_devices(rules, arm, candidate.failed)]
    for kind, measure in FAILURES.items():
        mine, theirs = candidate.failures.get(kind, {}), control.failures.get(kind, {})
        margins = [o.minimum_effect for o in spec.outcomes if o.metric == measure]
        failures = FailureCounts.of(mine, theirs)
        guards.append(_failures(rules, arm, kind, failures, max(margins, default=0.0)))
    if rules.latency is not None:
        guards.append(_latency(rules, rules.latency, arm, control, candidate))
    return tuple(guards)


def watch_devices(rules: Guardrails, arm: str, failed: frozenset[str]) -> Guard:
    """The one guardrail that a candidate beside what serves shares with one that serves."""
    return _devices(rules, arm, failed)


def _devices(rules: Guardrails, arm: str, failed: frozenset[str]) -> Guard:
    trips = len(failed) >= rules.max_failed_devices
    reason = f"{arm} failed on {len(failed)} device(s), of {rules.max_failed_devices} allowed"
    figures = {"failed": sorted(failed)[:20], "count": len(failed)}
    return Guard("failed devices", arm, trips, reason, figures)


def _failures(
    rules: Guardrails, arm: str, kind: str, failures: FailureCounts, margin: float
) -> Guard:
    found = judge_failures(failures, margin=margin)
    trips = found.log_e >= math.log(1 / rules.alpha)
    e_value = math.exp(min(found.log_e, 690.0))
    x, n, y, m = (int(total) for total in failures.by_period().sum(axis=1))
    beyond = f" by more than {margin:.3g}" if margin else ""
    reason = (
        f"{arm} has more {kind}{beyond}: {x} of {n} against {y} of {m}, "
        f"e-value {e_value:.3g} >= {1 / rules.alpha:.3g}"
    )
    figures = {
        "candidate": [x, n], "control": [y, m], "e_value": e_value, "margin": margin,
        "design_effect": found.design_effect,
    }  # fmt: skip
    return Guard(kind, arm, trips, reason, figures)


def _latency(
    rules: Guardrails, guard: LatencyGuard, arm: str, control: ArmEvidence, candidate: ArmEvidence
) -> Guard:
    found = compare_latency(
        _histograms(control), _histograms(candidate), guard.quantile, rules.alpha
    )
    trips = found.low > guard.at_most
    name = f"p{guard.quantile * 100:g} of latency"
    reason = f"{arm}: {name} is at least {found.low:.2f} times the control's"
    ends = {"low": found.low, "high": found.high}
    micros = {"control_us": found.control.value, "candidate_us": found.candidate.value}
    figures = {k: v if math.isfinite(v) else None for k, v in {**ends, **micros}.items()}
    return Guard(name, arm, trips, reason, {**figures, "at_most": guard.at_most})


def _histograms(arm: ArmEvidence) -> Floats:
    rows = np.array([*arm.latency.values()], dtype=np.float64)
    return rows.reshape(len(arm.latency), LATENCY_BINS)
