"""Sums of importance-weighted outcomes of one device, until enough units are in them to be sent.

Sources:
    D. Horvitz, D. Thompson, "A Generalization of Sampling Without Replacement from a Finite
    Universe", JASA 47(260), 1952.
    A. Swaminathan, T. Joachims, "The Self-Normalized Estimator for Counterfactual Learning", NIPS
    2015.
    M. Dudík, J. Langford, L. Li, "Doubly Robust Policy Evaluation and Learning", ICML 2011.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from edge_sdk.contract.personal.ranking_report import (
    LARGEST_WEIGHT,
    POLICIES,
    PolicySums,
    RankingReport,
)
from edge_sdk.contract.window import Window

UNITS: Final = 10_000
"""Units that are told apart in one report; where more are asked for, nothing is sent."""


@dataclass(frozen=True)
class ShownChances:
    """What is needed of a list to weigh its outcome.

    ``best`` and ``own`` are the chances with which the model's best list and the release's own
    could be shown; ``is_best`` and ``is_own`` say whether the shown one is it. Expected rewards of
    the lists are ``value`` of the shown one, ``best_value`` and ``own_value``.
    """

    best: float
    own: float
    is_best: bool
    is_own: bool
    value: float
    best_value: float
    own_value: float


def policy_sums(shown: ShownChances, reward: float) -> dict[str, PolicySums]:
    """Return what one list adds, by policy; ``reward`` is 0 to 1."""
    own = _sums(shown.own, shown.is_own, shown.own_value, shown.value, reward)
    best = _sums(shown.best, shown.is_best, shown.best_value, shown.value, reward)
    logged = _sums(1.0, True, shown.value, shown.value, reward)
    return dict(zip(POLICIES, (own, best, logged), strict=True))


def _sums(chance: float, agrees: bool, value: float, shown: float, r: float) -> PolicySums:
    if chance * LARGEST_WEIGHT < 1:
        return PolicySums(unsupported=1)
    w = 1 / chance if agrees else 0.0
    d = value + w * (r - shown)
    return PolicySums(w, w * w, w * r, (w * r) ** 2, w * w * r, d, d * d)


@dataclass
class OffPolicySums:
    """Sums since the last report."""

    lists: int = 0
    shown: int = 0
    clipped: int = 0
    policies: dict[str, PolicySums] = field(
        default_factory=lambda: dict.fromkeys(POLICIES, PolicySums())
    )
    _units: set[bytes] = field(default_factory=set)

    def add(self, unit: bytes, shown: ShownChances, reward: float) -> None:
        """Add the outcome of a list; a reward outside of 0 to 1 is cut, and counted.

        Args:
            unit: hash of it; :data:`UNITS` are remembered until the next report.
            shown: chances of the list.
            reward: finite.
        """
        inside = min(max(reward, 0.0), 1.0)
        self.clipped += inside != reward
        self.lists += 1
        for name, sums in policy_sums(shown, inside).items():
            self.policies[name] += sums
        if len(self._units) < UNITS:
            self._units.add(unit)

    def take(self, window: Window, minimum: int, *, stopped: bool) -> RankingReport | None:
        """Return the report, and begin anew; ``None`` while too few units are in it.

        Args:
            window: that the report is of.
            minimum: number of units below which nothing is sent; they are carried over.
            stopped: the release's own order is shown, because adapting did harm.
        """
        if not self.lists or len(self._units) < minimum:
            return None
        report = RankingReport(
            window, len(self._units), self.lists, self.shown, self.clipped, stopped,
            dict(self.policies),
        )  # fmt: skip
        self.lists = self.shown = self.clipped = 0
        self.policies = dict.fromkeys(POLICIES, PolicySums())
        self._units = set()
        return report
