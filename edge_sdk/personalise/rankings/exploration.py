"""Which lists may be shown, each with its exact chance: the best one, the release's own, and draws.

A list is chosen among a few that are fixed before the choice: the one that the unit's model thinks
best with chance ``1 - explore`` at least; the release's own order with :data:`OWN` of ``explore``,
so that it can be evaluated; and, for the rest, a list that explores: each of :data:`DRAWS` of the
posterior (Thompson sampling; which one is chosen is a second throw of the dice), or the one of
upper confidence bounds (LinUCB). As the lists are known when one of them is chosen, the chance that
a list is shown, and that an item is put at a place, is a sum of their chances: no estimate, and no
nested simulation. Importance weights made of them are unbiased given the draws, so also without.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from edge_sdk.personalise.rankings.session_model import Floats
from edge_sdk.personalise.rankings.taste_mixture import TasteMixture

Method = Literal["thompson", "linucb", "none"]
Order = NDArray[np.intp]
"""Indices of items, best first; items are numbered in the release's own order."""

DRAWS: Final = 16
OWN: Final = 0.5
WIDTH: Final = 1.0
"""Standard deviations above the mean, of LinUCB's bounds."""


@dataclass(frozen=True)
class ListChances:
    """Lists that may be shown: ``orders`` [C, length], all different; ``chances`` [C], sum 1.

    ``best`` and ``own`` say which of them is the model's best and which the release's own.
    """

    orders: Order
    chances: Floats
    best: int
    own: int

    def choose(self, random: np.random.Generator) -> int:
        """Return which list is shown."""
        up_to = np.cumsum(self.chances)
        found = np.searchsorted(up_to, random.random() * up_to[-1], side="right")
        return int(min(found, np.flatnonzero(self.chances)[-1]))  # the product may round up

    def propensities(self, shown: int) -> Floats:
        """Return the chance of each item of a list to be at its place, [length]."""
        same = self.orders == self.orders[shown]
        at_most: Floats = np.minimum(self.chances @ same, 1.0)
        return at_most


def list_chances(best: Floats, exploring: Floats, explore: float, length: int) -> ListChances:
    """Return the lists that may be shown.

    Args:
        best: expected reward of each item in the release's own order, [n].
        exploring: scores of each list that explores, [lists, n]; each has the same chance.
        explore: largest chance that another list than the best one is shown, 0 to 1.
        length: of the lists, 1 to n.
    """
    own = np.arange(length)
    if explore <= 0:
        exploring = exploring[:0]
    orders = np.stack([top(best, length), own, *(top(scores, length) for scores in exploring)])
    others = len(exploring)
    share = OWN if others else 1.0
    chances = np.full(len(orders), explore * (1 - share) / max(others, 1))
    chances[:2] = 1 - explore, explore * share
    unique, inverse = np.unique(orders, axis=0, return_inverse=True)
    inverse = inverse.reshape(-1)
    summed: Floats = np.bincount(inverse, weights=chances, minlength=len(unique)).astype(np.float64)
    return ListChances(unique.astype(np.intp), summed, int(inverse[0]), int(inverse[1]))


def top(scores: Floats, length: int) -> Order:
    """Return the best items in order, [length]; equal scores keep the release's own order."""
    if length < len(scores) // 4:
        # All that are as good as the last one of them, so that ties are settled by the sort.
        limit = np.partition(scores, len(scores) - length)[len(scores) - length]
        among = np.flatnonzero(scores >= limit)
        best: Order = among[np.argsort(-scores[among], kind="stable")[:length]]
        return best
    whole: Order = np.argsort(-scores, kind="stable")[:length]
    return whole


def exploring_scores(
    method: Method, posterior: TasteMixture, x: Floats, best: Floats, random: np.random.Generator
) -> Floats:
    """Return the scores by which the lists that explore are ordered, [lists, n].

    Args:
        method: how to explore.
        posterior: of the unit.
        x: rows of the items, [n, k].
        best: expected rewards, [n].
        random: of the draws.
    """
    if method == "none":
        return np.empty((0, len(x)))
    if method == "linucb":
        return (best + WIDTH * posterior.deviations(x))[None]
    return best + (x @ (posterior.draws(random, DRAWS) - posterior.mean[:, None])).T
