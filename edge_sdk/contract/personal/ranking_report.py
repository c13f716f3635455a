"""Report of rankings that adapt to a unit: sums by which a hub values what was not shown.

Every list that is shown is chosen by chance among a few, and the chances are known. The outcome of
a list, weighted by one over its chance, is an unbiased estimate for each policy that would have
shown it: importance sampling (Horvitz and Thompson, 1952). Sums of these add up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, dataclass, field
from typing import Final, Literal

from edge_sdk.contract.errors import require
from edge_sdk.contract.version import REPORT_FORMAT
from edge_sdk.contract.window import Window

Policy = Literal["own", "adapted", "logged"]
POLICIES: Final[tuple[Policy, ...]] = ("own", "adapted", "logged")
"""``own``: the release's order. ``adapted``: what the unit's model thinks best. ``logged``: what
was shown, exploration included."""

LARGEST_WEIGHT: Final = 200.0
"""Weights are cut here."""

SLACK: Final = 1e-6
"""Relative error of sums of floats."""


@dataclass(frozen=True)
class PolicySums:
    """Sums over the lists whose outcome came, for one policy; they add up.

    ``w`` is one over the chance of the list that was shown if the policy would have shown it, else
    0, and :data:`LARGEST_WEIGHT` at most; ``r`` the reward of the list, 0 to 1; ``d`` the doubly
    robust estimate ``q(policy) + w (r - q(shown))`` of one list with the unit's model as ``q``.
    ``unsupported`` lists had no chance to be those of the policy, or too little: where there are
    some, weights miss what would have come of them.
    """

    weight: float = 0.0
    weight_squares: float = 0.0
    reward: float = 0.0
    reward_squares: float = 0.0
    cross: float = 0.0
    robust: float = 0.0
    robust_squares: float = 0.0
    unsupported: int = 0

    def __add__(self, other: PolicySums) -> PolicySums:
        return PolicySums(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    def check(self, lists: int) -> None:
        """Refuse sums that no ``lists`` lists have.

        ``weight`` and so on are of ``w``, ``w^2``, ``w r``, ``(w r)^2``, ``w^2 r``, ``d``, ``d^2``.

        Raises:
            ContractError: says which.
        """
        most = lists * (1 + SLACK)
        require(0 <= self.unsupported <= lists, f"unsupported: expected 0 to {lists}")
        for name, value, largest in (
            ("weight", self.weight, LARGEST_WEIGHT),
            ("weight_squares", self.weight_squares, LARGEST_WEIGHT**2),
            ("reward", self.reward, LARGEST_WEIGHT),
            ("reward_squares", self.reward_squares, LARGEST_WEIGHT**2),
            ("cross", self.cross, LARGEST_WEIGHT**2),
            ("robust_squares", self.robust_squares, (LARGEST_WEIGHT + 1) ** 2),
        ):
            require(0 <= value <= most * largest, f"{name}: expected 0 to {lists} * {largest:g}")
        require(abs(self.robust) <= most * (LARGEST_WEIGHT + 1), "robust: beyond its bounds")
        below = self.reward <= self.weight * (1 + SLACK) + SLACK
        require(below, "reward: expected at most weight, since rewards are 0 to 1")
        for name, total, squares in (
            ("weight", self.weight, self.weight_squares),
            ("reward", self.reward, self.reward_squares),
            ("robust", self.robust, self.robust_squares),
        ):
            # Cauchy and Schwarz.
            fits = total * total <= squares * lists * (1 + SLACK) + SLACK
            require(fits, f"{name}: a sum of squares of {squares:g} is less than {total:g} has")


@dataclass(frozen=True)
class RankingReport:
    """Outcomes of adapted lists since the last report; nothing of single lists or units.

    ``lists`` had an outcome; ``shown`` counts adapted lists, of which some never get one; ``units``
    is how many units they are of (10,000 at most); ``clipped`` rewards were cut to 0
    to 1. ``stopped`` is true where the device went back to the release's order, because adapting
    did harm there.
    """

    window: Window
    units: int
    lists: int
    shown: int = 0
    clipped: int = 0
    stopped: bool = False
    policies: Mapping[str, PolicySums] = field(default_factory=dict)
    format: Literal[1] = REPORT_FORMAT

    def __post_init__(self) -> None:
        counts = (self.units, self.lists, self.shown, self.clipped)
        require(min(counts) >= 0, "counts: expected at least 0")
        require(self.units <= self.lists, "units: expected at most one a list")
        require(self.clipped <= self.lists, "clipped: expected at most lists")
        known = set(self.policies) <= set(POLICIES)
        require(known, f"policies: expected some of {POLICIES}, got {sorted(self.policies)!s:.100}")
        for name, sums in self.policies.items():
            require(self.lists > 0, f"{name}: expected no sums of no lists")
            sums.check(self.lists)
