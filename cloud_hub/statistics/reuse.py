"""How sure a verdict must be on rows that were asked before. Pure.

Whoever sees verdicts on some rows and tries again fits candidates to those rows, on purpose or not:
of fifty candidates one passes by chance. So each use has a smaller level than the one before, and
the levels allow for every course that the earlier verdicts could have taken:

    level = alpha / (k (k + 1)) * prior / courses

Use number ``k`` has its part of ``alpha`` (the parts sum to it). What candidate is tried next may
depend on which earlier checks were decided and which were not, but, as long as no verdict was
wrong, on nothing else: which way a check is decided is then a fact about the candidate, not about
the rows. Of ``m`` earlier checks with ``j`` of the rarer kind there are ``courses = C(m, j)``
courses, and a ``prior`` of 3/8 / 4^j pays for not knowing ``j`` beforehand nor which kind is rarer.
By the union bound the chance that any verdict is ever wrong is at most ``alpha``, whatever is
tried.

This is the argument of the ladder (few bits come out, so few courses are possible). It fails where
more comes out than verdicts: figures, single rows, or the rows themselves in a training. The gate
therefore shows no figures of a holdout.

Source: A. Blum, M. Hardt, "The Ladder: a reliable leaderboard for machine learning competitions",
ICML 2015; C. Dwork et al., "Generalization in adaptive data analysis and holdout reuse", NeurIPS
2015 (description length).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

PRIOR: Final = 3 / 8
"""Chance given beforehand to "no check of the rarer kind": one half for either kind, then 3/4."""


@dataclass(frozen=True)
class Wear:
    """What was asked of some rows before: ``uses`` of them, with ``checks`` of which ``decided``
    had a verdict. ``uses`` of 0 are rows that nobody has asked.
    """

    uses: int = 0
    checks: int = 0
    decided: int = 0

    def level(self, alpha: float) -> float:
        """Return the level of the next use.

        Args:
            alpha: chance that any verdict on these rows is ever wrong.
        """
        part = alpha / ((self.uses + 1) * (self.uses + 2))
        if self.checks == 0:
            return part
        rarer = min(self.decided, self.checks - self.decided)
        courses = math.comb(self.checks, rarer) * 4**rarer
        return float(part * PRIOR / courses)

    def left(self, alpha: float) -> float:
        """Return what is left of ``alpha`` for all uses to come."""
        return alpha / (self.uses + 1)
