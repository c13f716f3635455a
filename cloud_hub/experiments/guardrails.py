"""What takes a candidate back at once. Pure; each guardrail is valid at every look."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from cloud_hub.experiments.evidence import ArmEvidence, Counts
from cloud_hub.experiments.spec import Guardrails, LatencyGuard
from cloud_hub.statistics.clustered import Floats
from cloud_hub.statistics.failures import log_failure_evidence
from cloud_hub.statistics.latency import compare_latency
from edge_sdk.contract.window import LATENCY_BINS


@dataclass(frozen=True)
class Guard:
    """One guardrail on one arm: whether it trips, why, and on which figures."""

    name: str
    arm: str
    trips: bool
    reason: str
    figures: dict[str, Any]


def watch(
    rules: Guardrails, arm: str, control: ArmEvidence, candidate: ArmEvidence
) -> tuple[Guard, ...]:
    """Every guardrail of an arm, those that do not trip included."""
    guards = [_devices(rules, arm, candidate.failed)]
    for kind in ("errors", "wrong labels"):
        mine, theirs = candidate.failures.get(kind, {}), control.failures.get(kind, {})
        guards.append(_failures(rules, arm, kind, mine, theirs))
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
    rules: Guardrails,
    arm: str,
    kind: str,
    candidate: Mapping[int, Counts],
    control: Mapping[int, Counts],
) -> Guard:
    periods = sorted({*candidate, *control})
    table = np.array(
        [(*candidate.get(p, (0, 0)), *control.get(p, (0, 0))) for p in periods], dtype=np.float64
    ).reshape(-1, 4)
    log_e = float(log_failure_evidence(*table.T))
    x, n, y, m = (int(total) for total in table.sum(axis=0))
    trips = log_e >= math.log(1 / rules.alpha)
    e_value = math.exp(min(log_e, 690.0))
    shown = f"{x} of {n} against {y} of {m}"
    reason = f"{arm} has more {kind}: {shown}, e-value {e_value:.3g} >= {1 / rules.alpha:.3g}"
    figures = {"candidate": [x, n], "control": [y, m], "e_value": e_value}
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
