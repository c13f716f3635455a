"""Whether a personal prior helps: one-sided tests over the units that were left out of its fit."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import stats

from cloud_hub.personalise.left_out import FEWEST_LABELS, Gains
from cloud_hub.personalise.rows import Numbers

LEVEL: Final = 0.01
"""That units differ: a fleet whose units do not is told that they do in one fit of 100."""

WORTH: Final = 0.05
"""That the unit's answers are better than the release's: where they are not, little is lost, since
every unit has a guard of its own."""


@dataclass(frozen=True)
class Verdict:
    """Whether units that were left out were answered better, by t tests over units.

    Both must hold: the unit's own answers are right more often than those of a stand-in that was
    taught strangers' labels (at the level), and more often than the release's (at :data:`WORTH`).
    An intersection-union test, so that neither level is divided (Berger 1982).

    Attributes:
        helps: whether ``p`` is at most ``level``.
        units: that were simulated.
        gain: mean share of labels right by the unit's own answer, less the release's; of numbers
            the same of losses, as a share of the largest loss.
        p: the larger of both tests', the second's as a share of :data:`WORTH` times the level; 1
            where they could not be made.
        level: of the verdict.
        why: the same for people.
    """

    helps: bool
    units: int
    gain: float
    p: float
    level: float
    why: str


def chosen(gains: Gains) -> int:
    """Return the number of the candidate with the largest mean gain in log loss."""
    return int(np.argmax(gains.loss.mean(axis=1))) if gains.loss.size else 0


def judge(gains: Gains, level: float = LEVEL) -> Verdict:
    """Judge the gains of units left out, each with the settings that were best for the others.

    Args:
        gains: by candidate and unit.
        level: of the test.
    """
    units = gains.loss.shape[1]
    if units < 2:
        return unknown(units, level)
    total = gains.loss.sum(axis=1, keepdims=True)
    best = np.argmax(total - gains.loss, axis=0), np.arange(units)
    own, apart = gains.over_release[best], gains.over_strangers[best]
    gain, worth, differ = float(own.mean()), _above(own), _above(apart)
    p = max(differ, min(1.0, worth * level / WORTH))
    why = (
        f"{units} units left out gained {gain:+.3f} on the release (p = {worth:.2g}, expected "
        f"at most {WORTH:g}) and {float(apart.mean()):+.3f} on strangers' labels "
        f"(p = {differ:.2g}, expected at most {level:g})"
    )
    return Verdict(p <= level, units, gain, p, level, why)


def unknown(units: int, level: float = LEVEL) -> Verdict:
    """Return the verdict where nothing can be said."""
    why = (
        f"expected two units or more with {FEWEST_LABELS} labels each, to say whether units "
        f"differ; got {units}"
    )
    return Verdict(False, units, 0.0, 1.0, level, why)


def _above(gains: Numbers) -> float:
    """Return p of the one-sided t test that the mean over units is 0 or less."""
    spread = float(gains.std(ddof=1))
    if spread <= 0:  # every unit gained the same: nothing says how units vary
        return 1.0
    return float(stats.t.sf(gains.mean() / (spread / math.sqrt(len(gains))), len(gains) - 1))
