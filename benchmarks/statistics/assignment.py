"""Assignment to arms: stable when weights rise, uniform, the same everywhere."""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy.stats import chi2

from benchmarks.statistics.fleets import SERVING, TRIED
from benchmarks.statistics.part import Effort, Part, Row
from cloud_hub.experiments.schedule import advance, begin
from cloud_hub.experiments.verdict.spec import CANDIDATE, ExperimentSpec
from edge_sdk.contract.names import CONTROL
from edge_sdk.contract.plan import SLOTS, Plan, assign, slot_of

UNITS: Final = 1_000_000
GOLDEN: Final = {
    ("", ""): 4304,
    ("salt", "device-0"): 3489,
    ("salt", "device-1"): 6538,
    ("pepper", "device-1"): 1705,
    ("salz", "Gerät-ß"): 3422,
}
"""Frozen: (salt, unit) to slot on every platform."""

SPEC: Final = ExperimentSpec("fleet", "canary", candidate=TRIED.version)


def run(effort: Effort) -> list[Row]:
    """A million units through every step of a default canary."""
    units = [f"unit-{i}" for i in range(max(20_000, round(UNITS * effort.share)))]
    trial = begin(SPEC, "trial", {CANDIDATE: TRIED}, "assignment")
    before: set[int] = set()
    left, shares, step = 0, [], 0
    while True:
        plan = Plan("fleet", 1, SERVING, trial)
        inside = {i for i, unit in enumerate(units) if assign(plan, unit, {}).arm != CONTROL}
        left += len(before - inside)
        shares.append(len(inside) / len(units))
        before = inside
        following = advance(SPEC, trial, 0, step)
        if following.experiment is None:
            break
        trial, step = following.experiment, following.step
    golden = sum(slot_of(*salt_and_unit) == slot for salt_and_unit, slot in GOLDEN.items())
    steps = " → ".join(f"{share:.2%}" for share in shares)
    return [
        Row(f"{len(units):,} units, steps {steps}: units that left", "0", f"{left:,}", left == 0),
        _uniform(units),
        Row("golden vectors", f"{len(GOLDEN)}", f"{golden}", golden == len(GOLDEN)),
    ]


def _uniform(units: list[str]) -> Row:
    slots = np.array([slot_of("assignment", unit) for unit in units])
    counts = np.bincount(slots * 1_000 // SLOTS, minlength=1_000)
    expected = len(units) / 1_000
    statistic = float(((counts - expected) ** 2 / expected).sum())
    p = float(chi2.sf(statistic, 999))
    name = f"{len(units):,} units over 1,000 bins: chi-squared"
    return Row(
        name, "p > 0.001", f"{statistic:,.0f} with 999 degrees of freedom, p = {p:.3g}", p > 0.001
    )


PART = Part(
    "Assignment",
    "Every unit through `assign` under the plans of a canary's steps.",
    run,
)
