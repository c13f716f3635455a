"""Fits a personal prior to rows of many units: the space, the settings, and whether it helps."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from cloud_hub.personalise.left_out import Gains, simulate
from cloud_hub.personalise.rows import UnitRows, unit_rows
from cloud_hub.personalise.space_fit import fit_space
from edge_sdk.contract.personal.prior import ClassPrior, NumberPrior
from edge_sdk.contract.personal.settings import PersonalSettings

LEVEL: Final = 0.01
"""Of the verdict that a prior helps: a fleet whose units do not differ gets it in one fit of 100."""


@dataclass(frozen=True)
class Verdict:
    """Whether units that were left out were answered better: a one-sided t test over units.

    Attributes:
        helps: whether ``p`` is at most ``level``.
        units: that were simulated.
        gain: mean share of labels right by the unit's own answer, less the release's.
        p: of the test that the mean gain is 0 or less; 1 where it could not be made.
        level: of the verdict.
        why: the same for people.
    """

    helps: bool
    units: int
    gain: float
    p: float
    level: float
    why: str


@dataclass(frozen=True)
class FittedPrior:
    """Parts of a :class:`PersonalPrior`."""

    classes: ClassPrior | None
    number: NumberPrior | None
    settings: PersonalSettings
    verdict: Verdict


def fit_classes(
    phi: ArrayLike,
    labels: ArrayLike,
    scores: ArrayLike,
    *,
    units: Sequence[object] | None = None,
    cohorts: Sequence[str] | None = None,
    settings: PersonalSettings = PersonalSettings(),  # noqa: B008 frozen
    seed: int = 0,
) -> FittedPrior:
    """Fit the prior of a classifier's units.

    Args:
        phi: [N, d] basis vectors.
        labels: [N] numbers of classes.
        scores: [N, C] the release's probabilities, of rows that it was not trained on.
        units: [N] whose row each is; ``None`` if nobody knows.
        cohorts: [N] cohort of each row's unit.
        settings: what the policy says, and where the search begins.
        seed: of the simulation.

    Raises:
        Invalid: shapes disagree, or no row can be used.
    """
    rng = np.random.default_rng(seed)
    rows = unit_rows(phi, labels, scores, units, cohorts, rng)
    space = fit_space(rows).prior()
    if rows.units is None or rows.units.max() < 1:
        return FittedPrior(space, None, settings, _unknown(rows))
    tried = candidates(settings)
    gains = simulate(rows, tried, rng)
    chosen = int(np.argmax(gains.loss.mean(axis=1)))
    return FittedPrior(space, None, tried[chosen], judge(gains))


def candidates(settings: PersonalSettings) -> list[PersonalSettings]:
    """Return the settings that are tried."""
    return [
        dataclasses.replace(settings, power=power, pull=pull)
        for power, pull in ((1.0, 0.25), (0.75, 0.25), (0.5, 0.25), (0.5, 0.5))
    ]


def judge(gains: Gains, level: float = LEVEL) -> Verdict:
    """Judge the gains of units left out, each with the settings that were best for the others.

    Args:
        gains: by candidate and unit.
        level: of the test.
    """
    total = gains.loss.sum(axis=1, keepdims=True)
    best = np.argmax(total - gains.loss, axis=0)
    own = gains.right[best, np.arange(gains.right.shape[1])]
    units, gain, spread = len(own), float(own.mean()), float(own.std(ddof=1)) if len(own) > 1 else 0.0
    p = 1.0
    if spread > 0:
        p = float(stats.t.sf(gain / (spread / math.sqrt(units)), units - 1))
    why = f"{units} units left out gained {gain:+.3f} of accuracy, p = {p:.3g} at level {level:g}"
    return Verdict(p <= level, units, gain, p, level, why)


def _unknown(rows: UnitRows) -> Verdict:
    units = 0 if rows.units is None else 1
    why = "expected rows of two units or more to say whether units differ"
    return Verdict(False, units, 0.0, 1.0, LEVEL, why)
