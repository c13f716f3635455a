"""Verdicts by device on fleets that are few and unlike, and what their own past adds."""

from __future__ import annotations

import itertools
from typing import Final

import numpy as np

from benchmarks.statistics.fleets import TRIED, Trials, Unlike, ab, trials
from benchmarks.statistics.part import Effort, Part, Row, exact_rate, level, power
from cloud_hub.experiments.verdict.parallel import decide
from cloud_hub.experiments.verdict.spec import ExperimentSpec
from cloud_hub.statistics.power import chance_of, days_until, expected, variance_of
from cloud_hub.statistics.samples import Floats, Sample
from cloud_hub.statistics.sequential import TUNED_FOR, interval, log_e_value, tuning
from edge_sdk.contract.plan import Outcome

MARGIN: Final = 0.02
OUTCOMES: Final = (Outcome("accuracy", "accuracy", "up", MARGIN),)
AB: Final = ab(outcomes=OUTCOMES, minimum_devices=1)
CANARY: Final = ExperimentSpec(
    "fleet", "canary", candidate=TRIED.version, steps=(0.5, 1.0), outcomes=OUTCOMES,
    soak_seconds=0.0, minimum_devices=1,
)  # fmt: skip
LABELS: Final = np.unique(np.round(np.geomspace(1, 2_000, 40)))
"""Labels of a device until each look."""

BATCH: Final = 50
PART_NUMBER: Final = 46

SIZES: Final = ((99, 1), (95, 5), (2, 2), (9, 1), (98, 2), (1, 1))
ALIKE: Final = (0.01, 0.1, 0.3)
FEW: Final = tuple(
    Unlike(*sizes, correlation, traffic)
    for sizes, correlation, traffic in itertools.product(SIZES, ALIKE, (1.5, 0.0))
)
HEAVY: Final = tuple(
    Unlike(*sizes, correlation, traffic, largest)
    for sizes, correlation, (traffic, largest) in itertools.product(
        ((50, 50), (10, 10)), (0.01, 0.1, 0.3), ((1.5, 0.0), (0.0, 0.3))
    )
)
WITH_PAST: Final = (
    Unlike(95, 5, 0.1, 1.5, past=500),
    Unlike(9, 1, 0.3, 1.5, past=500),
    Unlike(99, 1, 0.01, past=500),
    Unlike(50, 50, 0.1, 1.5, 0.3, past=500),
    Unlike(3, 2, 0.1, past=500),
    Unlike(95, 5, 0.1, past=500, moved=0.05),
    Unlike(95, 5, 0.1, past=500, moved=0.5),
    Unlike(50, 50, 0.1, past=500, moved=1.0),
)
UNTUNED: Final = (
    Unlike(99, 1, 0.1, 1.5, rate=0.97),
    Unlike(95, 5, 0.3, 1.5, rate=0.5),
    Unlike(9, 1, 0.1, 1.0, rate=0.6, past=200),
    Unlike(20, 5, 0.2, 2.0, rate=0.9),
    Unlike(6, 3, 0.05, 0.5, rate=0.7),
)
"""Rates, sizes and tails that nothing was tried on while the method was chosen."""


def run(effort: Effort) -> list[Row]:
    """False winners, worse candidates promoted; then what is found, as the plan says or not."""
    groups = ((FEW, "1", 3), (HEAVY, "2", 1), (WITH_PAST, "1", 2), (UNTUNED, "1", 1))
    rows = []
    for number, (fleets, claim, quick) in enumerate(groups):
        for fleet in effort.cells(fleets, quick):
            rows.append(_false_winners(effort, fleet, claim, number))
    for fleet in effort.cells((*FEW, *WITH_PAST), 2):
        rows.append(_promoted(effort, fleet))
    for sizes, traffic in itertools.product(((95, 5), (9, 1)), (0.0, 1.5)):
        for correlation in effort.cells(ALIKE, 1):
            rows.append(_stopped(effort, Unlike(*sizes, correlation, traffic, past=500, rate=0.9)))
    rows += [_default_canary(effort, correlation) for correlation in effort.cells((0.1, 0.3), 1)]
    for correlation in effort.cells((0.01, 0.1), 0):
        rows += _five(effort, Unlike(2, 3, correlation, past=500, rate=0.9))
    return [*rows, *_planned(effort)]


