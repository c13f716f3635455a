"""Whether a unit's own answers may serve: two tests that hold at whatever time one looks.

Each label compares two answers to one row, the release's and the unit's own, by a number x in
[-1, 1]: above 0 where the unit's own is the better one. Wealth that bets on x grows if the means of
x are above 0, and by Ville's inequality exceeds 1/level with probability at most ``level`` if they
are not (betting: Waudby-Smith & Ramdas 2024, JRSS B).

* ``better`` bets on x. It begins anew at each label with ever smaller stakes that sum to 1, so that
  it stays such a test (level over all times) and yet sees a unit that changes late.
* ``worse`` bets on -x and begins anew at each label with a stake of 1: an e-detector (Shin, Ramdas
  & Rinaldo 2023), whose false alarms are 1/level labels apart or more on average.

``worse`` takes a unit's own answers back; ``better``, counted from there, gives them again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

BETS: Final = (0.3, 0.8)
"""Shares of the wealth that are bet: small differences are found by the first, large by the
second."""

_LARGEST: Final = 1e12


@dataclass(slots=True)
class Guard:
    """State of both tests for one unit, or for all units of a device together.

    Attributes:
        serving: whether the unit's own answers may serve.
        better: wealth of the test for better, by bet.
        worse: the same for worse.
        pairs: comparisons that differed since ``better`` began.
    """

    serving: bool
    better: tuple[float, float] = (0.0, 0.0)
    worse: tuple[float, float] = (0.0, 0.0)
    pairs: int = 0

    def add(self, x: float, better: float, worse: float) -> None:
        """Take the comparison of one label.

        Args:
            x: in [-1, 1]; above 0 where the unit's own answer was the better one.
            better: level of the test for better.
            worse: level of the test for worse.
        """
        if not x:
            return
        if self.serving:
            first, second = self.worse
            first = (first + 1.0) * (1.0 - BETS[0] * x)
            second = (second + 1.0) * (1.0 - BETS[1] * x)
            self.worse = (min(first, _LARGEST), min(second, _LARGEST))
            if first + second >= 2.0 / worse:
                self._switch(serving=False)
            return
        stake = 0.5 if not self.pairs else 0.5 / (self.pairs * (self.pairs + 1))
        self.pairs += 1
        first, second = self.better
        first = (first + stake) * (1.0 + BETS[0] * x)
        second = (second + stake) * (1.0 + BETS[1] * x)
        self.better = (min(first, _LARGEST), min(second, _LARGEST))
        if first + second >= 2.0 / better:
            self._switch(serving=True)

    def _switch(self, *, serving: bool) -> None:
        self.serving = serving
        self.better = self.worse = (0.0, 0.0)
        self.pairs = 0
