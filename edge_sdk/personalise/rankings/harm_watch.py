"""Whether adapting does harm on this device: a test that may be read after every list.

A list's outcome, weighted by its chance, estimates without bias how much better the adapted list
is than the release's own. Bets against "not worse" multiply a wealth whose mean is at most 1 while
that holds, so it ever reaches ``1 / alpha`` with chance ``alpha`` at most (Ville). The wealth
begins anew at 1 wherever it is below (an e-detector), so that harm that begins late is seen as
soon: false alarms are then ``1 / alpha`` lists apart or more on average.

Sources:
    I. Waudby-Smith, A. Ramdas, "Estimating means of bounded random variables by betting", JRSS-B
    86(1), 2024.
    N. Karampatziakis, P. Mineiro, A. Ramdas, "Off-policy Confidence Sequences", ICML 2021.
    J. Shin, A. Ramdas, A. Rinaldo, "E-detectors: a nonparametric framework for sequential change
    detection", 2022.
"""

from __future__ import annotations

from typing import Final

from edge_sdk.personalise.rankings.off_policy_sums import ShownChances

BETS: Final = (0.02, 0.1, 0.4)
"""Shares of the wealth that are bet."""

ALPHA: Final = 1e-3


class HarmWatch:
    """Watches one device's lists.

    Attributes:
        stopped: adapting has done harm here.
    """

    def __init__(self) -> None:
        self.stopped = False
        self._wealth = [1.0] * len(BETS)

    def add(self, shown: ShownChances, reward: float) -> None:
        """Take the outcome of a list into account; ``reward`` is 0 to 1."""
        if (shown.is_best and shown.is_own) or min(shown.best, shown.own) <= 0:
            return  # one list, or nothing to compare
        residual = reward - shown.value
        best = shown.best_value + (residual / shown.best if shown.is_best else 0.0)
        own = shown.own_value + (residual / shown.own if shown.is_own else 0.0)
        # Within 1 of 0: values and rewards are 0 to 1, and one of the two weights is 0.
        gain = (best - own) / (1 + 1 / min(shown.best, shown.own))
        self._wealth = [
            max(1.0, wealth) * (1 - bet * gain)
            for wealth, bet in zip(self._wealth, BETS, strict=True)
        ]
        self.stopped |= sum(self._wealth) >= len(BETS) / ALPHA
