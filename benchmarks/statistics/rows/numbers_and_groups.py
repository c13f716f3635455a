"""Errors of numbers, and groups that get worse on the candidate alone: verdicts and guardrails."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.statistics.fleets import ab
from benchmarks.statistics.part import Effort, Part, Row, level, power
from cloud_hub.experiments.evidence_rows import failures_by_kind
from cloud_hub.experiments.exposure_rows import PeriodSums
from cloud_hub.experiments.verdict.evidence import GROUPS, ArmEvidence, Evidence
from cloud_hub.experiments.verdict.fairness_guard import watch_groups
from cloud_hub.experiments.verdict.guardrails import alpha_of
from cloud_hub.experiments.verdict.judge import judge
from cloud_hub.experiments.verdict.measures import ExposureSums, outcomes_of
from cloud_hub.experiments.verdict.spec import CANDIDATE, ExperimentSpec
from cloud_hub.statistics.samples import Floats
from edge_sdk.contract.names import CONTROL
from edge_sdk.contract.plan import Measure, Outcome

PART_NUMBER: Final = 1_516
LARGEST: Final = 10.0
"""As much as an error counts at most; usual ones are about 1."""

LOOKS: Final = 5


@dataclass(frozen=True)
class NumbersFleet:
    """Devices of both arms, how their errors and their traffic differ (standard deviation of the
    log), and whether single errors have heavy tails.
    """

    name: str
    number: int
    control: int
    candidate: int
    differ: float
    traffic: float
    heavy: bool = False


FLEETS: Final = (
    NumbersFleet("95/5 devices that differ by .5, traffic lognormal(1.5)", 0, 95, 5, 0.5, 1.5),
    NumbersFleet("20/20 devices that differ by .3, errors of t(2)", 1, 20, 20, 0.3, 0.0, True),
    NumbersFleet("9/1 devices that differ by .3", 2, 9, 1, 0.3, 0.0),
    NumbersFleet("50/50 devices that differ by .3, traffic lognormal(1.5)", 3, 50, 50, 0.3, 1.5),
    NumbersFleet("50/50 devices alike", 4, 50, 50, 0.0, 0.0),
)


def run(effort: Effort) -> list[Row]:
    """Verdicts and guardrails on errors, then the guardrail on groups."""
    verdicts = _verdicts(effort)
    if effort.quick:
        return verdicts
    return [*verdicts, *_guardrails(effort), *_outlier(effort), *_groups(effort)]


def looks(
    fleet: NumbersFleet, random: np.random.Generator, labels: int, worse: float = 1.0
) -> list[dict[str, ArmEvidence]]:
    """Evidence of both arms at each look.

    Args:
        fleet: its devices.
        random: of this run.
        labels: of a device, in the median, from one look to the next.
        worse: times the errors of the candidate.
    """
    devices = fleet.control + fleet.candidate
    inside = np.arange(devices) >= fleet.control
    scale = np.exp(random.normal(0.0, fleet.differ, devices)) * np.where(inside, worse, 1.0)
    counts = np.ceil(labels * np.exp(random.normal(0.0, fleet.traffic, devices))).astype(int)
    totals = np.zeros((4, devices))
    seen = []
    for _ in range(LOOKS):
        for d in range(devices):
            totals[:, d] += _sums(random, int(counts[d]), float(scale[d]), heavy=fleet.heavy)
        seen.append({CONTROL: _arm(totals, ~inside), CANDIDATE: _arm(totals, inside)})
    return seen


def _sums(random: np.random.Generator, n: int, scale: float, *, heavy: bool) -> Floats:
    draw = random.standard_t(2, n) if heavy else random.standard_normal(n)
    sizes = np.minimum(scale * np.abs(draw), LARGEST)
    return np.array([n, sizes.sum(), (sizes**2).sum(), (sizes**4).sum()])


def _arm(totals: Floats, chosen: NDArray[np.bool_]) -> ArmEvidence:
    sums = {
        f"d{d}": ExposureSums(
            predictions=int(n), measured=int(n), error_sum=s, error_squares=q, error_fourths=f
        )
        for d, (n, s, q, f) in enumerate(totals.T.tolist())
        if chosen[d]
    }
    rows = [PeriodSums(device, "", 0, each) for device, each in sums.items()]
    return ArmEvidence(
        outcomes_of(sums), failures_by_kind(rows, LARGEST), exposed=frozenset(sums),
        predictions=int(totals[0, chosen].sum()), largest_error=LARGEST,
    )  # fmt: skip


def _ends(spec: ExperimentSpec, seen: list[dict[str, ArmEvidence]]) -> str:
    """What an experiment ends with: the last action, and its winner."""
    for arms in seen:
        decision = judge(spec, Evidence(arms, soaked=1e6), {})
        if decision.action not in ("wait", "pass"):
            return f"{decision.action} {decision.winner or ''}".strip()
    return "wait"


def _spec(metric: Measure, effect: float = 0.0, **more: object) -> ExperimentSpec:
    return ab(outcomes=(Outcome("error", metric, minimum_effect=effect),), **more)


def _verdicts(effort: Effort) -> list[Row]:
    rows = []
    for fleet in effort.cells(FLEETS, quick=1):
        for i, metric in enumerate(effort.cells(("mae", "rmse"), quick=1)):
            runs = effort.runs_for_level(1_000, 0.05)
            spec = _spec(metric)  # type: ignore[arg-type]
            hits = sum(
                _ends(spec, looks(fleet, effort.random(PART_NUMBER, i, fleet.number, r), 40))
                == f"conclude {CANDIDATE}"
                for r in range(runs)
            )
            rows.append(
                level(f"{metric}, A/A, {fleet.name}: false winners", hits, runs, 0.05, "15")
            )
    fleet = FLEETS[-1]
    for metric in effort.cells(("mae", "rmse"), quick=0):
        runs = effort.runs(200, least=40)
        spec = _spec(metric, 0.02)  # type: ignore[arg-type]
        hits = sum(
            _ends(spec, looks(fleet, effort.random(PART_NUMBER, 9, r), 40, worse=0.8))
            == f"conclude {CANDIDATE}"
            for r in range(runs)
        )
        rows.append(
            power(f"{metric}, {fleet.name}, errors a fifth smaller: found", hits, runs, 0.8, "15")
        )
    return rows


def _guardrails(effort: Effort) -> list[Row]:
    rows = []
    for fleet in effort.cells(FLEETS, quick=1):
        runs = effort.runs_for_level(2_000, 0.01)
        hits = sum(
            _aborts(fleet, effort.random(PART_NUMBER, 3, fleet.number, r)) for r in range(runs)
        )
        rows.append(level(f"{fleet.name}, healthy: size of errors trips", hits, runs, 0.01, "15"))
    runs = effort.runs(200, least=40)
    hits = sum(_aborts(FLEETS[-1], effort.random(PART_NUMBER, 4, r), 3.0) for r in range(runs))
    rows.append(power(f"{FLEETS[-1].name}, errors 3 times as large: trips", hits, runs, 0.9, "15"))
    return rows


def _aborts(fleet: NumbersFleet, random: np.random.Generator, worse: float = 1.0) -> bool:
    return _ends(ab(), looks(fleet, random, 40, worse)) == "abort"


def _outlier(effort: Effort) -> list[Row]:
    """One error of a billion, which devices cut at the largest that counts."""
    fleet, runs = FLEETS[-1], effort.runs(200, least=40)
    spec, ends = _spec("mae", 0.2), []
    for r in range(runs):
        seen = looks(fleet, effort.random(PART_NUMBER, 5, r), 40)
        for arms in seen:
            rows = dict(arms[CANDIDATE].outcomes["mae"])
            n, total, squares = rows[f"d{fleet.control}"]
            rows[f"d{fleet.control}"] = (n + 1, total + LARGEST, squares + LARGEST**2)
            arms[CANDIDATE] = ArmEvidence(
                {"mae": rows}, exposed=arms[CANDIDATE].exposed, predictions=int(n)
            )
        ends.append(_ends(spec, seen))
    wrong = sum(end in ("abort", f"conclude {CANDIDATE}") for end in ends)
    return [
        level(f"mae, A/A, {fleet.name}, one error of 1e9: decided by it", wrong, runs, 0.05, "15")
    ]


@dataclass(frozen=True)
class GroupFleet:
    """Devices of both arms, the correlation of wrong labels within a device."""

    name: str
    number: int
    control: int
    candidate: int
    correlation: float


GROUP_FLEETS: Final = (
    GroupFleet("90/10 devices, correlation .1", 0, 90, 10, 0.1),
    GroupFleet("50/50 devices, correlation .1", 1, 50, 50, 0.1),
    GroupFleet("75/25 devices, correlation .01", 2, 75, 25, 0.01),
    GroupFleet("75/25 devices alike", 3, 75, 25, 0.0),
    GroupFleet("90/10 devices, correlation .01", 4, 90, 10, 0.01),
    GroupFleet("50/50 devices, correlation .01", 5, 50, 50, 0.01),
    GroupFleet("50/50 devices alike", 6, 50, 50, 0.0),
    GroupFleet("10/10 devices, correlation .01", 7, 10, 10, 0.01),
)


def _groups(effort: Effort) -> list[Row]:
    rows = []
    for fleet in effort.cells(GROUP_FLEETS, quick=0):
        runs = effort.runs(1_000, least=40)
        seeds = [(PART_NUMBER, 6, fleet.number, r) for r in range(runs)]
        null = sum(_group_trips(fleet, effort.random(*s), 0.1, labels=1_200) for s in seeds)
        healthy = f"{fleet.name}: groups of a healthy candidate trip"
        rows.append(level(healthy, null, runs, 0.01, "16"))
        found = sum(_group_trips(fleet, effort.random(*s), 0.25, labels=300) for s in seeds)
        about = "one of two groups .10 → .25, 300 of its labels on the candidate"
        known = fleet.control == fleet.candidate or fleet.correlation >= 0.1
        rows.append(power(f"{fleet.name}, {about}: found", found, runs, 0.8, "16", known=known))
    return rows


def _group_trips(fleet: GroupFleet, random: np.random.Generator, worse: float, labels: int) -> bool:
    """Two groups; the first errs at ``worse`` on the candidate. Looked at three times."""
    devices, base = fleet.control + fleet.candidate, 0.1
    r = fleet.correlation
    rates = (
        random.beta((1 - r) / r * base, (1 - r) / r * (1 - base), devices)
        if r
        else np.full(devices, base)
    )
    inside = np.arange(devices) >= fleet.control
    odds = rates / np.maximum(1 - rates, 1e-12) * (worse / (1 - worse)) / (base / (1 - base))
    groups: list[list[dict[tuple[str, int], tuple[float, float]]]] = [[{}, {}], [{}, {}]]
    each = labels / fleet.candidate / 6
    for period in range(6):
        for group in (0, 1):
            chance = np.where(inside & (group == 0), odds / (1 + odds), rates)
            n = random.poisson(each, devices)
            wrong = random.binomial(n, chance)
            for d in np.flatnonzero(n).tolist():
                groups[int(inside[d])][group][f"d{d}", period] = (float(wrong[d]), float(n[d]))
        if period % 2:
            control, tried = (ArmEvidence(groups={"g=a": a, "g=b": b}) for a, b in groups)
            (guard,) = watch_groups(alpha_of(ab(), GROUPS), CANDIDATE, control, tried)
            if guard.trips:
                return True
    return False


PART = Part(
    "Errors of numbers, groups on a candidate",
    f"A regressor whose errors are about 1 and count {LARGEST:g} at most; devices differ in the "
    f"size of their errors; {LOOKS} looks of 40 labels a device. Of groups: two, with its share of "
    "alpha .01, looked at three times.",
    run,
    quick=True,
)
