"""Guardrails on failures where devices differ: trips on healthy candidates, and what is stopped."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from benchmarks.statistics.part import Effort, Part, Row, level, power
from cloud_hub.experiments.verdict.guardrails import alpha_of
from cloud_hub.experiments.verdict.spec import ExperimentSpec
from cloud_hub.statistics.failures import judge_failures
from cloud_hub.statistics.heterogeneity import FailureCounts
from cloud_hub.statistics.samples import Floats

PART_NUMBER: Final = 6
SPEC: Final = ExperimentSpec("fleet", "canary", candidate="1.1", minimum_devices=1)
LIMIT: Final = math.log(1 / alpha_of(SPEC, "errors"))
BASE: Final = 0.05
EACH: Final = 20
"""Requests of a device in a period."""
PERIODS: Final = 50
LOOKS: Final = (1, 2, 3, 5, 8, 12, 20, 30, 50)
SUSPECT: Final = 2.0
"""Standard errors: at a look at which the candidate fails less above both the control and its own
past the evidence is far below the limit, and is not computed."""

Rates = Callable[[np.random.Generator, int, int], Floats]


@dataclass(frozen=True)
class Cell:
    """Control and candidate devices, how their rates differ, requests of each before, and risk."""

    control: int
    candidate: int
    condition: str
    past: int = 0
    risk: float = 1.0

    @property
    def name(self) -> str:
        """For the table."""
        before = f", {self.past:,} requests of own past" if self.past else ""
        return f"{self.control}/{self.candidate} devices, {self.condition}{before}"

    def draw(self, random: np.random.Generator) -> tuple[Floats, Floats]:
        """Failures by device and period, [D, P], and before the trial, [D]; the control first."""
        devices, before = self.control + self.candidate, 50
        rates = CONDITIONS[self.condition](random, devices, before + PERIODS)
        past = random.binomial(max(self.past // before, 0), rates[:, :before]).sum(axis=1)
        trial = rates[:, before:].copy()
        trial[self.control :] = np.minimum(trial[self.control :] * self.risk, 0.95)
        failed = random.binomial(EACH, trial)
        return failed.astype(np.float64), past.astype(np.float64)


def _constant(odds: Floats, periods: int) -> Floats:
    scaled = BASE / (1 - BASE) * odds
    return np.repeat((scaled / (1 + scaled))[:, None], periods, axis=1)


def _alike(random: np.random.Generator, devices: int, periods: int) -> Floats:
    return np.full((devices, periods), BASE)


def _dirty(random: np.random.Generator, devices: int, periods: int) -> Floats:
    return _constant(np.where(random.random(devices) < 0.1, 12.0, 1.0), periods)


def _lognormal(random: np.random.Generator, devices: int, periods: int) -> Floats:
    return _constant(np.exp(1.5 * random.standard_normal(devices)), periods)


def _own_hours(random: np.random.Generator, devices: int, periods: int) -> Floats:
    return np.where(random.random((devices, periods)) < 0.02, 0.5, BASE)


def _common_hours(random: np.random.Generator, devices: int, periods: int) -> Floats:
    bad = random.random((1, periods)) < 0.05
    return np.where(bad, 5 * BASE, BASE) * np.ones((devices, 1))


def _turning(random: np.random.Generator, devices: int, periods: int) -> Floats:
    """One of ten turns dirty at some time of the trial, which is the last 50 periods."""
    begins = random.integers(periods - PERIODS, periods, (devices, 1))
    turns = (random.random((devices, 1)) < 0.1) & (np.arange(periods) >= begins)
    return np.where(turns, 5 * BASE, BASE)


CONDITIONS: Final[dict[str, Rates]] = {
    "a few dirty (1 of 10 at 8 times)": _dirty,
    "turning dirty during the trial (1 of 10, 5 times)": _turning,
    "bad hours of single devices (2% of them, 50% fail)": _own_hours,
    "bad hours of all (5% of them, 5 times)": _common_hours,
    "own rates lognormal (1.5)": _lognormal,
    "alike": _alike,
}
FLEETS: Final = ((9, 1), (20, 2), (3, 3), (95, 5))
HEALTHY: Final = [Cell(*fleet, name) for name in CONDITIONS for fleet in FLEETS]
SICK: Final = [Cell(9, 1, "alike", 3_000, 3.0), Cell(95, 5, "alike", 3_000, 3.0)]


def run(effort: Effort) -> list[Row]:
    """Healthy candidates in every cell, with and without a past; then sick ones."""
    rows = []
    every = [cell for past in (0, 3_000) for cell in (replace(c, past=past) for c in HEALTHY)]
    for number, cell in enumerate(effort.cells(every, 2)):
        runs = effort.runs_for_level(2_000, 0.01)
        hits = sum(trips(cell, effort.random(PART_NUMBER, number, i)) for i in range(runs))
        rows.append(level(f"healthy candidate, {cell.name}: trips", hits, runs, 0.01, "6"))
    for number, cell in enumerate(effort.cells(SICK, 0)):
        runs = effort.runs(400, least=40)
        found = [trips(cell, effort.random(PART_NUMBER, 100 + number, i)) for i in range(runs)]
        about = (
            f"candidate at {cell.risk:g}×, {cell.name}: stopped within {PERIODS * EACH} requests"
        )
        rows.append(power(f"{about} a device", sum(found), runs, 0.9, "6"))
    return rows


def trips(cell: Cell, random: np.random.Generator) -> bool:
    """Whether the guardrail trips at any look at one simulated trial."""
    failed, past = cell.draw(random)
    return any(
        judge_failures(counts(cell, failed, past, look)).log_e >= LIMIT
        for look in _suspect(cell, failed, past)
    )


def counts(cell: Cell, failed: Floats, past: Floats, look: int) -> FailureCounts:
    """Return what the hub knows after so many periods."""
    devices = len(failed)
    device, period = (each.ravel() for each in np.indices((devices, look)))
    seen = failed[:, :look].ravel()
    before = np.stack([past, np.full(devices, float(cell.past))])
    inside = device >= cell.control
    return FailureCounts(device, period, inside, seen, np.full(len(seen), float(EACH)), before)


def _suspect(cell: Cell, failed: Floats, past: Floats) -> Sequence[int]:
    chosen = []
    for look in LOOKS:
        mine, theirs = failed[cell.control :, :look], failed[: cell.control, :look]
        n, m = mine.size * EACH, theirs.size * EACH
        before = (float(past[cell.control :].sum()), cell.past * cell.candidate)
        for other, of in ((float(theirs.sum()), m), before):
            if of and _above(float(mine.sum()), n, other, of) >= SUSPECT:
                chosen.append(look)
                break
    return chosen


def _above(x: float, n: float, y: float, m: float) -> float:
    rate = (x + y + 1) / (n + m + 2)
    return (x / n - y / m) / math.sqrt(rate * (1 - rate) * (1 / n + 1 / m))


PART = Part(
    "Guardrails on failures",
    f"{EACH} requests a device and period, {BASE:.0%} failures, {len(LOOKS)} looks within "
    f"{PERIODS} periods, at the share of alpha that errors have in a canary; one device may decide "
    "(`minimum_devices: 1`): by default the gate asks for three, and that none of them decides.",
    run,
    quick=True,
)