def _batches(
    effort: Effort, runs: int, fleet: Unlike, labels: Floats, effect: float, *key: int
) -> list[Trials]:
    seed = (fleet.control, fleet.candidate, round(100 * fleet.correlation), fleet.past, *key)
    random = effort.random(PART_NUMBER, *seed, round(10 * fleet.traffic), round(100 * fleet.rate))
    sizes = [BATCH] * (runs // BATCH) + [runs % BATCH] * (runs % BATCH > 0)
    return [trials(random, fleet, size, labels, effect) for size in sizes]


def _false_winners(effort: Effort, fleet: Unlike, claim: str, number: int) -> Row:
    """The gate judges the look with the strongest evidence of each run."""
    runs = effort.runs_for_level(1_000, 0.05)
    winners = 0
    for batch in _batches(effort, runs, fleet, LABELS, 0.0, number):
        contrast = batch.contrast()
        evidence = log_e_value(contrast, tuning(contrast))
        for each, look in enumerate(np.argmax(evidence, axis=1)):
            figures = decide(AB, batch.evidence(each, int(look))).figures
            winners += any(outcome.p <= AB.design.alpha for outcome in figures.outcomes or ())
    return level(f"A/A, {fleet.name}: false winners", winners, runs, 0.05, claim)


def _promoted(effort: Effort, fleet: Unlike) -> Row:
    """A canary that is worse by twice the margin passes, at the look where it looks best."""
    runs = effort.runs_for_level(500, 0.025)
    passed = 0
    for batch in _batches(effort, runs, fleet, LABELS, -2 * MARGIN, 10):
        low, _ = _ends(batch)
        for each, look in enumerate(np.argmax(low, axis=1)):
            passed += decide(CANARY, batch.evidence(each, int(look))).action == "pass"
    return level(f"worse by 2× the margin, {fleet.name}: promoted", passed, runs, 0.025, "1")


def _stopped(effort: Effort, fleet: Unlike) -> Row:
    """It fails 30% instead of 10%: 500 labels a device, with as many before; guardrails watch."""
    runs = effort.runs(500, 100)
    found = 0
    for batch in _batches(effort, runs, fleet, LABELS[LABELS <= 500], -0.2, 20):
        _, high = _ends(batch)
        for each, look in enumerate(np.argmin(high, axis=1)):
            found += decide(CANARY, batch.watched(each, int(look))).action == "abort"
    # The one device that tries it may have next to no labels: nobody can tell then.
    known = fleet.candidate == 1 and fleet.traffic > 0
    name = f"failing 3 times as often, {fleet.name}: taken back"
    return power(name, found, runs, 0.9, "1", known=known)


def _five(effort: Effort, fleet: Unlike) -> list[Row]:
    """Five devices, three of them with the candidate: it fails three times as often, or no more."""
    stopped = dict.fromkeys((50, 150, 500), 0)
    runs = effort.runs(200, 50)
    for batch in _batches(effort, runs, fleet, np.array([*stopped], float), -0.2, 50):
        for each in range(len(batch.n)):
            seen = [decide(CANARY, batch.watched(each, look)).action for look in range(3)]
            for look, labels in enumerate(stopped):
                stopped[labels] += "abort" in seen[: look + 1]
    rows = [
        power(
            f"failing 3 times as often, {fleet.name}: stopped within {3 * labels:,} of its labels",
            hits, runs, 0.9, "P2", known=True,
        )
        for labels, hits in stopped.items()
    ]  # fmt: skip
    healthy, aborted = effort.runs_for_level(500, 0.01), 0
    for batch in _batches(effort, healthy, fleet, np.array([20.0, 50, 150, 500]), 0.0, 51):
        _, high = _ends(batch)
        for each, look in enumerate(np.argmin(high, axis=1)):
            looks = {int(look), 3}
            aborted += any(decide(CANARY, batch.watched(each, i)).action == "abort" for i in looks)
    return [*rows, level(f"healthy, {fleet.name}: taken back", aborted, healthy, 0.01, "P2")]


def _ends(batch: Trials) -> tuple[Floats, Floats]:
    """The interval at every look, [R, L]; none before the gate's least number of outcomes."""
    contrast = batch.contrast()
    low, high = interval(contrast, CANARY.design.alpha, tuning(contrast))
    counts = [np.sum(batch.n * arm, axis=-1) for arm in (batch.inside, ~batch.inside)]
    few = np.minimum(*counts) < CANARY.minimum_outcomes
    return np.where(few, -np.inf, low), high


def _default_canary(effort: Effort, correlation: float) -> Row:
    """Four steps of a healthy candidate, 5,000 labels a device and step, as many before."""
    runs, promoted = effort.runs(200, 20), 0
    spec = ExperimentSpec(
        "fleet", "canary", candidate=TRIED.version, outcomes=OUTCOMES, soak_seconds=0.0
    )
    for number in range(runs):
        random = effort.random(PART_NUMBER, 30, round(100 * correlation), number)
        promoted += all(
            _passes(spec, random, Unlike(1_000 - tried, tried, correlation, past=5_000))
            for tried in (10, 50, 250, 500)
        )
    name = f"healthy default canary, 1,000 devices, correlation {correlation:g}, own past"
    return power(f"{name}: promoted", promoted, runs, 0.9, "P1")


def _passes(spec: ExperimentSpec, random: np.random.Generator, fleet: Unlike) -> bool:
    (batch,) = [trials(random, fleet, 1, np.array([1_000.0, 3_000.0, 5_000.0]))]
    actions = [decide(spec, batch.evidence(0, look)).action for look in range(3)]
    return "pass" in actions and "abort" not in actions[: actions.index("pass")]


PLANNED: Final = (
    Unlike(95, 5, 0.1, past=700),
    Unlike(95, 5, 0.1, 1.0, past=700),
    Unlike(50, 50, 0.01),
    Unlike(180, 20, 0.01, past=700),
    Unlike(9, 1, 0.1),
    Unlike(95, 5, 0.1),
)


def _planned(effort: Effort) -> list[Row]:
    """Fleets are recorded for a week, with 100 labels a device and day; then they are tried."""
    rows = []
    for number, fleet in enumerate(effort.cells(PLANNED, 2)):
        runs = effort.runs(200, 50)
        tried = [
            _plan_and_try(effort.random(PART_NUMBER, 40, number, each), fleet)
            for each in range(runs)
        ]
        promised = [found for days, _, found in tried if days is not None]
        if promised:
            name = f"{fleet.name}: equal arms found to be so in the days that the plan says"
            rows.append(power(name, sum(promised), len(promised), 0.75, "P6"))
        rest = [(chance, found) for days, chance, found in tried if days is None]
        if rest:
            said = sum(chance for chance, _ in rest) / len(rest)
            name = f"{fleet.name}: the same in a year, where the plan says {said:.0%} at best"
            found = sum(found for _, found in rest)
            rows.append(Row(name, "", exact_rate(found, len(rest)), claim="P6"))
    return rows


def _plan_and_try(random: np.random.Generator, fleet: Unlike) -> tuple[float | None, float, bool]:
    """Days that the plan says, its chance in a year, and whether it was so in them, or a year."""
    own, busy = fleet.own(random, 1), fleet.busy(random, 1)
    halves = [random.poisson(busy[0] * 350) for _ in range(2)]
    week = [Sample.of_successes(random.binomial(n, own[0]).astype(float), n.astype(float))
            for n in halves]  # fmt: skip
    first, second = week if fleet.past else (_nothing(week[0]), _both(week))
    known = variance_of(first, second, 7.0)
    sizes = (fleet.control, fleet.candidate)
    days = days_until(MARGIN, known, *sizes, alpha=0.05, power=0.8, usual=TUNED_FOR)
    year = expected(known, *sizes, 365.0)
    chance = chance_of(MARGIN, year, alpha=0.05, usual=TUNED_FOR)
    steps = random.poisson(busy[0] * 100 * (days or 365.0) / 20, (20, len(busy[0])))
    right = random.binomial(steps, own[0])
    n, total = (np.cumsum(each, axis=0)[None].astype(float) for each in (steps, right))
    past = Sample(*(field[None, None] for field in vars(_both(week)).values()))
    low, _ = _ends(Trials(fleet.inside, n, total, past if fleet.past else None))
    return days, chance, bool(np.any(low >= -MARGIN))


def _both(week: list[Sample]) -> Sample:
    return Sample(*(a + b for a, b in zip(*(vars(half).values() for half in week), strict=True)))


def _nothing(half: Sample) -> Sample:
    return Sample(*(0.0 * field for field in vars(half).values()))


PART = Part(
    "Verdicts by device where fleets are few and unlike",
    "Devices are right with chances of their own (beta), busy alike, by a lognormal law, or with "
    "one of them having 30% of all labels; 40 looks until 2,000 labels a device. The gate itself "
    "judges the most extreme look of each run, with `minimum_devices: 1`: the rule that no single "
    "device decides shall not be what makes it right. A past is of the same devices; of some "
    "fleets a part has changed since.",
    run,
    quick=True,
)
