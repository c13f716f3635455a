"""Reports about a candidate beside what serves: a shadow, or rankings mixed of both.

Sufficient statistics that add up; ``window`` names the candidate, ``incumbent`` what served.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from edge_sdk.contract.errors import require
from edge_sdk.contract.names import CONTROL, Version
from edge_sdk.contract.version import REPORT_FORMAT
from edge_sdk.contract.window import Window


@dataclass(frozen=True)
class Moments:
    """Sufficient statistics of a mean and its variance. They add up."""

    count: int = 0
    total: float = 0.0
    squares: float = 0.0

    def __post_init__(self) -> None:
        require(self.count >= 0, "count: expected at least 0")
        require(self.squares >= 0, "squares: expected at least 0")

    def __add__(self, other: Moments) -> Moments:
        return Moments(
            self.count + other.count, self.total + other.total, self.squares + other.squares
        )


@dataclass(frozen=True)
class Pairs:
    """Late labels of inputs that both releases answered: McNemar's table. They add up."""

    both: int = 0
    candidate_only: int = 0
    incumbent_only: int = 0
    neither: int = 0

    def __post_init__(self) -> None:
        least = min(self.both, self.candidate_only, self.incumbent_only, self.neither)
        require(least >= 0, "pairs: expected at least 0")


@dataclass(frozen=True)
class ShadowReport:
    """A candidate beside what served, on the same inputs; ``window`` names the candidate.

    ``compared`` inputs were answered by both; of those ``disagreements`` got another label (of a
    regressor none). Differences are candidate minus incumbent: ``confidence`` of the largest
    probability, ``value`` of a regressor's number, ``latency`` log2 of the candidate's time by the
    incumbent's, one input at a time, where both were timed alike; ``off`` how much farther off the
    candidate's number was than the incumbent's, once the label came. ``errors`` counts inputs on
    which the candidate failed, by kind (``model``, ``hung``); ``skipped`` those that it was not
    given, by reason (``queue`` full because its share of the time is spent, ``source`` other than
    the model).
    ``labelled`` is the paired outcome of late labels.
    """

    window: Window
    incumbent: str
    compared: int = 0
    disagreements: int = 0
    confidence: Moments = Moments()
    value: Moments = Moments()
    latency: Moments = Moments()
    errors: Mapping[str, int] = field(default_factory=dict)
    skipped: Mapping[str, int] = field(default_factory=dict)
    labelled: Pairs = Pairs()
    off: Moments = Moments()
    format: Literal[1] = REPORT_FORMAT

    def __post_init__(self) -> None:
        Version.parse(self.incumbent)
        require(0 <= self.disagreements <= self.compared, "disagreements: expected 0 to compared")
        counts = (*self.errors.values(), *self.skipped.values())
        require(min(counts, default=0) >= 0, "counts: expected at least 0")


@dataclass(frozen=True)
class InterleaveReport:
    """Team-drafted rankings of what served and a candidate; ``window`` names the candidate.

    A session is one ranking that was mixed of both. ``wins``, ``clicks`` and ``first`` (who picked
    first) are by team: control and the arm's name. A session is won by the team with more clicks;
    ``ties`` had as many of both, at least one; the rest of ``sessions`` had none. ``seed`` and the
    number of a session give its coins. ``refused`` counts feedback by reason.
    """

    window: Window
    incumbent: str
    sessions: int = 0
    wins: Mapping[str, int] = field(default_factory=dict)
    ties: int = 0
    clicks: Mapping[str, int] = field(default_factory=dict)
    first: Mapping[str, int] = field(default_factory=dict)
    refused: Mapping[str, int] = field(default_factory=dict)
    seed: str = ""
    format: Literal[1] = REPORT_FORMAT

    def __post_init__(self) -> None:
        Version.parse(self.incumbent)
        teams = {CONTROL, self.window.arm}
        for what in (self.wins, self.clicks, self.first):
            require(set(what) <= teams, f"expected teams {sorted(teams)}, got {sorted(what)}")
        counts = [self.sessions, self.ties, *self.refused.values()]
        counts += [n for what in (self.wins, self.clicks, self.first) for n in what.values()]
        require(min(counts) >= 0, "counts: expected at least 0")
