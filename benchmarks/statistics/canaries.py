"""Canaries: time until a failing one is taken back, and share of healthy ones that are."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from benchmarks.statistics.fleets import TRIED, candidates
from benchmarks.statistics.part import (
    Effort,
    Part,
    Row,
    exact_rate,
    generator,
    level,
    median_within,
)
from cloud_hub.experiments.verdict.evidence import ArmEvidence, Evidence
from cloud_hub.experiments.verdict.guardrails import alpha_of
from cloud_hub.experiments.verdict.parallel import decide
from cloud_hub.experiments.verdict.spec import CANDIDATE, ExperimentSpec
from cloud_hub.statistics.failures import judge_failures
from cloud_hub.statistics.heterogeneity import Counts, FailureCounts
from cloud_hub.statistics.samples import Floats
from edge_sdk.contract.names import CONTROL
from edge_sdk.contract.plan import Outcome

BASE: Final = 0.01
RUNS: Final = 500
HEALTHY: Final = 2_000
MATTERS: Final = 0.02
FEWEST: Final = 30
"""A median of fewer runs tells little."""
CHECKED: Final = 20
"""The gate itself judges every such run, and each that is taken back."""


@dataclass(frozen=True)
class Fleet:
    """``devices``, of which ``tried`` have the candidate; each look sees ``requests`` more of all.

    ``base`` is the usual rate of failures. Devices' own differ: ``gamma`` is the coefficient of
    variation of a factor, ``odds`` the standard deviation of the log odds.
    """

    devices: int = 1_000
    tried: int = 50
    requests: int = 100
    base: float = BASE
    gamma: float = 0.0
    odds: float = 0.0

    def inside(self, number: int) -> NDArray[np.bool_]:
        """Return who has the candidate, by the plan, with a salt that gives it to so many, [D]."""
        spec = replace(SPEC, steps=(self.tried / self.devices, 1.0))
        names = [f"device-{i}" for i in range(self.devices)]
        if self.devices > 100:
            return candidates(spec, names, f"salt-{number % 50}")
        salts = (candidates(spec, names, f"salt-{number}-{i}") for i in itertools.count())
        return next(inside for inside in salts if inside.sum() == self.tried)

    def rates(self, random: np.random.Generator) -> Floats:
        """The devices' own chances of failure, [D]."""
        if self.gamma:
            shape = self.gamma**-2
            return np.minimum(self.base * random.gamma(shape, 1 / shape, self.devices), 1)
        logit = math.log(self.base / (1 - self.base))
        return 1 / (1 + np.exp(-logit - self.odds * random.standard_normal(self.devices)))


SPEC: Final = ExperimentSpec(
    "fleet",
    "canary",
    candidate=TRIED.version,
    steps=(0.05, 1.0),
    outcomes=(),
    soak_seconds=1e9,
    minimum_devices=1,
)
LIMIT: Final = math.log(1 / alpha_of(SPEC, "errors"))
SUSPECT: Final = math.log(10)
"""Of the evidence if requests were independent: with less the gate is not asked."""
NAIVE: Final = np.array((1.25, 1.5, 2.0, 3.0, 5.0, 10.0))
LARGE: Final = Fleet()
SMALL: Final = tuple(
    Fleet(devices, tried, 20 * devices, 0.05, odds=0.5)
    for devices, tried in ((6, 3), (10, 5), (22, 2), (40, 20))
)


SICK: Final = ((10.0, 600, 60), (3.0, 3_000, 500), (2.0, 8_000, 1_600))
"""Failures as a multiple of the usual ones, requests that are looked at, and the goal."""


def run(effort: Effort) -> list[Row]:
    """Ten, three and two times the base rate; healthy ones; small fleets; what does not matter."""
    rows = [_sick(effort, *case) for case in effort.cells(SICK, quick=2)]
    if effort.quick:
        return rows
    rows += _healthy(effort, LARGE, "devices alike")
    rows += _healthy(effort, replace(LARGE, gamma=1.0), "own rates vary (gamma, shape 1)")
    for fleet in SMALL:
        name = f"{fleet.tried} of {fleet.devices} devices, log odds vary (sd {fleet.odds:g})"
        rows += _healthy(effort, fleet, name, looks=50)
    for risk in (3.0, 10.0):
        rows.append(_taken_back(effort, SMALL[-1], risk))
    return [*rows, _harmless(effort)]


def _sick(effort: Effort, risk: float, most: int, goal: int) -> Row:
    looks = most * LARGE.devices // LARGE.tried // LARGE.requests
    trials = [_try(LARGE, risk, looks, number) for number in range(max(FEWEST, effort.runs(RUNS)))]
    late = sum(not trial.taken_back for trial in trials)
    return median_within(
        f"candidate at {risk:g}× of {BASE:.0%} errors: candidate requests until taken back",
        [trial.requests for trial in trials],
        goal,
        f"{late} of {len(trials)} not within {most:,}",
        claim="P3",
        # Alpha is dealt out now, and devices may differ: it takes about a third longer.
        known=True,
    )


def _healthy(effort: Effort, fleet: Fleet, name: str, looks: int = 1_000) -> list[Row]:
    trials = [_try(fleet, 1.0, looks, number) for number in range(effort.runs(HEALTHY))]
    bad = sum(trial.taken_back for trial in trials)
    naive = sum(trial.suspected for trial in trials)
    about = f"healthy candidate, {fleet.base:.0%} errors, {name}: taken back"
    return [
        level(about, bad, len(trials), 0.01, claim="6"),
        Row("the same runs, had requests been independent", "", exact_rate(naive, len(trials))),
    ]


