"""Energy as an outcome: boards differ, idle draw dilutes, windows hold unequal work."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from benchmarks.statistics.fleets import ab, candidates
from benchmarks.statistics.part import Effort, Part, Row, generator, level, rate
from cloud_hub.experiments.verdict.evidence import ArmEvidence, Evidence
from cloud_hub.experiments.verdict.measures import ENERGY, ExposureSums, outcomes_of
from cloud_hub.experiments.verdict.parallel import decide
from cloud_hub.experiments.verdict.spec import CANDIDATE, Design
from cloud_hub.statistics import sequential
from cloud_hub.statistics.clustered import compare
from cloud_hub.statistics.ratios import DeviceWindowSums, as_sample
from cloud_hub.statistics.samples import Floats
from edge_sdk.contract.names import CONTROL
from edge_sdk.contract.plan import Outcome

LOOKS: Final = 100
RUNS: Final = 1_000
SECONDS: Final = 300.0
IDLE: Final = 3.0
SPEC: Final = ab(outcomes=(Outcome("power", "energy"),))


@dataclass(frozen=True)
class Work:
    """Work of devices: predictions a second, joules of one, how much the candidate saves, and how
    far devices are apart (a standard deviation of logarithms).
    """

    pace: float
    joules: float
    saves: float = 0.0
    apart: float = 0.3

    @property
    def share(self) -> float:
        """Share of the draw that inferring takes."""
        return self.pace * self.joules / (self.pace * self.joules + IDLE)


LIGHT: Final = Work(pace=5.0, joules=0.05)
HEAVY: Final = Work(pace=20.0, joules=0.5)


def run(effort: Effort) -> list[Row]:
    """Equal arms in fleets of every size, then a candidate that saves."""
    rows = []
    runs = effort.runs(RUNS)
    for devices, apart in ((100, 0.3), (100, 0.0), (20, 0.3), (8, 0.3), (4, 0.3)):
        work = replace(LIGHT, apart=apart)
        verdicts = sum(_verdict(devices, work, number) for number in range(runs))
        unlike = "" if apart else ", alike"
        name = f"A/A, {devices} devices{unlike}, {LOOKS} looks: false winners"
        rows.append(level(name, verdicts, runs, 0.05))
    for devices, work in ((100, HEAVY), (40, HEAVY), (20, HEAVY), (100, LIGHT)):
        saving = replace(work, saves=0.2)
        verdicts = sum(_verdict(devices, saving, number) for number in range(runs))
        name = (
            f"infers with 20% less, which is {work.share:.0%} of the draw, {devices} devices: found"
        )
        rows.append(Row(name, "", rate(verdicts, runs)))
    return rows


def _verdict(devices: int, work: Work, number: int) -> bool:
    """Return True if a run has a winner either way at the look with the strongest evidence."""
    random = generator(devices, round(work.pace), round(10 * work.apart), number)
    inside = candidates(SPEC, [f"device-{i}" for i in range(devices)], f"salt-{number}")
    n, joules = _drawn(random, work, inside)
    arms = [_sums(n, joules, chosen) for chosen in (~inside, inside)]
    contrast = compare(*(as_sample(arm) for arm in arms), scale=0.0)
    tuned = sequential.tuning(contrast, Design().tightest("energy"))
    evidence = sequential.log_e_value(contrast, tuned)
    most = int(np.argmax(evidence))
    by_arm = {name: _arm(arm, most) for name, arm in zip((CONTROL, CANDIDATE), arms, strict=True)}
    return decide(SPEC, Evidence(by_arm)).action == "conclude"


def _drawn(random: np.random.Generator, work: Work, inside: Any) -> tuple[Floats, Floats]:
    """Predictions and joules of each window, [LOOKS, D]."""
    devices = len(inside)
    idle = IDLE * np.exp(random.normal(0, work.apart, devices))
    pace = work.pace * np.exp(random.normal(0, work.apart, devices))
    day = 1 + 0.5 * np.sin(2 * np.pi * np.arange(LOOKS) / 288)[:, None]
    n = random.poisson(pace * SECONDS * day).astype(float)
    each = work.joules * (1 - work.saves * inside)
    return n, idle * SECONDS * (1 + random.normal(0, 0.02, n.shape)) + each * n


def _sums(n: Floats, joules: Floats, chosen: Any) -> DeviceWindowSums:
    """Added up to each look, [LOOKS, D]; devices of the other arm have none."""
    count, n, joules = (each * chosen for each in (np.ones_like(n), n, joules))
    sums = (count, n, joules, n * n, n * joules, joules * joules)
    return DeviceWindowSums(*(np.cumsum(each, axis=0) for each in sums))


def _arm(sums: DeviceWindowSums, look: int) -> ArmEvidence:
    columns = (sums.count, sums.n, sums.total, sums.n_squares, sums.cross, sums.squares)
    each = np.stack([column[look] for column in columns], axis=1)
    rows = {
        f"device-{i}": ExposureSums(**dict(zip(ENERGY, row, strict=True)))
        for i, row in enumerate(each)
    }
    seen = {device: row for device, row in rows.items() if row.energy_windows}
    return ArmEvidence(outcomes_of(seen), exposed=frozenset(seen), predictions=1)


PART = Part(
    "Energy",
    "Joules for each prediction, from windows of five minutes. Boards idle at about 3 W, and are "
    "more or less busy (both log-normal, 0.3); traffic goes up and down by half over a day.",
    run,
)
