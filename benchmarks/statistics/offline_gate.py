"""The offline gate: candidates at the limit, fifty candidates on one holdout, and what passes."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.statistics.part import Effort, Part, Row, exact_rate, level
from cloud_hub.policy.schema.sections import GatePolicy
from cloud_hub.runs.answers import ReleaseAnswers
from cloud_hub.runs.gate import Check, Costs, Slice, judge
from cloud_hub.statistics.reuse import Wear

USES: Final = 50
TITLES: Final = {"fresh": "fresh", "history": "forgetting"}

Losses = NDArray[np.float64]


def check(name: str, candidate: Losses, incumbent: Losses, wear: Wear = Wear()) -> Check:
    """Return the gate's check of two releases on one set of rows."""
    slices = {name: Slice(ReleaseAnswers(candidate), ReleaseAnswers(incumbent), {})}
    return judge(slices, GatePolicy(), Costs(1, 1), wear={name: wear})[0]


def losses(
    random: np.random.Generator, rows: int, loss: float, differ: float
) -> tuple[Losses, Losses]:
    """Return losses of a candidate that loses ``loss``, and of an incumbent.

    ``differ`` is the share of rows on which one of them is right and the other wrong.
    """
    kinds = random.multinomial(1, [(differ + loss) / 2, (differ - loss) / 2, 1 - differ], rows)
    return kinds[:, 0].astype(np.float64), kinds[:, 1].astype(np.float64)


CELLS: Final = ((100, 0.06), (100, 0.2), (400, 0.06), (2_000, 0.1))
"""Rows, and the share of them on which the versions differ."""


def run(effort: Effort) -> list[Row]:
    """Single candidates, then many on the same rows."""
    random, rows = effort.random(80), []
    for name, title in TITLES.items():
        for n, differ in effort.cells(CELLS, quick=2):
            runs = effort.runs_for_level(400, 0.05)
            drawn = [losses(random, n, 0.02, differ) for _ in range(runs)]
            passed = sum(check(name, *pair).ok for pair in drawn)
            what = f"{n:,} rows, 2 points worse, versions differ on {differ:.0%}: passes {title}"
            rows.append(level(what, passed, runs, 0.05, claim="11"))
            allowed = 0.0 if name == "fresh" else 0.02
            before = sum(float((c - i).mean()) <= allowed + 1e-12 for c, i in drawn)
            told = exact_rate(before, runs)
            rows.append(Row("the gate before on the same", "", told, claim="11"))
    if effort.quick:
        return rows
    for n, differ in ((400, 0.03), (1_000, 0.05), (2_000, 0.05)):
        runs = effort.runs(200)
        passed = sum(check("history", *losses(random, n, 0.0, differ)).ok for _ in range(runs))
        what = f"{n:,} rows, as good, versions differ on {differ:.0%}: passes forgetting"
        rows.append(Row(what, "", exact_rate(passed, runs), claim="11"))
    return [*rows, *_again(effort)]


def _again(effort: Effort) -> list[Row]:
    """Fifty candidates, each 2 points worse, chosen by what was told of those before."""
    runs, random = effort.runs_for_level(100, 0.05), effort.random(81)
    told = sum(_by_verdicts(random, 400) for _ in range(runs))
    shown = sum(_by_figures(random, 400) for _ in range(runs))
    name = f"400 rows asked {USES} times, every candidate 2 points worse: any passes"
    return [
        level(name, told, runs, 0.05, claim="11"),
        Row("the gate before on the same, climbing by its figures", "", exact_rate(shown, runs),
            claim="11"),
    ]  # fmt: skip


def _new(random: np.random.Generator, incumbent: Losses) -> Losses:
    """A candidate that loses 4% and wins 2% of what comes, whatever it was built from."""
    right = incumbent == 0
    lost = random.random(len(incumbent)) < 0.04 / 0.9
    won = random.random(len(incumbent)) < 0.02 / 0.1
    return np.where(right, lost, ~won).astype(np.float64)


def _mixed(random: np.random.Generator, one: Losses, other: Losses) -> Losses:
    """Half of each: what comes does not know which halves looked good here."""
    return np.where(random.random(len(one)) < 0.5, one, other)


def _by_verdicts(random: np.random.Generator, rows: int) -> bool:
    """Whether any candidate passes the gate, each mixed with the last that was not refused."""
    incumbent = (random.random(rows) < 0.1).astype(np.float64)
    wear, kept = Wear(), _new(random, incumbent)
    for _ in range(USES):
        tried = _mixed(random, kept, _new(random, incumbent))
        verdict = check("history", tried, incumbent, wear).verdict
        if verdict == "passed":
            return True
        wear = Wear(wear.uses + 1, wear.checks + 1, wear.decided + (verdict == "worse"))
        kept = kept if verdict == "worse" else tried
    return False


def _by_figures(random: np.random.Generator, rows: int) -> bool:
    """Whether any candidate passes the rule before, each mixed with the best so far."""
    incumbent = (random.random(rows) < 0.1).astype(np.float64)
    best = _new(random, incumbent)
    for _ in range(USES):
        tried = _mixed(random, best, _new(random, incumbent))
        best = tried if tried.mean() < best.mean() else best
        if float(tried.mean() - incumbent.mean()) <= 0.02:
            return True
    return False


PART = Part(
    "The offline gate",
    "A candidate is right on 2 points fewer rows than what serves, just too much for the gate's "
    "defaults; its level is 5% over all uses of the same rows, half of it for the first. The gate "
    "before compared the two shares: fresh rows with no loss allowed, old ones with 2 points.",
    run,
    quick=True,
)
