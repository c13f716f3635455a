"""Sessions of simulated users: tastes that differ, and that drift within the session.

An item has features [d], drawn once. A user of the population likes them by ``common``, and
everybody by something of their own besides; half-way through a session the own part turns to
another one (and wanders a little at each step). The chance of a click on an item that is looked at
is logistic in the user's taste. Users read a list from the top and click on what appeals, until
they lose interest, so that what stands below is seen less.

The fleet's model knows ``common`` exactly (it is as good as one without the user can be): its score
is the chance of a click of the average user.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]

STEPS: Final = 20
ITEMS: Final = 300
FEATURES: Final = 6
CANDIDATES: Final = 30
SHOWN: Final = 8
GOES_ON: Final = 0.95
"""Chance to look at the next item."""

LEVEL: Final = -1.0
"""Log-odds of a click on an item that a user is indifferent to: one look in four."""


def chance(log_odds: Floats) -> Floats:
    """Chances of log-odds."""
    chances: Floats = 1 / (1 + np.exp(-log_odds))
    return chances


@dataclass(frozen=True)
class World:
    """Items [ITEMS, d] and what users have in common [d].

    ``own`` is the standard deviation of a user's own taste along each feature, ``turns`` whether it
    turns to another half-way.
    """

    items: Floats
    common: Floats
    own: float
    turns: bool = True

    @classmethod
    def of(cls, random: np.random.Generator, own: float = 1.0, *, turns: bool = True) -> World:
        """Draw a world."""
        items = random.standard_normal((ITEMS, FEATURES)) / np.sqrt(FEATURES)
        return cls(items, random.standard_normal(FEATURES), own, turns)

    def scores(self, items: Ints) -> Floats:
        """Scores of the fleet's model: the average user's chance of a click."""
        log_odds: Floats = LEVEL + self.items[items] @ self.common
        return chance(log_odds)

    def tastes(self, random: np.random.Generator) -> Floats:
        """Tastes of one user, [STEPS, d]."""
        first, second = random.standard_normal((2, FEATURES)) * self.own
        walk = np.cumsum(random.standard_normal((STEPS, FEATURES)) * 0.05 * self.own, axis=0)
        late = (np.arange(STEPS) >= STEPS // 2) & self.turns
        tastes: Floats = self.common + np.where(late[:, None], second, first) + walk
        return tastes


def value(chances: Floats) -> float:
    """Expected reward of a list: clicks, by the number of its items; ``chances`` from the top."""
    return float(np.mean(chances * GOES_ON ** np.arange(len(chances))))


def clicks(chances: Floats, random: np.random.Generator) -> list[int]:
    """Places that a user clicks on, who reads from the top until they lose interest."""
    going = np.cumprod(random.random(len(chances) - 1) < GOES_ON)
    read = 1 + int(going.sum())
    return [int(i) for i in np.flatnonzero(random.random(read) < chances[:read])]


@dataclass(frozen=True)
class Request:
    """A moment of a session: candidates, and each one's chance of a click by this user."""

    candidates: Ints
    chances: Floats

    def value_of(self, order: Ints) -> float:
        """Expected reward of a list of candidates, by index."""
        return value(self.chances[order])

    @property
    def best(self) -> float:
        """Expected reward of the best list."""
        return value(np.sort(self.chances)[::-1][:SHOWN])


def session(world: World, random: np.random.Generator) -> list[Request]:
    """Draw a session of one user: :data:`STEPS` requests."""
    requests = []
    for taste in world.tastes(random):
        candidates = random.choice(ITEMS, CANDIDATES, replace=False)
        log_odds = LEVEL + world.items[candidates] @ taste
        requests.append(Request(candidates, chance(log_odds)))
    return requests
