"""The Open Bandit Dataset's samples inside the package obp 0.4.1 (Apache-2.0; Y. Saito, S. Aihara,
M. Matsutani, Y. Narita, "Open Bandit Dataset and Pipeline", NeurIPS 2021 Datasets and Benchmarks).

ZOZOTOWN showed items at three places, by chance (``random``) and by Bernoulli Thompson sampling
(``bts``): 10,000 places of each in each of three campaigns. From the ``random`` log alone we
estimate what ``bts`` is worth and compare with the click rate that ``bts`` had. The chance with
which ``bts`` puts an item at a place is its frequency in the bts log (clicks there are not looked
at). Rows of an hour count as one cluster.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.coldstart.session_simulator import Floats, Ints
from cloud_hub.statistics.off_policy import (
    Estimator,
    PolicyOutcomes,
    policy_value,
    value_interval,
)

CAMPAIGNS: Final = ("all", "men", "women")
PLACES: Final = 3
SMOOTHED: Final = 100.0
"""Rows that an item's prior click rate counts for, in the model of the doubly robust estimate."""


@dataclass(frozen=True)
class Log:
    """Rows of a log: item and place [N], click [N], chance with which the item was put there [N],
    hour [N].
    """

    items: Ints
    places: Ints
    clicks: Floats
    chances: Floats
    hours: Ints


@dataclass(frozen=True)
class Value:
    """A click rate of a place with its interval."""

    value: float
    low: float
    high: float


def read(file: Path) -> Log:
    """Read one log."""
    with file.open(newline="") as lines:
        rows = [
            (int(r["item_id"]), int(r["position"]) - 1, float(r["click"]),
             float(r["propensity_score"]), r["timestamp"][:13])
            for r in csv.DictReader(lines)
        ]  # fmt: skip
    items, places, clicks, chances, hours = zip(*rows, strict=True)
    numbers = np.unique(hours, return_inverse=True)[1]
    return Log(np.array(items), np.array(places), np.array(clicks), np.array(chances), numbers)


def found(folder: Path, campaign: str) -> tuple[Value, dict[Estimator, Value]]:
    """Return the click rate that ``bts`` had, and what the random log says of it.

    Args:
        folder: ``obp/dataset/obd`` of the package.
        campaign: one of :data:`CAMPAIGNS`.
    """
    random, bts = (read(folder / p / campaign / f"{campaign}.csv") for p in ("random", "bts"))
    ones = np.ones(len(bts.clicks))
    had = _interval(_outcomes(bts, ones, bts.clicks), "importance")
    frequency = _frequency(bts, 1 + int(max(random.items.max(), bts.items.max())))
    weights = frequency[random.places, random.items] / random.chances
    return had, {
        each: _interval(_outcomes(random, weights, _robust(random, weights, frequency)), each)
        for each in ("importance", "self_normalised", "robust")
    }


def _frequency(log: Log, items: int) -> Floats:
    """How often each item is at each place, [places, items]."""
    counts = np.zeros((PLACES, items))
    np.add.at(counts, (log.places, log.items), 1)
    shares: Floats = counts / counts.sum(axis=1, keepdims=True)
    return shares


def _robust(log: Log, weights: Floats, frequency: Floats) -> Floats:
    """Doubly robust outcomes [N]; the model of a row is made of the other half of the hours."""
    d = np.empty(len(log.clicks))
    for half in (0, 1):
        here, there = log.hours % 2 == half, log.hours % 2 != half
        rate = log.clicks[there].mean()
        seen = np.bincount(log.items[there], minlength=frequency.shape[1])
        clicked = np.bincount(log.items[there], log.clicks[there], frequency.shape[1])
        q = (clicked + SMOOTHED * rate) / (seen + SMOOTHED)
        expected = frequency @ q
        residual = log.clicks[here] - q[log.items[here]]
        d[here] = expected[log.places[here]] + weights[here] * residual
    return d


def _outcomes(log: Log, w: Floats, d: Floats) -> PolicyOutcomes:
    wr = w * log.clicks
    columns = (np.ones_like(w), w, w**2, wr, wr**2, w * wr, d, d**2)
    return PolicyOutcomes(
        *(np.bincount(log.hours, column).astype(np.float64) for column in columns)
    )


def _interval(outcomes: PolicyOutcomes, estimator: Estimator) -> Value:
    contrast = policy_value(outcomes, estimator)
    low, high = value_interval(contrast)
    return Value(float(contrast.estimate), float(low), float(high))
