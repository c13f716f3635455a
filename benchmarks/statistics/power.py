"""Power: share of runs in which a real difference is detected."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from benchmarks.statistics.fleets import ab, candidates, evidence_of, split
from benchmarks.statistics.part import Effort, Part, Row, generator, rate
from cloud_hub.experiments.verdict.parallel import decide
from cloud_hub.experiments.verdict.spec import Design, ExperimentSpec
from cloud_hub.statistics import sequential
from cloud_hub.statistics.clustered import compare
from cloud_hub.statistics.power import chance_of_verdict
from cloud_hub.statistics.samples import Floats
from edge_sdk.contract.plan import Outcome

DEVICES: Final = 2_000
EACH: Final = 20
LOOKS: Final = 100
RUNS: Final = 1_000
RATES: Final = (0.10, 0.11)
SPREAD: Final = sum(rate * (1 - rate) for rate in RATES)
OUTCOMES: Final = (Outcome("accuracy", "accuracy"),)


def run(effort: Effort) -> list[Row]:
    """At any time, and at planned looks."""
    runs = effort.runs(RUNS)
    rows = [
        _sequential(runs, sequential.TUNED_FOR, 0.65),
        _sequential(runs, 20_000, None),
        _planned(effort.runs(RUNS // 2)),
    ]
    for method, goal in (("sequential", 0.65), ("group-sequential", 0.85)):
        chance = chance_of_verdict(
            0.01, SPREAD, 20_000, method=method, alpha=0.05, tuned_for=sequential.TUNED_FOR,  # type: ignore[arg-type]
        )  # fmt: skip
        rows.append(Row(f"what the planner says of it, {method}", f"≥ {goal}", f"{chance:.3f}"))
    return rows


def _sequential(runs: int, tuned_for: int, goal: float | None) -> Row:
    spec = ab(outcomes=OUTCOMES, design=Design(tuned_for=tuned_for))
    detected = 0
    for number in range(runs):
        n, total, inside = _run(spec, number)
        contrast = compare(*split(n, total, inside))
        evidence = sequential.log_e_value(contrast, sequential.tuning(contrast, tuned_for))
        most = int(np.argmax(evidence))
        decision = decide(spec, evidence_of("accuracy", n[most], total[most], inside))
        detected += decision.winner is not None
    name = f"10% → 11%, 20,000 an arm, {LOOKS} looks, intervals tightest at {tuned_for:,}: found"
    met = None if goal is None else detected / runs >= goal
    return Row(name, f"≥ {goal}" if goal else "", rate(detected, runs), met)


def _planned(runs: int) -> Row:
    spec = ab(outcomes=OUTCOMES, design=Design(horizon=20_000))
    detected = 0
    for number in range(runs):
        n, total, inside = _run(spec, number)
        looks: Any = {}
        for at in range(LOOKS // 10 - 1, LOOKS, LOOKS // 10):
            decision = decide(spec, evidence_of("accuracy", n[at], total[at], inside), looks)
            looks = decision.looks
            if decision.winner is not None:
                detected += 1
                break
    name = "10% → 11%, 20,000 an arm, declared end, 10 planned looks: found"
    return Row(name, "≥ 0.85", rate(detected, runs), detected / runs >= 0.85)


def _run(spec: ExperimentSpec, number: int) -> tuple[Floats, Floats, Any]:
    """Each device answers once in every fifth look; [LOOKS, D]."""
    random = generator(11, number)
    inside = candidates(spec, [f"device-{i}" for i in range(DEVICES)], f"salt-{number % 50}")
    turn = (np.arange(DEVICES) + np.arange(LOOKS)[:, None]) % (LOOKS // EACH) == 0
    n = turn.astype(float)
    right = (random.random((LOOKS, DEVICES)) < np.where(inside, RATES[1], RATES[0])) & turn
    return np.cumsum(n, axis=0), np.cumsum(right, axis=0).astype(float), inside


PART = Part(
    "Power",
    f"{DEVICES:,} devices, {EACH} independent requests each, half of the devices on each arm.",
    run,
)
