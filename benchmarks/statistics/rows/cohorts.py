"""Effects by cohort: how many of those that are told are false, and how many real ones are told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.statistics.part import Effort, Part, Row, level, power
from cloud_hub.statistics.cohort_effects import shrink, told_apart
from cloud_hub.statistics.samples import Contrast, Floats, Sample
from cloud_hub.statistics.stratified import stratified_difference

COHORTS: Final = 8
LOOKS: Final = 10
RATE: Final = 0.9
PART_NUMBER: Final = 45


@dataclass(frozen=True)
class Cohorts:
    """Every cohort has ``control`` and ``candidate`` devices with 30 labels a look on average.

    ``correlation`` is that of two labels of a device, ``traffic`` the standard deviation of the
    log of devices' labels. In the first ``worse`` cohorts the candidate loses ``loss``.
    """

    control: int
    candidate: int
    correlation: float
    traffic: float = 0.0
    worse: int = 0
    loss: float = 0.1

    @property
    def name(self) -> str:
        """For the table."""
        busy = f"traffic lognormal({self.traffic:g})" if self.traffic else "traffic equal"
        where = f"{self.control}/{self.candidate} devices a cohort"
        return f"{COHORTS} cohorts, {where}, correlation {self.correlation:g}, {busy}"

    def contrasts(self, random: np.random.Generator) -> Contrast:
        """Effects at every look, arrays [LOOKS, COHORTS]."""
        shape = (COHORTS, self.control + self.candidate)
        tried = np.arange(shape[1]) >= self.control
        spread = (1 - self.correlation) / self.correlation
        own = random.beta(RATE * spread, (1 - RATE) * spread, shape)
        lost = self.loss * (np.arange(COHORTS) < self.worse)
        right = np.clip(own - tried * lost[:, None], 0, 1)
        labels = random.poisson(
            30 * np.exp(self.traffic * random.standard_normal(shape)), (LOOKS, *shape)
        )
        n = np.cumsum(labels, axis=0).astype(float)
        total = np.cumsum(random.binomial(labels, right), axis=0).astype(float)
        # One period: [looks, cohorts, 1, devices].
        n, total = n[:, :, None], total[:, :, None]
        return stratified_difference(_arm(n, total, ~tried), _arm(n, total, tried))


def _arm(n: Floats, total: Floats, inside: NDArray[np.bool_]) -> Sample:
    return Sample.of_successes(total * inside, n * inside)


NULL: Final = (
    Cohorts(50, 5, 0.1),
    Cohorts(19, 3, 0.01),
    Cohorts(10, 10, 0.01, 1.5),
    Cohorts(10, 10, 0.01),
    Cohorts(5, 5, 0.3),
    Cohorts(50, 5, 0.3, 1.5),
    Cohorts(20, 20, 0.1),
)
SOME: Final = (Cohorts(20, 20, 0.01, worse=2), Cohorts(50, 50, 0.1, worse=2))


def run(effort: Effort) -> list[Row]:
    """Cohorts that are all alike; then two of eight that are worse."""
    rows = [_null(effort, cohorts) for cohorts in effort.cells(NULL, 2)]
    for cohorts in SOME:
        rows += _two_worse(effort, cohorts)
    return [*rows, _shrunk(effort)]


def _null(effort: Effort, cohorts: Cohorts) -> Row:
    runs = effort.runs_for_level(2_000, 0.05)
    # Without any real effect one false finding is a false discovery rate of 1.
    false = sum(any(looks) for looks in _found(effort, cohorts, runs))
    name = f"{cohorts.name}, no effect: any told, at any of {LOOKS} looks"
    return level(name, false, runs, 0.05, claim="P5")


def _found(effort: Effort, cohorts: Cohorts, runs: int) -> list[list[set[int]]]:
    """Cohorts told at each look, by run."""
    number = (NULL + SOME).index(cohorts)
    told = []
    for i in range(runs):
        each = cohorts.contrasts(effort.random(PART_NUMBER, number, i))
        told.append([told_apart(_at(each, look))[0] for look in range(LOOKS)])
    return told


def _at(each: Contrast, look: int) -> Contrast:
    return Contrast(each.estimate[look], each.variance[look], each.n[look], each.freedom[look])


def _two_worse(effort: Effort, cohorts: Cohorts) -> list[Row]:
    runs = effort.runs(1_000, least=100)
    real = set(range(cohorts.worse))
    last = [looks[-1] for looks in _found(effort, cohorts, runs)]
    told = sum(len(found) for found in last)
    false = sum(len(found - real) for found in last)
    found = sum(len(found & real) for found in last)
    about = f"{cohorts.name}, 10 points worse in {cohorts.worse}"
    return [
        level(f"{about}: false ones among those told", false, max(told, 1), 0.05, claim="P5"),
        power(f"{about}: told of those", found, runs * cohorts.worse, 0.8, claim="P5"),
    ]


def _shrunk(effort: Effort) -> Row:
    """Squared error of shrunk and of plain estimates, where effects are normal, sd 2 points."""
    random, runs = effort.random(PART_NUMBER, 100), effort.runs(1_000, least=200)
    plain = drawn = 0.0
    for _ in range(runs):
        variance = 0.02**2 * random.gamma(2.0, 0.5, COHORTS)
        effect = 0.02 * random.standard_normal(COHORTS)
        estimate = effect + np.sqrt(variance) * random.standard_normal(COHORTS)
        plain += float(np.sum((estimate - effect) ** 2))
        drawn += float(np.sum((shrink(estimate, variance).effects - effect) ** 2))
    name = "effects vary as much as their errors: squared error of shrunk ones by that of plain"
    return Row(name, "< 1", f"{drawn / plain:.2f} ({runs:,} runs)", drawn < plain, claim="P5")


PART = Part(
    "Effects by cohort",
    f"Labels of {RATE:.0%} right ones; in some cohorts the candidate is 10 points worse. Told are "
    "the cohorts that the report of an experiment says to be better or worse.",
    run,
    quick=True,
)
