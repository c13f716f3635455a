"""Decisions that rest on one device, which are none. Pure.

A decision stands only if it would be the same without any single device, whichever that is: the
one that reports most, fails most, or is farthest from the others may be broken, or lie. Whoever
declares ``minimum_devices: 1`` lets one device decide.

Source:
    B. Efron, R. Tibshirani, An Introduction to the Bootstrap, 1993, chapter 11 (the jackknife).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np

from cloud_hub.experiments.verdict.decision import GateDecision
from cloud_hub.experiments.verdict.evidence import PAIRED, ArmEvidence, Evidence, Row, by_device
from cloud_hub.experiments.verdict.spec import ExperimentSpec
from cloud_hub.statistics.heterogeneity import Counts
from cloud_hub.statistics.samples import DeviceRows, Floats, sums_of

ALL_OF: Final = 12
"""Of so many devices each is left out in turn; of more, those with most influence."""

EACH: Final = 2
"""Devices that are left out for each way to have influence."""

Gate = Callable[[ExperimentSpec, Evidence], GateDecision]


def without_any_one(
    spec: ExperimentSpec, evidence: Evidence, decision: GateDecision, gate: Gate
) -> GateDecision:
    """Return the decision if it stands without any single device; else to wait.

    Args:
        spec: the declared experiment.
        evidence: that the decision was made on.
        decision: of the gate.
        gate: that decides again.
    """
    if spec.minimum_devices < 2 or not _acts(decision):
        return decision
    least = _with_one_less(spec, len(_devices(evidence)))
    for device in _influential(evidence):
        other = gate(least, _without(evidence, device))
        if _result(other) != _result(decision):
            reason = f"{decision.reason}; but not without {device}: no single device decides"
            return GateDecision("wait", reason, decision.figures, looks=decision.looks)
    return decision


def _acts(decision: GateDecision) -> bool:
    """Whether it changes who gets what; a pause for silence is no verdict."""
    if decision.action == "pause":
        return any(guard.trips for guard in decision.figures.guardrails or ())
    return decision.action != "wait"


def _result(decision: GateDecision) -> tuple[str, str | None, tuple[str, ...]]:
    return decision.action, decision.winner, decision.arms


def _with_one_less(spec: ExperimentSpec, devices: int) -> ExperimentSpec:
    """The same experiment for a fleet with a device less: minimums were met before it left."""
    design = spec.design
    if design.horizon is not None:
        # The end comes as early as the outcomes of the one that is missing make it.
        horizon = max(10, int(design.horizon * max(devices - EACH, 1) / devices))
        design = replace(design, horizon=horizon)
    return replace(
        spec, minimum_devices=spec.minimum_devices - 1, minimum_outcomes=0, soak_predictions=0,
        design=design,
    )  # fmt: skip


def _influential(evidence: Evidence) -> list[str]:
    """Devices by whose absence a decision could change, each once."""
    every = _devices(evidence)
    if len(every) <= ALL_OF:
        return sorted(every)
    ways: list[Mapping[str, float]] = []
    chosen: dict[str, None] = {}
    for rows in _tables(evidence):
        n, total, _ = sums_of(rows).tolist()
        mean = total / n if n else 0.0
        if isinstance(rows, DeviceRows):
            chosen |= dict.fromkeys(_first_of_fleet(rows, rows.columns[:, 0]))
            off = np.abs(rows.columns[:, 1] - mean * rows.columns[:, 0])
            chosen |= dict.fromkeys(_first_of_fleet(rows, off))
            continue
        ways.append({device: row[0] for device, row in rows.items()})
        ways.append({device: abs(row[1] - mean * row[0]) for device, row in rows.items()})
    for arm in evidence.arms.values():
        ways.append({device: float(sum(row)) for device, row in arm.latency.items()})
        ways.append(dict.fromkeys(sorted(arm.failed)[:1], 1.0))
    ways.append(dict.fromkeys(sorted(evidence.shadow.failed)[:1], 1.0))
    ways.append(dict.fromkeys(sorted(evidence.interleave.failed)[:1], 1.0))
    for way in ways:
        chosen |= dict.fromkeys(sorted(way, key=lambda d: (-way[d], d))[:EACH])
    return list(chosen)


def _first_of_fleet(rows: DeviceRows, way: Floats) -> list[str]:
    # Stable, and names ascend: of equal ones those that come first by name, as of dictionaries.
    first = np.argsort(-way, kind="stable")[:EACH]
    return [rows.names[i] for i in rows.index[first].tolist()]


def _tables(evidence: Evidence) -> Iterator[Mapping[str, Row]]:
    """Every table of (how many, sum, sum of squares) by device."""
    for arm in evidence.arms.values():
        yield from arm.outcomes.values()
        yield from arm.labels.values()
        for kind in arm.failures:
            counts = arm.failures_by_device(kind)
            yield {device: (n, failed, failed) for device, (failed, n) in counts.items()}
        for group in arm.groups.values():
            yield {device: (n, wrong, wrong) for device, (wrong, n) in by_device(group).items()}
    yield from (getattr(evidence.shadow, name) for name in PAIRED)
    yield evidence.interleave.decided
    yield evidence.interleave.errors


def _devices(evidence: Evidence) -> set[str]:
    names = {device for rows in _tables(evidence) for device in rows}
    failed = (arm.failed for arm in evidence.arms.values())
    return names.union(*failed, evidence.shadow.failed, evidence.interleave.failed)


def _without(evidence: Evidence, device: str) -> Evidence:
    shadow, sessions = evidence.shadow, evidence.interleave
    return replace(
        evidence,
        arms={name: _arm_without(arm, device) for name, arm in evidence.arms.items()},
        shadow=replace(
            shadow,
            **{name: _rest(getattr(shadow, name), device) for name in PAIRED},
            failed=shadow.failed - {device},
        ),
        interleave=replace(
            sessions,
            decided=_rest(sessions.decided, device),
            errors=_rest(sessions.errors, device),
            failed=sessions.failed - {device},
        ),
        past=_rest(evidence.past, device),
    )


def _arm_without(arm: ArmEvidence, device: str) -> ArmEvidence:
    return replace(
        arm,
        outcomes={measure: _rest(rows, device) for measure, rows in arm.outcomes.items()},
        failures=_counts_without(arm.failures, device),
        groups=_counts_without(arm.groups, device),
        latency=_rest(arm.latency, device),
        labels={came: _rest(rows, device) for came, rows in arm.labels.items()},
        key_outcomes={m: _rest(tables, device) for m, tables in arm.key_outcomes.items()},
        key_failures={kind: _rest(tables, device) for kind, tables in arm.key_failures.items()},
        exposed=arm.exposed - {device},
        failed=arm.failed - {device},
        activated=arm.activated - {device},
    )


def _counts_without(
    kinds: Mapping[str, Mapping[tuple[str, int], Counts]], device: str
) -> dict[str, dict[tuple[str, int], Counts]]:
    return {
        kind: {key: counts for key, counts in rows.items() if key[0] != device}
        for kind, rows in kinds.items()
    }


def _rest(rows: Mapping[str, Any], device: str) -> Mapping[str, Any]:
    if isinstance(rows, DeviceRows):
        return rows.without(device)
    return {name: row for name, row in rows.items() if name != device}
