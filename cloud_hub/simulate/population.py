"""Devices of a simulated fleet as arrays: who they are, and how they lastingly differ.

Memory is about 100 bytes a device, names included.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from cloud_hub.simulate.scenario import HOUR, Scenario
from edge_sdk.contract.plan import slot_of

Singles = NDArray[np.float32]
Places = NDArray[np.intp]


@dataclass(frozen=True)
class Population:
    """N devices; arrays are [N], in ascending order of ``names``.

    ``cohort`` is the number of each device's cohort; ``requests`` are expected of it in an hour;
    ``wrong`` and ``errors`` are factors of the rates of its cohort, 1 on average; ``latency`` is
    added to log2 of the time. ``hostile`` ones lie.
    """

    names: Sequence[str]
    attributes: Sequence[Mapping[str, str]]
    cohort: NDArray[np.uint8]
    requests: Singles
    wrong: Singles
    errors: Singles
    latency: Singles
    hostile: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def by_hash(self) -> Places:
        """Places of the devices in the order in which gates choose some of many to look at."""
        return np.argsort([crc32(name.encode()) for name in self.names], kind="stable")

    def slots(self, salt: str) -> NDArray[np.int16]:
        """Return the slot of each device under a salt, as devices compute it."""
        return np.fromiter((slot_of(salt, name) for name in self.names), np.int16, len(self))

    def by_name(self) -> dict[str, Mapping[str, str]]:
        """Return the attributes of each device, as the hub's schedule takes them."""
        cohorts = self.cohort.tolist()
        return {n: self.attributes[c] for n, c in zip(self.names, cohorts, strict=True)}


def draw_population(scenario: Scenario, rng: np.random.Generator) -> Population:
    """Draw the devices of a scenario.

    Args:
        scenario: its fleet, cohorts and how devices differ.
        rng: decides who is what.
    """
    count, cohorts, spread = scenario.devices, scenario.cohorts, scenario.spread
    width = len(str(count))
    ends = np.cumsum([cohort.share for cohort in cohorts])[:-1]
    cohort = np.searchsorted(ends, rng.random(count), side="right")
    # A small fleet has a device of each cohort, if it can.
    cohort[: len(cohorts)] = np.arange(min(count, len(cohorts)))
    busy = np.array([scenario.requests if c.requests is None else c.requests for c in cohorts])
    hostile = rng.random(count) < scenario.hostile.share
    claimed = np.where(hostile, scenario.hostile.times, 1.0)
    return Population(
        tuple(f"d{i:0{width}d}" for i in range(count)),
        tuple(cohort.attributes for cohort in cohorts),
        cohort.astype(np.uint8),
        (busy[cohort] * _factors(rng, spread.requests, count) * claimed).astype(np.float32),
        _factors(rng, spread.wrong, count),
        _factors(rng, spread.errors, count),
        (spread.latency * rng.standard_normal(count)).astype(np.float32),
        hostile,
    )


def _factors(rng: np.random.Generator, variation: float, count: int) -> Singles:
    """Gamma distributed factors of mean 1 with a coefficient of variation."""
    if variation == 0:
        return np.ones(count, dtype=np.float32)
    return rng.gamma(variation**-2, variation**2, count).astype(np.float32)


def online_shares(scenario: Scenario, at: float) -> Singles:
    """Return the share of each cohort that reaches the hub in a window, [cohorts].

    Args:
        scenario: its cohorts.
        at: Unix seconds.
    """
    shares = [
        (cohort.online or scenario.online).at((at / HOUR + cohort.utc_offset) % 24)
        for cohort in scenario.cohorts
    ]
    return np.array(shares, dtype=np.float32)