def _taken_back(effort: Effort, fleet: Fleet, risk: float) -> Row:
    trials = [_try(fleet, risk, 50, number) for number in range(effort.runs(RUNS))]
    requests = 50 * fleet.requests * fleet.tried // fleet.devices
    name = f"candidate at {risk:g}× on {fleet.tried} of the last {fleet.devices} devices"
    share = exact_rate(sum(trial.taken_back for trial in trials), len(trials))
    return Row(f"{name}, {requests:,} of its requests: taken back", "", share)


def _harmless(effort: Effort) -> Row:
    """Try a candidate that is as much worse as was declared not to matter."""
    fleet = replace(LARGE, base=0.05)
    spec = replace(SPEC, outcomes=(Outcome("errors", "errors", "down", MATTERS),))
    worse = (fleet.base + MATTERS) / fleet.base
    trials = [_try(fleet, worse, 300, number, spec) for number in range(effort.runs(RUNS))]
    bad = sum(trial.taken_back for trial in trials)
    name = f"candidate at 7% errors against 5%, of which {MATTERS:.0%} do not matter: taken back"
    return level(name, bad, len(trials), 0.01, claim="6")


@dataclass(frozen=True)
class Trial:
    """Outcome of one simulated canary.

    ``requests`` is the number of its requests after which the candidate was taken back, infinite
    if it was not.

    ``suspected``: independent requests would have been evidence enough.
    """

    requests: float
    suspected: bool

    @property
    def taken_back(self) -> bool:
        """True if it was, at any look."""
        return math.isfinite(self.requests)


def _try(fleet: Fleet, risk: float, looks: int, number: int, spec: ExperimentSpec = SPEC) -> Trial:
    requests = _requests(fleet, risk, looks, number)
    margin = max((outcome.minimum_effect for outcome in spec.outcomes), default=0.0)
    naive = _independent(*requests.by_period())
    trips = (
        tripped
        for tripped in (_until(requests, look) for look in _thinned(naive >= SUSPECT))
        if judge_failures(tripped, margin=margin).log_e >= LIMIT
    )
    tripped = next(trips, None)
    if tripped is not None or number % CHECKED == 0:
        decision = decide(spec, _evidence(tripped or requests))
        assert (decision.action == "abort") == (tripped is not None), "the gate as its evidence"
    until = math.inf if tripped is None else float(tripped.by_period()[1].sum())
    return Trial(until, bool((naive >= LIMIT).any()))


def _independent(x: Floats, n: Floats, y: Floats, m: Floats) -> Floats:
    """Log e-value after each period, had requests been independent: its share of all failures."""
    there = (n > 0) & (m > 0)
    share = np.where(there, n / np.maximum(n + m, 1), 0.5)[:, None]
    worse = NAIVE * share / (NAIVE * share + 1 - share)
    logs = x[:, None] * np.log(worse / share) + y[:, None] * np.log((1 - worse) / (1 - share))
    paths = np.cumsum(np.where(there[:, None], logs, 0.0), axis=0)
    return np.asarray(logsumexp(paths, axis=1) - math.log(len(NAIVE)))


def _thinned(suspect: NDArray[np.bool_]) -> Iterator[np.intp]:
    """Looks that are judged: as requests grow by a fiftieth, so that a run takes seconds."""
    last = 0.0
    for look in np.flatnonzero(suspect):
        if look + 1 >= 1.02 * last:
            last = float(look + 1)
            yield look


def _requests(fleet: Fleet, risk: float, looks: int, number: int) -> FailureCounts:
    """All requests, in order of looks, which are their periods."""
    seed = [13, *(round(10 * v) for v in (risk, fleet.gamma, fleet.odds)), fleet.devices, number]
    random = generator(*seed)
    inside = fleet.inside(number)
    own = np.minimum(fleet.rates(random) * np.where(inside, risk, 1.0), 1.0)
    device = random.integers(0, fleet.devices, looks * fleet.requests)
    failed = (random.random(len(device)) < own[device]).astype(np.float64)
    period = np.repeat(np.arange(looks), fleet.requests)
    return FailureCounts(device, period, inside[device], failed, np.ones(len(device)))


def _until(requests: FailureCounts, look: np.intp) -> FailureCounts:
    rows = slice(int(np.searchsorted(requests.period, look, side="right")))
    return FailureCounts(
        requests.device[rows],
        requests.period[rows],
        requests.candidate[rows],
        requests.failed[rows],
        requests.requests[rows],
    )


def _evidence(requests: FailureCounts) -> Evidence:
    def arm(candidate: bool) -> ArmEvidence:
        counts: dict[tuple[str, int], Counts] = {}
        rows = requests.candidate == candidate
        columns = (requests.device, requests.period, requests.failed)
        for device, period, failed in zip(*(c[rows].tolist() for c in columns), strict=True):
            x, n = counts.get((f"device-{device}", period), (0, 0))
            counts[f"device-{device}", period] = (x + int(failed), n + 1)
        exposed = frozenset(device for device, _ in counts)
        return ArmEvidence(
            failures={"errors": counts}, exposed=exposed, predictions=int(rows.sum())
        )

    arms: Mapping[str, ArmEvidence] = {CANDIDATE: arm(True), CONTROL: arm(False)}
    return Evidence(arms)


PART = Part(
    "Canaries",
    f"{LARGE.devices:,} devices, the candidate on {LARGE.tried / LARGE.devices:.0%} of them by the "
    f"plan, and small fleets; requests come from devices at random, and the gate looks after every "
    f"{LARGE.requests}, in small fleets after every 20 a device. The guardrail's chance of "
    f"tripping on a healthy one at any look is {SPEC.guardrails.alpha:.0%}.",
    run,
    quick=True,
)
