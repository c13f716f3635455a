"""How soon a canary that fails is taken back, and how often a healthy one is."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from benchmarks.statistics.fleets import TRIED, Floats, candidates
from benchmarks.statistics.part import Effort, Part, Row, rate
from cloud_hub.experiments.evidence import ArmEvidence, Evidence
from cloud_hub.experiments.gate import decide
from cloud_hub.experiments.spec import CANDIDATE, ExperimentSpec
from cloud_hub.statistics.failures import failure_path
from edge_sdk.contract.names import CONTROL

DEVICES: Final = 1_000
BASE: Final = 0.01
STEP: Final = 0.05
RUNS: Final = 500
HEALTHY: Final = 2_000
SPEC: Final = ExperimentSpec(
    "fleet", "canary", candidate=TRIED.version, steps=(STEP, 1.0), outcomes=(), soak_seconds=1e9
)
EVENTS: Final = 100
"""Requests of the whole fleet between two looks: about five of the candidate."""


def run(effort: Effort) -> list[Row]:
    """Ten, three and two times the base rate; then healthy ones."""
    rows = []
    for risk, most, goal in ((10.0, 600, 60), (3.0, 3_000, 500), (2.0, 8_000, 1_600)):
        runs = effort.runs(RUNS)
        took = [_aborted(risk, most, number, 0.0) for number in range(runs)]
        median = float(np.median([n if n is not None else math.inf for n in took]))
        name = f"candidate at {risk:g}× of {BASE:.0%} errors: candidate requests until taken back"
        late = sum(n is None for n in took)
        found = f"median {median:,.0f} ({late} of {runs} not within {most:,})"
        rows.append(Row(name, f"median ≤ {goal:,}", found, median <= goal))
    for varied, allowed in ((0.0, "≤ 1%"), (1.0, "")):
        runs = effort.runs(HEALTHY)
        bad = sum(_aborted(1.0, 5_000, number, varied) is not None for number in range(runs))
        alike = "devices' own error rates vary (gamma, shape 1)" if varied else "devices alike"
        name = f"healthy candidate, 5,000 of its requests, {alike}: taken back"
        met = bad / runs <= 0.01 if allowed else None
        rows.append(Row(name, allowed, rate(bad, runs), met))
    return rows


def _aborted(risk: float, most: int, number: int, varied: float) -> int | None:
    """After how many candidate requests the gate aborts; ``None`` if not within ``most``."""
    random = np.random.default_rng([13, round(10 * risk), round(10 * varied), number])
    inside = candidates(SPEC, [f"device-{i}" for i in range(DEVICES)], f"salt-{number % 50}")
    own = np.full(DEVICES, BASE)
    if varied:
        own = BASE * random.gamma(1.0, 1.0, DEVICES)
    own = np.minimum(own * np.where(inside, risk, 1.0), 1.0)
    looks = round(most / STEP / EVENTS)
    asked = random.integers(0, DEVICES, (looks, EVENTS))
    failed = random.random((looks, EVENTS)) < own[asked]
    mine = inside[asked]
    n, m = mine.sum(axis=1), (~mine).sum(axis=1)
    x, y = (failed & mine).sum(axis=1), (failed & ~mine).sum(axis=1)
    path = failure_path(x, n, y, m)
    crossed = np.flatnonzero(path >= math.log(1 / SPEC.guardrails.alpha))
    at = int(crossed[0]) if len(crossed) else int(np.argmax(path))
    decision = decide(SPEC, _seen(x, n, y, m, at))
    assert (decision.action == "abort") == bool(len(crossed)), "the gate decides as its evidence"
    return int(n[: at + 1].sum()) if len(crossed) else None


def _seen(x: Floats, n: Floats, y: Floats, m: Floats, at: int) -> Evidence:
    def arm(failures: Floats, requests: Floats) -> ArmEvidence:
        periods = {
            i: (int(a), int(b))
            for i, (a, b) in enumerate(zip(failures[: at + 1], requests[: at + 1], strict=True))
        }
        return ArmEvidence(failures={"errors": periods}, predictions=int(requests.sum()))

    return Evidence({CANDIDATE: arm(x, n), CONTROL: arm(y, m)})


PART = Part(
    "Canaries",
    f"{DEVICES:,} devices, the candidate on {STEP:.0%} of them by the plan; requests come "
    f"from devices at random, and the gate looks after every {EVENTS}. The guardrail's chance of "
    f"tripping on a healthy one at any look is {SPEC.guardrails.alpha:.0%}.",
    run,
)
