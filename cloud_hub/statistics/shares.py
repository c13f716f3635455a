"""Test of sessions won: the share of each device is one observation.

Interleaving shows everybody lists mixed of two rankings, and a session is won by the one whose
items are clicked on. Sessions of one device are those of the same few people, who may all like one
ranking better: a hundred thousand sessions of ten devices are ten observations, each known well.
A sign test of all sessions would call that certainty.

Of device ``d`` with ``n_d`` decided sessions the share won is ``x_d``. The estimate is their mean
with weights ``1 / (tau^2 + 1 / (4 n_d))``, where ``tau^2`` is the variance of devices' own shares
about one half, by moments; so many sessions make a device known, and do not make it count as many.
The variance is ``sum(u_d^2 (x_d - mean)^2 / (1 - u_d))`` with ``u_d`` a device's share of the
weights, never below ``1 / (4 n)`` of as many independent sessions, and has ``1 / sum(u_d^2) - 1``
degrees of freedom. :mod:`cloud_hub.statistics.sequential` looks at it at any time.

Assumes that devices are independent, and that the shares of devices are spread about their mean
without much skew: nothing is assumed of the sessions of one. It fails on few devices where a tenth
of them likes one ranking very much and all others the other one a little: then those few may be
missing, and the rest agree.

Sources:
    R. DerSimonian, N. Laird, "Meta-analysis in Clinical Trials", Controlled Clinical Trials 7(3),
    1986 (weights between units and sessions, the variance between by moments).
    R. Bell, D. McCaffrey, "Bias Reduction in Standard Errors for Linear Regression with Multi-Stage
    Samples", Survey Methodology 28(2), 2002 (residuals divided by ``1 - u``).
    O. Chapelle, T. Joachims, F. Radlinski, Y. Yue, "Large-Scale Validation and Analysis of
    Interleaved Search Evaluation", ACM TOIS 30(1), 2012 (wins by session).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from cloud_hub.statistics.paired import PRIOR
from cloud_hub.statistics.samples import Contrast, Floats
from cloud_hub.statistics.sequential import (
    always_valid_p,
    interval,
    log_e_value,
    rho_squared,
)

PAIRS_TUNED_FOR: Final = (2 * PRIOR + 1) * float(rho_squared(1.0))
"""Of the sign test: in large numbers its mixture over shares, whose variance is that of one pair by
``2 * PRIOR + 1``, is the normal one of a confidence sequence that is tightest at so many pairs."""

COIN: Final = 0.25
"""Variance of one session if nobody prefers either ranking."""


@dataclass(frozen=True)
class ShareTest:
    """Sessions won and lost of ``devices`` devices, with what that says.

    ``share`` is the candidate's, devices weighted as above, within ``low`` to ``high`` at every
    look; ``p`` is always valid; ``n`` is the independent sessions that the data are worth.
    """

    wins: int
    losses: int
    share: float
    low: float
    high: float
    p: float
    devices: int = 0
    n: float = 0.0

    @property
    def winner(self) -> str | None:
        """``candidate`` or ``control``, if one is surely ahead."""
        if self.low > 0.5:
            return "candidate"
        return "control" if self.high < 0.5 else None


def least_devices(alpha: float) -> float:
    """Return the devices below which there is no verdict at ``alpha``: 5.3 at 5%, so six.

    Of ``D`` devices that each prefer one ranking or the other by a coin, all prefer the same one
    with chance ``2 ** (1 - D)``: no test can call that a winner and be wrong less often.

    Args:
        alpha: two-sided error.
    """
    return 1 - math.log2(alpha)


def share_contrast(won: Floats, decided: Floats, alpha: float = 0.05) -> Contrast:
    """Difference of the share of sessions won from one half, by device.

    Args:
        won: sessions of each device that the candidate won, [..., D].
        decided: sessions that either won, [..., D]; a device without any counts for nothing.
        alpha: level at which it is to be judged.

    Returns:
        The contrast; where devices, as far as they weigh alike, are fewer than
        :func:`least_devices`, its variance is infinite and ``n`` 0.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        there = decided > 0
        apart = np.where(there, won / decided - 0.5, 0.0)
        total = np.sum(decided, axis=-1, keepdims=True)
        devices = np.sum(there, axis=-1, keepdims=True)
        # Of squares about one half, so that weights know nothing of who is ahead.
        squares = np.sum(decided * apart**2, axis=-1, keepdims=True)
        between = np.maximum(0.0, (squares - devices * COIN) / total)
        weights = np.where(there, 1 / (between + COIN / decided), 0.0)
        shares = weights / np.sum(weights, axis=-1, keepdims=True)
        mean = np.sum(shares * apart, axis=-1, keepdims=True)
        terms = shares**2 * (apart - mean) ** 2 / np.maximum(1 - shares, 1e-9)
        variance = np.fmax(np.sum(terms, axis=-1), COIN / total[..., 0])
        freedom = np.maximum(1 / np.sum(shares**2, axis=-1) - 1, 0.0)
    enough = freedom + 1 >= least_devices(alpha)
    return Contrast(
        np.where(enough, mean[..., 0], 0.0),
        np.where(enough, variance, np.inf),
        np.where(enough, COIN / variance, 0.0),
        np.where(enough, freedom, np.inf),
    )


def share_test(won: Floats, decided: Floats, alpha: float = 0.05) -> ShareTest:
    """Judge the sessions of all devices at this look.

    Args:
        won: sessions of each device that the candidate won, [D].
        decided: sessions that either won, [D].
        alpha: chance that the interval ever misses.
    """
    contrast = share_contrast(won.astype(np.float64), decided.astype(np.float64), alpha)
    low, high = (float(end) for end in interval(contrast, alpha, PAIRS_TUNED_FOR))
    p = float(always_valid_p(log_e_value(contrast, PAIRS_TUNED_FOR)))
    wins, sessions = round(float(np.sum(won))), round(float(np.sum(decided)))
    return ShareTest(
        wins,
        sessions - wins,
        0.5 + float(contrast.estimate),
        # A share is between 0 and 1: early ends are cut, not misread.
        max(0.0, 0.5 + low),
        min(1.0, 0.5 + high),
        max(p, 1e-300),
        int(np.sum(np.asarray(decided) > 0)),
        float(contrast.n),
    )
