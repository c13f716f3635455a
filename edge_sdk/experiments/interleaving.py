"""One ranking of two: what serves and a candidate pick in turn, and clicks say who picked better.

The candidate answers within the request, so its time is felt. A session is one request; its clicks
are credited to the window in which it was shown. Where the candidate fails, the request gets what
serves, whole, and is no session.
"""

from __future__ import annotations

import itertools
import random
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from edge_sdk.contract.experiment_reports import InterleaveReport
from edge_sdk.contract.names import CONTROL
from edge_sdk.errors import EdgeError, InputError
from edge_sdk.experiments.base import (
    CandidateWindows,
    RunningExperiment,
    check_same_inputs,
    failing,
)
from edge_sdk.experiments.team_draft import Team, coins, team_draft, winner
from edge_sdk.serving.ranking import Item, Ranking, Shown, ShownRankings, ranked

if TYPE_CHECKING:
    from edge_sdk.contract.messages import Body
    from edge_sdk.serving.predictor import Predictor


@dataclass
class InterleavingCounts:
    """Counts of one window, the content of its report."""

    sessions: int = 0
    wins: Counter[str] = field(default_factory=Counter)
    ties: int = 0
    clicks: Counter[str] = field(default_factory=Counter)
    first: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)


class Interleaver(RunningExperiment):
    """Mixes the rankings of ``incumbent`` and ``candidate``.

    Args:
        arm: name of the candidate's arm.
        incumbent: serves.
        candidate: with a monitor of its own, which tells its errors and latencies.
        sampled: share of the requests that are mixed.
        seed: of the coins; random if not given.
        clock: Unix seconds.

    Raises:
        ReleaseError: the candidate takes other inputs.
    """

    def __init__(
        self,
        arm: str,
        incumbent: Predictor,
        candidate: Predictor,
        *,
        sampled: float = 1.0,
        seed: str | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        check_same_inputs(incumbent.release, candidate.release)
        self.candidates: Mapping[str, Predictor] = {arm: candidate}
        self._names = (CONTROL, arm)
        self._incumbent, self._candidate = incumbent, candidate
        self._sampled, self._clock = sampled, clock
        self._seed = secrets.token_hex(8) if seed is None else seed
        self._session = itertools.count(1).__next__
        self._random = random.Random()
        self._lock = threading.Lock()
        self._shown = ShownRankings()
        self._windows = CandidateWindows(candidate, clock())
        self._counts: dict[int, InterleavingCounts] = {}
        self._answered = False

    def rank(self, x: Any, candidates: Sequence[Item] | None, length: int | None) -> Ranking | None:
        if self._random.random() >= self._sampled:
            return None
        try:
            theirs = ranked(self._candidate, x, candidates)
        except EdgeError:
            return None  # its predictor counted it; if the input is to blame, the incumbent refuses
        ours = ranked(self._incumbent, x, candidates)
        self._answered = True
        size = len(ours.items) if length is None else length
        # Seed and session give the same coins again, so that a report can be checked.
        toss = coins(self._seed, self._session())
        items, teams = team_draft((ours.items, theirs.items), size, toss)
        self._remember(ours.id, items, teams)
        return Ranking(tuple(items), ours.id, ours.version)

    def _remember(self, name: str, items: Sequence[Item], teams: Sequence[Team]) -> None:
        with self._lock:
            window = self._windows.of(self._clock())
            named = tuple(self._names[team] for team in teams)
            self._shown.put(name, Shown(tuple(items), named, window))
            counts = self._counts.setdefault(window, InterleavingCounts())
            counts.sessions += 1
            counts.first[named[0]] += 1

    def clicked(self, name: str, clicks: Sequence[Item]) -> bool:
        if name not in self._shown:
            return False
        with self._lock:
            try:
                shown = self._shown.click(name, clicks)
            except InputError as error:
                now = self._windows.of(self._clock())
                self._counts.setdefault(now, InterleavingCounts()).refused[error.kind] += 1
                raise
            counts = self._counts.setdefault(shown.window, InterleavingCounts())
            teams = [shown.teams[shown.items.index(item)] for item in dict.fromkeys(clicks)]
            counts.clicks.update(teams)
            won = winner([1 if team != CONTROL else 0 for team in teams])
            if won is not None:
                counts.wins[self._names[won]] += 1
            elif teams:
                counts.ties += 1
        return True

    def servings(self) -> Iterator[Predictor]:
        yield self._candidate

    def answered(self, arm: str) -> bool:
        return self._answered

    def failure(self, now: float, errors: int) -> tuple[str, str] | None:
        return failing(self.candidates, errors)

    def collect(self, now: float, *, final: bool = False) -> list[Body]:
        bodies = self._candidate.monitor.collect(now, final=final)
        with self._lock:
            if not final and not self._windows.ended(now):
                return bodies
            self._windows.turn(now)
            counted, self._counts = self._counts, {}
        version = self._incumbent.release.manifest.version
        for start, counts in sorted(counted.items()):
            window = self._windows.named(start)
            bodies.append(InterleaveReport(window, version, **vars(counts), seed=self._seed))
        return bodies

    def close(self) -> None:
        """Its candidate is closed by whoever retires it."""
