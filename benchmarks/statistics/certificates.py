"""Certificates: what limits of flips accept, and what the cascade prints."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.statistics.part import Effort, Part, Row, exact_rate, level
from converters.certification.cascade_threshold import GRID, calibrate
from converters.certification.exact_bounds import upper_bound
from converters.certification.row_counts import unshown
from converters.release_spec import CascadeTarget

TARGET: Final = CascadeTarget()
VARIANTS: Final = 4

Risk = Callable[[NDArray[Any]], NDArray[Any]]

RISKS: Final[dict[str, Risk]] = {
    "falls with confidence": lambda c: 0.16 * (1 - c),
    "0.1%, below .7 20%": lambda c: 0.001 + 0.2 * (c < 0.7),
    "1.2%, below .6 11%": lambda c: 0.012 + 0.1 * (c < 0.6),
    "2% everywhere": lambda c: 0.0200001 + 0 * c,
}
"""How often the cloud disagrees, by confidence."""


def run(effort: Effort) -> list[Row]:
    """Limits of flips, then cascades."""
    return [*_flips(effort), *_cascades(effort)]


def _flips(effort: Effort) -> list[Row]:
    random, rows = effort.random(70), []
    for limit, n in ((0.001, 300), (0.001, 3_000), (0.001, 10_000), (0.01, 500), (0.01, 3_000)):
        runs = effort.runs_for_level(4_000, 0.05)
        flips = random.binomial(n, limit * 1.0001, (runs, VARIANTS))
        alpha = 0.05 / VARIANTS
        accepted = {int(k): not unshown("", int(k), n, limit, alpha) for k in np.unique(flips)}
        wrong = sum(any(accepted[int(k)] for k in row) for row in flips)
        before = int((flips <= limit * n).any(axis=1).sum())
        name = f"flips<={limit:.1%}, {n:,} rows, {VARIANTS} variants that flip just more: any kept"
        rows.append(level(name, wrong, runs, 0.05, claim="12"))
        rows.append(Row("by the share that was seen", "", exact_rate(before, runs), claim="12"))
    return rows


def _cascades(effort: Effort) -> list[Row]:
    random, rows = effort.random(71), []
    sure = np.linspace(0.5, 1, 20_001)
    for name, risk in RISKS.items():
        runs = effort.runs_for_level(400, 0.05)
        made = [_cascade(random, 700, risk) for _ in range(runs)]
        true = [(float(risk(sure[sure >= t]).mean()), bound) for t, bound in made if t is not None]
        printed = sum(share > TARGET.disagreement for share, _ in true)
        before = sum(share > bound for share, bound in true)
        what = f"cascade, cloud disagrees {name}: more than the certified target"
        rows.append(level(what, printed, runs, 0.05, claim="13"))
        rows.append(Row(f"more than the limit printed before ({len(true)} certified)", "",
                        exact_rate(before, runs), claim="13"))  # fmt: skip
    return rows


def _cascade(random: np.random.Generator, rows: int, risk: Risk) -> tuple[float | None, float]:
    """The threshold, and the limit of its own test, which was printed before."""
    sure = random.uniform(0.5, 1, rows)
    differs = (random.random(rows) < risk(sure)).astype(int)
    both = np.column_stack([sure, 1 - sure])
    cascade = calibrate(both, np.zeros(rows, int), differs)
    if cascade is None:
        return None, 1.0
    assert cascade.threshold in GRID
    tested = np.arange(rows) % 10 != 0
    stands = (sure >= cascade.threshold) & tested
    return cascade.threshold, upper_bound(int(differs[stands].sum()), int(stands.sum()), 0.05)


PART = Part(
    "Certificates",
    "Variants whose labels flip a little more often than a limit allows, at the level of each of "
    "four that are tried on the same rows; cascades certified on 700 rows with confidence uniform "
    "from .5 to 1, at most 2% disagreement, 95% sure.",
    run,
    quick=True,
)
