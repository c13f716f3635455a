"""A part of the campaign, and the rows that it measures.

A part is a module with a ``PART``. Its cells are of two kinds: an error rate that must not be above
a nominal level (:func:`level`), and a chance of finding something that must not be below a goal
(:func:`power`). A row that belongs to a claim of ``benchmarks/statistics/claims.py`` names it.
"""

from __future__ import annotations

import importlib
import math
import pkgutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, TypeVar

import numpy as np
from scipy.stats import beta, binom

FIXED_SEED: Final = 13
REFUTING: Final = 0.01
"""Level of the exact test by which runs refute a goal."""

SENSITIVITY: Final = 0.9
"""Chance with which a quick cell refutes a level of twice the nominal one."""

Cell = TypeVar("Cell")
_seed: ContextVar[int] = ContextVar("seed", default=FIXED_SEED)


@dataclass(frozen=True)
class Row:
    """One measured figure.

    ``met`` says whether the figure itself is within its goal, ``None`` where there is none.
    ``refuted`` says that chance alone does not explain the miss; a campaign fails by it. ``claim``
    names the claim that the row measures, such as ``"6"``.
    """

    measured: str
    goal: str
    result: str
    met: bool | None = None
    refuted: bool = False
    claim: str = ""


@dataclass(frozen=True)
class Effort:
    """How much is simulated, and from which seed.

    ``share`` is the share of a full campaign's runs; ``quick`` leaves out all but the first cells.
    ``plugged`` names what others bring to be measured beside ours, as ``module:function``.
    """

    share: float = 1.0
    seed: int = FIXED_SEED
    quick: bool = False
    plugged: tuple[str, ...] = ()

    def runs(self, full: int, least: int = 20) -> int:
        """Simulated runs in place of ``full``, at least ``least``."""
        return max(least, round(full * self.share))

    def runs_for_level(self, full: int, nominal: float) -> int:
        """Simulated runs of a cell that holds an error rate to ``nominal``.

        At least so many that a true rate of twice the nominal is refuted with a chance of
        :data:`SENSITIVITY`.
        """
        return max(self.runs(full), runs_to_refute(nominal))

    def cells(self, every: Sequence[Cell], quick: int) -> Sequence[Cell]:
        """All cells, or the first ``quick`` of them: name the hardest first."""
        return every[:quick] if self.quick else every

    def random(self, *key: int) -> np.random.Generator:
        """A generator of its own for each ``key`` (numbers of part, cell, run), from the seed."""
        return np.random.default_rng([self.seed, *key])


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Let :func:`generator` draw from ``seed`` in this block."""
    token = _seed.set(seed)
    try:
        yield
    finally:
        _seed.reset(token)


def generator(*key: int) -> np.random.Generator:
    """A generator of its own for each ``key``, from the campaign's seed.

    For functions that are far from the part's ``run``; where an effort is at hand, ask that.
    """
    return np.random.default_rng([_seed.get(), *key])


FULL = Effort()
QUICK = Effort(0.02, quick=True)


@dataclass(frozen=True)
class Part:
    """One subject: its title, what is simulated and how, and what does it.

    ``quick``: takes part in the quick campaign, with at most a minute of one core.
    """

    title: str
    about: str
    run: Callable[[Effort], list[Row]]
    quick: bool = False


def parts_in(package: str, path: Iterable[str]) -> dict[str, Part]:
    """Parts of the modules of a folder, by module, in order of their names.

    Args:
        package: its dotted name.
        path: its ``__path__``.
    """
    names = sorted(m.name for m in pkgutil.iter_modules(path) if not m.ispkg)
    # A module that is being run is not imported a second time under its own name.
    modules = {n: importlib.import_module(f"{package}.{n}") for n in names if n != "__main__"}
    return {
        name.replace("_", "-"): module.PART
        for name, module in modules.items()
        if isinstance(getattr(module, "PART", None), Part)
    }


def level(measured: str, hits: int, runs: int, nominal: float, claim: str = "") -> Row:
    """Row of an error rate with its goal, ``at most nominal``, and its exact 95% interval.

    Args:
        measured: what happened in a hit.
        hits: runs in which it did.
        runs: all.
        nominal: share of runs in which it may.
        claim: that the row measures.
    """
    refuted = bool(hits > most_hits(runs, nominal))
    goal = f"≤ {nominal:.3g}" if nominal < 1e-4 else f"≤ {100 * nominal:.3g}%"
    return Row(measured, goal, exact_rate(hits, runs), hits <= nominal * runs, refuted, claim)


def power(
    measured: str, hits: int, runs: int, goal: float, claim: str = "", *, known: bool = False
) -> Row:
    """Row of a chance of finding something with its goal, ``at least goal``.

    Args:
        measured: what happened in a hit.
        hits: runs in which it did.
        runs: all.
        goal: share of runs in which it must.
        claim: that the row measures.
        known: that it is missed is known: the table says so, and no campaign fails by it.
    """
    refuted = bool(binom.cdf(hits, runs, goal) < REFUTING) and not known
    found = exact_rate(hits, runs)
    return Row(measured, f"≥ {100 * goal:.3g}%", found, hits >= goal * runs, refuted, claim)


def median_within(
    measured: str,
    values: Sequence[float],
    goal: float,
    found: str,
    claim: str = "",
    *,
    known: bool = False,
) -> Row:
    """Row of a median with its goal, ``at most goal``; refuted by the exact sign test.

    Args:
        measured: what the values are.
        values: one a run, infinite where it did not come.
        goal: for the median.
        found: said in brackets after it.
        claim: that the row measures.
        known: that it is missed is known: the table says so, and no campaign fails by it.
    """
    beyond = sum(value > goal for value in values)
    # With a median of at most the goal no more than half of the runs are beyond it, but for chance.
    refuted = bool(binom.sf(beyond - 1, len(values), 0.5) < REFUTING) and not known
    middle = float(np.median(values))
    result = f"median {middle:,.0f} ({found})"
    return Row(measured, f"median ≤ {goal:,.0f}", result, middle <= goal, refuted, claim)


def exact_rate(hits: int, runs: int) -> str:
    """A share with its exact 95% interval."""
    low, high = clopper_pearson(hits, runs)
    return f"{hits / runs:.2%} ({low:.2%} to {high:.2%}, {runs:,} runs)"


def clopper_pearson(hits: int, runs: int, confidence: float = 0.95) -> tuple[float, float]:
    """Exact two-sided interval of a share.

    Source: C. Clopper, E. Pearson, "The use of confidence or fiducial limits illustrated in the
    case of the binomial", Biometrika 26, 1934.
    """
    tail = (1 - confidence) / 2
    low = float(beta.ppf(tail, hits, runs - hits + 1)) if hits else 0.0
    high = float(beta.ppf(1 - tail, hits + 1, runs - hits)) if hits < runs else 1.0
    return low, high


def most_hits(runs: int, nominal: float) -> int:
    """Most hits that a true rate of ``nominal`` explains: more have a chance below 1%."""
    return int(binom.ppf(1 - REFUTING, runs, nominal))


def sensitivity(runs: int, nominal: float, times: float = 2.0) -> float:
    """Chance that so many runs refute ``nominal`` where the true rate is ``times`` as high."""
    return float(binom.sf(most_hits(runs, nominal), runs, min(1.0, times * nominal)))


@lru_cache
def runs_to_refute(nominal: float) -> int:
    """Runs, in steps of 5%, from which on twice the nominal level is refuted often enough."""
    runs = 20
    while sensitivity(runs, nominal) < SENSITIVITY:
        runs = math.ceil(1.05 * runs)
    return runs


def rate(hits: int, runs: int) -> str:
    """A share with its 95% Wilson interval."""
    low, high = wilson(hits, runs)
    return f"{hits / runs:.2%} ({low:.2%} to {high:.2%}, {runs:,} runs)"


def wilson(hits: int, runs: int) -> tuple[float, float]:
    """95% interval of a share. Source: E. Wilson, JASA 22, 1927."""
    z, share = 1.96, hits / runs
    middle = (share + z * z / (2 * runs)) / (1 + z * z / runs)
    half = z * math.sqrt(share * (1 - share) / runs + z * z / (4 * runs**2)) / (1 + z * z / runs)
    return max(0.0, middle - half), min(1.0, middle + half)
