"""Many simulations of one question: shares of outcomes, and how sure those are.

A simulation is a function of scenario, policy, experiment and seed, so that it is the same wherever
it is drawn: seeds travel, outcomes come back. They are read as data, and never unpickled.
"""

from __future__ import annotations

import math
import pickle
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean, quantiles
from typing import TYPE_CHECKING, Final

from cloud_hub.engine.engine import SpreadTask
from cloud_hub.engine.local import LocalEngine
from cloud_hub.errors import HubFault, Invalid
from cloud_hub.simulate.outcome import Simulated
from cloud_hub.simulate.world import simulate
from edge_sdk.contract.codec import decode, encode
from edge_sdk.contract.errors import ContractError

if TYPE_CHECKING:
    from cloud_hub.engine.engine import Engine
    from cloud_hub.experiments.verdict.spec import ExperimentSpec
    from cloud_hub.policy.schema.sections import Policy
    from cloud_hub.simulate.scenario import Scenario

MOST_REPEATS: Final = 10_000
OUTCOME_BYTES: Final = 1 << 30
Z95: Final = 1.959964


@dataclass(frozen=True)
class OutcomeShare:
    """Share of the simulations that ended in one way, with its 95% interval."""

    end: str
    count: int
    share: float
    low: float
    high: float


@dataclass(frozen=True)
class HarmOverall:
    """Harm of one simulation after the other, over all versions: mean, and nine in ten below."""

    device_hours: float
    device_hours_p90: float
    failures: float
    failures_p90: float


@dataclass(frozen=True)
class Repeated:
    """Simulations of one scenario and policy under different seeds; ``first`` is told whole."""

    title: str
    first: Simulated
    ends: tuple[OutcomeShare, ...]
    harm: HarmOverall
    fired: float
    """Triggers that fired, on average."""


def repeat(
    title: str,
    scenario: Scenario,
    policy: Policy,
    experiment: ExperimentSpec | None = None,
    *,
    seed: int = 0,
    times: int = 1,
    engine: Engine | None = None,
    progress: Callable[[float], None] | None = None,
) -> Repeated:
    """Simulate so many times, with seeds from ``seed`` on.

    Args:
        title: for people: what is tried.
        scenario: the fleet.
        policy: that the hub has.
        experiment: how its candidate is tried.
        seed: of the first.
        times: how many.
        engine: that computes, with the same outcome; ``None``: this process, one after the other.
        progress: is told the share that is done.

    Raises:
        Invalid: see :func:`cloud_hub.simulate.world.simulate`.
        EngineUnavailable: the engine cannot be reached.
    """
    if not 1 <= times <= MOST_REPEATS:
        raise Invalid(f"repeat: expected 1 to {MOST_REPEATS:,}, got {times}")
    order, done = SimulationOrder(scenario, policy, experiment), []
    for each in simulated(engine or LocalEngine(), order, range(seed, seed + times)):
        done.append(each)
        if progress is not None:
            progress(len(done) / times)
    return Repeated(
        title, done[0], shares(Counter(each.end for each in done)), _harm(done),
        fmean(sum(event.what == "fired" for event in each.events) for each in done),
    )  # fmt: skip


def shares(ends: Counter[str]) -> tuple[OutcomeShare, ...]:
    """Return the share of each outcome, the most frequent first.

    Source: E. Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", JASA
    22, 1927.

    Args:
        ends: how often each came.
    """
    total = sum(ends.values())
    found = []
    for end, count in ends.most_common():
        share = count / total
        middle = (share + Z95**2 / (2 * total)) / (1 + Z95**2 / total)
        half = Z95 * math.sqrt(share * (1 - share) / total + Z95**2 / (4 * total**2))
        half /= 1 + Z95**2 / total
        found.append(OutcomeShare(end, count, share, max(0.0, middle - half), middle + half))
    return tuple(found)


def _harm(done: Sequence[Simulated]) -> HarmOverall:
    hours = [sum(h.device_hours for h in each.harm.values()) for each in done]
    failures = [sum(h.failures for h in each.harm.values()) for each in done]
    return HarmOverall(fmean(hours), _p90(hours), fmean(failures), _p90(failures))


def _p90(values: Sequence[float]) -> float:
    return quantiles(values, n=10, method="inclusive")[-1] if len(values) > 1 else values[0]


@dataclass(frozen=True)
class SimulationOrder:
    """What all seeds share: the fleet, the policy that the hub has, how candidates are tried."""

    scenario: Scenario
    policy: Policy
    experiment: ExperimentSpec | None


def simulated(engine: Engine, order: SimulationOrder, seeds: Iterable[int]) -> Iterator[Simulated]:
    """Yield the simulation under each seed, in their order.

    Args:
        engine: that computes.
        order: what all seeds share.
        seeds: of all that is drawn.

    Raises:
        Invalid: see :func:`cloud_hub.simulate.world.simulate`.
        EngineUnavailable: the engine cannot be reached.
        HubFault: a task failed.
    """
    task = SpreadTask(f"{__name__}:simulate_seed", pickle.dumps(order))
    for raw in engine.spread(task, (str(seed).encode() for seed in seeds)):
        try:
            yield decode(Simulated, raw, limit=OUTCOME_BYTES)
        except ContractError as error:
            raise HubFault(f"simulate: a task returned no simulation; {error}") from error


def simulate_seed(common: bytes, item: bytes) -> bytes:
    """Simulate under one seed.

    Args:
        common: a pickled :class:`SimulationOrder`, of this package's own making.
        item: the seed, as text.

    Returns:
        The :class:`Simulated`, as JSON.
    """
    order: SimulationOrder = pickle.loads(common)
    return encode(simulate(order.scenario, order.policy, order.experiment, seed=int(item)))
