"""Policies that rank in simulated sessions: ours, through the device's own code, and peers."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from benchmarks.coldstart.session_simulator import (
    FEATURES,
    ITEMS,
    SHOWN,
    Floats,
    Ints,
    Request,
    World,
    clicks,
    session,
)
from edge_sdk.contract.personal.ranking_report import RankingReport
from edge_sdk.contract.serving_terms import Personalisation
from edge_sdk.contract.window import Window
from edge_sdk.personalise.rankings.adaptive_rankings import (
    AdaptiveRankings,
    ItemRows,
    RankingUnits,
)
from edge_sdk.personalise.rankings.session_model import PROBABILITY, SessionModel
from edge_sdk.personalise.units.unit_store import UnitStore

BASIS: Final = b"sessions"
LOG: Final = 200
"""Sessions of the population from which peers learn offline."""


class Policy(Protocol):
    """Ranks candidates, and learns of clicks or does not."""

    def rank(self, user: str, request: Request) -> Ints:
        """Return the places of the candidates to show, best first, [SHOWN]."""

    def learn(self, clicked: list[int]) -> None:
        """Take the places that were clicked on."""


@dataclass
class Scored:
    """Ranks by scores that no click changes, such as the fleet's."""

    scores: Callable[[Ints], Floats]

    def rank(self, user: str, request: Request) -> Ints:
        """Return the places of the candidates to show."""
        return np.argsort(-self.scores(request.candidates), kind="stable")[:SHOWN]

    def learn(self, clicked: list[int]) -> None:
        """Learn nothing."""


class Adapted:
    """What the device does, around the fleet's scores.

    Args:
        world: with the fleet's scores and the items' features.
        terms: of the plan.
        seed: of exploration.
    """

    def __init__(self, world: World, terms: Personalisation, seed: int) -> None:
        model = SessionModel()
        store = UnitStore(None, b"secret of a simulation")
        units = store.space("rankings", RankingUnits(model, lambda: 0.0))
        self.rankings = AdaptiveRankings(terms, units, model=model, seed=seed, clock=lambda: 0.0)
        self._world, self._names = world, (f"r{i}" for i in itertools.count())
        self._name = ""

    def rank(self, user: str, request: Request) -> Ints:
        """Return the places of the candidates to show."""
        order, items = self._items(request)
        self._name = next(self._names)
        shown = self.rankings.rank(self._name, user, items, SHOWN).order
        return order[shown]

    def learn(self, clicked: list[int]) -> None:
        """Learn of the clicks on the list that was shown last."""
        self.rankings.outcome(self._name, clicked, len(clicked) / SHOWN)

    def best(self, user: str, request: Request) -> Ints:
        """Return what the unit's model thinks best; nothing is remembered."""
        order, items = self._items(request)
        return order[self.rankings.best(user, items, SHOWN)]

    def report(self) -> RankingReport:
        """Return the sums so far."""
        [report] = self.rankings.collect(600.0, final=True)
        return report

    def _items(self, request: Request) -> tuple[Ints, ItemRows]:
        scores = self._world.scores(request.candidates)
        order = np.argsort(-scores, kind="stable")
        features = self._world.items[request.candidates][order]
        return order, ItemRows(scores[order], features, PROBABILITY, BASIS, "1", _window)


def _window(start: int) -> Window:
    return Window("shop", "1.0", start, start + 300)


def run(policy: Policy, requests: list[Request], random: np.random.Generator, user: str) -> Floats:
    """Let a policy rank in a session; return the regret of each step, [STEPS]."""
    regrets = []
    for request in requests:
        shown = policy.rank(user, request)
        policy.learn(clicks(request.chances[shown], random))
        regrets.append(request.best - request.value_of(shown))
    return np.array(regrets)


def learned_offline(world: World, random: np.random.Generator) -> dict[str, Policy]:
    """Return peers that learned of a log in which lists were drawn by chance.

    Popularity: the click rate of each item. LinUCB (Li et al., 2010): ridge regression of clicks on
    the items' features, with its bound of two standard deviations; it goes on unchanged.
    """
    shown, rewards = (np.concatenate(each) for each in zip(*_log(world, random), strict=True))
    seen = np.bincount(shown, minlength=ITEMS)
    popular = (np.bincount(shown, rewards, ITEMS) + 1) / (seen + 4)
    x = np.column_stack([np.ones(len(shown)), world.items[shown]])
    precision = np.eye(1 + FEATURES) + x.T @ x
    weights = np.linalg.solve(precision, x.T @ rewards)
    every = np.column_stack([np.ones(ITEMS), world.items])
    width = np.sqrt(np.einsum("ij,jk,ik->i", every, np.linalg.inv(precision), every))
    bound = every @ weights + 2 * 0.45 * width
    return {
        "popularity": Scored(lambda items: popular[items]),
        "LinUCB, offline": Scored(lambda items: bound[items]),
    }


def _log(world: World, random: np.random.Generator) -> Iterator[tuple[Ints, Floats]]:
    """Items that were looked at, and whether they were clicked on."""
    for _ in range(LOG):
        for request in session(world, random):
            order = random.permutation(len(request.candidates))[:SHOWN]
            clicked = clicks(request.chances[order], random)
            read = max(clicked) + 1 if clicked else SHOWN
            rewards = np.zeros(read)
            rewards[clicked] = 1
            yield request.candidates[order[:read]], rewards
