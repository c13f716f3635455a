"""A/A tests: how often one arm is called better than its equal."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from scipy.special import ndtri

from benchmarks.statistics.fleets import ab, candidates, evidence_of, split
from benchmarks.statistics.part import Effort, Part, Row, generator, rate
from cloud_hub.experiments.verdict.parallel import decide
from cloud_hub.experiments.verdict.spec import Design
from cloud_hub.statistics import sequential
from cloud_hub.statistics.clustered import compare
from cloud_hub.statistics.samples import Floats
from edge_sdk.contract.plan import Outcome

LOOKS: Final = 100
RUNS: Final = 2_000
RATE: Final = 0.2
SPEC: Final = ab(outcomes=(Outcome("accuracy", "accuracy"),))


def run(effort: Effort) -> list[Row]:
    """Clustered and independent fleets, large and small."""
    rows = []
    for devices, correlation in ((200, 0.05), (200, 0.0), (40, 0.05), (6, 0.05)):
        runs = effort.runs(RUNS if devices == 200 else RUNS // 2)
        ours, naive, once = _campaign(devices, correlation, runs)
        alike = f"correlated {correlation:g} within a device" if correlation else "independent"
        name = f"A/A, {devices} devices, requests {alike}, {LOOKS} looks"
        rows += [
            Row(f"{name}: false winners", "≤ 5%", rate(ours, runs), ours / runs <= 0.05),
            Row("the same runs, z-test per request at every look", "", rate(naive, runs)),
            Row("the same runs, z-test per request at the end only", "", rate(once, runs)),
        ]
    return rows


def _campaign(devices: int, correlation: float, runs: int) -> tuple[int, int, int]:
    ours = naive = once = 0
    for number in range(runs):
        random = generator(devices, round(1_000 * correlation), number)
        n, total = _reports(random, devices, correlation)
        units = [f"device-{i}" for i in range(devices)]
        inside = candidates(SPEC, units, f"salt-{number}")
        control, candidate = split(n, total, inside)
        contrast = compare(control, candidate)
        evidence = sequential.log_e_value(contrast, sequential.tuning(contrast))
        most = int(np.argmax(evidence))
        decision = decide(SPEC, evidence_of("accuracy", n[most], total[most], inside))
        ours += decision.action == "conclude"
        z = np.abs(_naive(control.n, control.total, candidate.n, candidate.total))
        limit = float(ndtri(0.975))
        naive += bool(np.any(z >= limit))
        once += bool(z[-1] >= limit)
    return ours, naive, once


def _reports(
    random: np.random.Generator, devices: int, correlation: float
) -> tuple[Floats, Floats]:
    """Labels and right ones by device, added up to each look: [LOOKS, D] each."""
    if correlation:
        spread = (1 - correlation) / correlation
        own = random.beta(RATE * spread, (1 - RATE) * spread, devices)
    else:
        own = np.full(devices, RATE)
    busy = random.gamma(2.0, 2.0, devices)
    n = random.poisson(busy, (LOOKS, devices))
    right = random.binomial(n, own)
    return np.cumsum(n, axis=0).astype(float), np.cumsum(right, axis=0).astype(float)


def _naive(n: Floats, x: Floats, m: Floats, y: Floats) -> Floats:
    """Two-proportion z over requests, by look."""
    n, x, m, y = (array.sum(axis=1) for array in (n, x, m, y))
    pooled = (x + y) / (n + m)
    with np.errstate(invalid="ignore", divide="ignore"):
        z = (y / m - x / n) / np.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
    return np.nan_to_num(z, nan=0.0, posinf=0.0, neginf=0.0)


def planned(effort: Effort) -> Row:
    """The same with a declared end and ten looks, clustered."""
    spec = ab(outcomes=SPEC.outcomes, design=Design(horizon=2_500))
    runs, winners = effort.runs(RUNS // 2), 0
    for number in range(runs):
        random = generator(7, number)
        n, total = _reports(random, 200, 0.05)
        inside = candidates(spec, [f"device-{i}" for i in range(200)], f"salt-{number}")
        looks: Any = {}
        for at in range(4, LOOKS, 5):
            evidence = evidence_of("accuracy", n[at], total[at], inside)
            decision = decide(spec, evidence, looks)
            looks = decision.looks
            if decision.action == "conclude":
                outcomes = decision.figures.outcomes or ()
                winners += outcomes[0].p <= spec.design.alpha
                break
    name = "A/A, 200 devices, correlated 0.05, declared end with 10 planned looks: false winners"
    return Row(name, "≤ 5%", rate(winners, runs), winners / runs <= 0.05)


PART = Part(
    "False winners",
    "Both arms are the same. Devices differ in how busy they are (gamma) and, where requests are "
    "correlated, in how often they are right (beta). A false winner is a verdict either way at any "
    "of the looks.",
    lambda effort: [*run(effort), planned(effort)],
)
