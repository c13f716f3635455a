"""Whether intervals of off-policy estimates cover: many fleets of simulated users, through the
device's sums and the hub's estimators.

Devices differ in how much their users click. The truth is the mean over all fleets of what the
policy's lists are worth, which the simulator knows of every list.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, dataclass, replace
from typing import Final

import numpy as np

from benchmarks.coldstart.session_policies import Adapted
from benchmarks.coldstart.session_simulator import SHOWN, Floats, Request, World, clicks, session
from benchmarks.coldstart.study import Work
from cloud_hub.statistics.off_policy import (
    Estimator,
    PolicyOutcomes,
    policy_gain,
    policy_value,
    value_interval,
)
from edge_sdk.contract.personal.ranking_report import RankingReport
from edge_sdk.contract.serving_terms import Personalisation

DEVICES: Final = 10
SESSIONS: Final = 6
STEPS: Final = 6
LISTS: Final = SESSIONS * STEPS
LEVELS: Final = 0.3
"""Standard deviation of devices' log-odds of a click."""

TERMS: Final = Personalisation(explore=0.2, minimum_units=2)
ESTIMATORS: Final[tuple[Estimator, ...]] = ("importance", "self_normalised", "robust")
POLICIES: Final = ("own", "adapted")


@dataclass(frozen=True)
class Interval:
    """An estimate with its interval; infinite where nothing was said."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Fleet:
    """One replication: intervals by policy (or ``gain``) and estimator; true values by policy."""

    intervals: Mapping[tuple[str, str], Interval]
    truths: Mapping[str, float]


def fleet(work: Work, number: int) -> Fleet:
    """Simulate one fleet, and estimate."""
    random = work.random(6, 2, number)
    world = World.of(work.random(6, 0), own=2.0)  # the same world: the truth is one number
    reports, values = {}, []
    for device in range(DEVICES):
        report, worth = _device(world, random, int(random.integers(1 << 31)))
        reports[f"{device:02}"] = report
        values.append(worth)
    truths = dict(zip(POLICIES, np.mean(np.concatenate(values), axis=0).tolist(), strict=True))
    return Fleet(_intervals(reports), truths)


def _device(world: World, random: np.random.Generator, seed: int) -> tuple[RankingReport, Floats]:
    """One device's report, and what its own and its best lists are worth, [lists, 2]."""
    policy = Adapted(world, TERMS, seed)
    level = random.normal(0, LEVELS)
    worth = []
    for user in range(SESSIONS):
        for request in _at_level(session(world, random)[:STEPS], level):
            own = np.argsort(-world.scores(request.candidates), kind="stable")[:SHOWN]
            best = policy.best(f"u{user}", request)
            worth.append((request.value_of(own), request.value_of(best)))
            shown = policy.rank(f"u{user}", request)
            policy.learn(clicks(request.chances[shown], random))
    return policy.report(), np.array(worth)


def _at_level(requests: list[Request], level: float) -> list[Request]:
    """The same requests of users who click more, or less."""
    return [
        replace(each, chances=1 / (1 + (1 / each.chances - 1) * np.exp(-level)))
        for each in requests
    ]


def _intervals(reports: Mapping[str, RankingReport]) -> dict[tuple[str, str], Interval]:
    outcomes = {name: _outcomes(reports, name) for name in POLICIES}
    contrasts = {
        (name, each): policy_value(outcomes[name], each) for name in POLICIES for each in ESTIMATORS
    }
    contrasts["gain", "robust"] = policy_gain(outcomes["own"], outcomes["adapted"])
    found: dict[tuple[str, str], Interval] = {}
    for name, contrast in contrasts.items():
        low, high = value_interval(contrast)
        found[name] = Interval(float(contrast.estimate), float(low), float(high))
    return found


def _outcomes(reports: Mapping[str, RankingReport], name: str) -> PolicyOutcomes:
    rows = {}
    for device, report in reports.items():
        *sums, unsupported = astuple(report.policies[name])
        rows[device] = (float(report.lists - unsupported), *sums)
    return PolicyOutcomes.by_device(rows)


@dataclass(frozen=True)
class Coverage:
    """Of one estimate over all fleets: share of intervals that cover, and that say anything; mean
    half width; bias of the estimate.
    """

    name: tuple[str, str]
    covered: float
    said: float
    half: float
    bias: float


def coverage(fleets: list[Fleet]) -> list[Coverage]:
    """Return the coverage of each estimate."""
    truths = {name: float(np.mean([f.truths[name] for f in fleets])) for name in POLICIES}
    truths["gain"] = truths["adapted"] - truths["own"]
    found = []
    for name in fleets[0].intervals:
        every = [f.intervals[name] for f in fleets]
        truth = truths[name[0]]
        said = [one for one in every if np.isfinite(one.high)]
        inside = [one.low <= truth <= one.high for one in every]
        half = float(np.mean([(one.high - one.low) / 2 for one in said])) if said else np.inf
        bias = float(np.mean([one.value for one in said])) - truth if said else np.nan
        found.append(Coverage(name, float(np.mean(inside)), len(said) / len(every), half, bias))
    return found
