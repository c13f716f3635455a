"""Tests of two answers to one question: shadow runs (McNemar's table), interleaving (wins, losses).

Where both agree nothing is learned; of the pairs that differ, half go either way if there is no
difference. Both tests here are exact at every look for that, whatever else is true of the pairs:
McNemar's with labels, the sign test with sessions won and lost (ties dropped).

Sources:
    Q. McNemar, "Note on the sampling error of the difference between correlated proportions",
    Psychometrika 12, 1947.
    H. Robbins, "Statistical Methods Related to the Law of the Iterated Logarithm", Annals of
    Mathematical Statistics 41(5), 1970 (the beta-binomial mixture).
    O. Chapelle, T. Joachims, F. Radlinski, Y. Yue, "Large-Scale Validation and Analysis of
    Interleaved Search Evaluation", ACM TOIS 30(1), 2012 (wins by session).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, cast

import numpy as np
from numpy.typing import ArrayLike

from cloud_hub.deferred.libraries import betaln, brentq, xlogy
from cloud_hub.statistics.samples import Floats

PRIOR: Final = 10.0
"""Of the mixture, as if so many pairs had gone either way."""


@dataclass(frozen=True)
class SignTest:
    """Pairs that went the candidate's way and the control's, with what that says.

    ``share`` is the candidate's, within ``low`` to ``high`` at every look; ``p`` is always valid.
    """

    wins: int
    losses: int
    share: float
    low: float
    high: float
    p: float

    @property
    def winner(self) -> str | None:
        """``candidate`` or ``control``, if one is surely ahead."""
        if self.low > 0.5:
            return "candidate"
        return "control" if self.high < 0.5 else None


def log_sign_evidence(wins: ArrayLike, losses: ArrayLike, share: ArrayLike = 0.5) -> Floats:
    """Log e-value against "a pair that differs goes the candidate's way with chance ``share``".

    The likelihood of the wins averaged over a symmetric Beta(:data:`PRIOR`, :data:`PRIOR`) chance,
    divided by that with ``share``. Reject at ``log(1 / alpha)``, at any look.

    Args:
        wins: pairs that went the candidate's way, array or number.
        losses: pairs that went the control's way, of the same shape.
        share: chance that is tested, of the same shape or one number.
    """
    w, x = np.asarray(wins, dtype=np.float64), np.asarray(losses, dtype=np.float64)
    chance = np.asarray(share, dtype=np.float64)
    mixed = betaln(PRIOR + w, PRIOR + x) - betaln(PRIOR, PRIOR)
    return cast(Floats, mixed - xlogy(w, chance) - xlogy(x, 1 - chance))


def sign_test(wins: int, losses: int, alpha: float = 0.05) -> SignTest:
    """Judge wins against losses.

    The interval holds the shares that :func:`log_sign_evidence` does not reject at ``alpha``, found
    by root search on either side of the posterior mean.

    Args:
        wins: pairs that went the candidate's way.
        losses: pairs that went the control's way.
        alpha: chance that the interval ever misses.
    """
    n = wins + losses
    if n == 0:
        return SignTest(0, 0, 0.5, 0.0, 1.0, 1.0)
    p = float(np.exp(-np.maximum(log_sign_evidence(wins, losses), 0.0)))
    middle = (wins + PRIOR) / (n + 2 * PRIOR)

    def rejected(share: float) -> float:
        return float(log_sign_evidence(wins, losses, share) + np.log(alpha))

    # Shares of exactly 0 or 1 have likelihood 0: the search stays just inside.
    tiny = 1e-12
    low = brentq(rejected, tiny, middle) if rejected(tiny) > 0 else 0.0
    high = brentq(rejected, middle, 1 - tiny) if rejected(1 - tiny) > 0 else 1.0
    return SignTest(wins, losses, wins / n, float(low), float(high), max(p, 1e-300))
